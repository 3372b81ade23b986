/* lib/driver/driver.h - what a loadable database module (table-ldap.so, table-pgsql.so, table-sqlite.so) is to the daemon that loads it. A
 * driver links its database's client library and nothing of ours; it knows no fibers: its calls run in threads, one at a time on one
 * connection, and return within the timeout they were given.
 */
#ifndef GATEPOST_LIB_DRIVER_DRIVER_H
#define GATEPOST_LIB_DRIVER_DRIVER_H

#include <stddef.h>

#define DRIVER_VERSION 1
#define DRIVER_SYMBOL "gatepost_driver"
#define DRIVER_WHY_SIZE 400 /* of every "why" below: room for a text, NUL included */
#define DRIVER_TEMPLATES_MAX 2
#define DRIVER_QUOTED_MAX(n) (3 * (n) + 1) /* room that quote() needs */

/* The table's settings file. */
struct driver_settings {
	const char *(*get)(const void *ctx, const char *name, const char *fallback);
	const void *ctx;
};

/* What the database found, one value a call. Not 0: enough, end with an error. */
struct driver_sink {
	int (*value)(void *ctx, const char *p, size_t n);
	void *ctx;
};

struct driver {
	unsigned version;
	const char *const *names; /* settings it knows, NULL at the end; "timeout" is everybody's */
	const char *const *templates; /* those of them in which %s and its kin stand for the key, at most DRIVER_TEMPLATES_MAX, NULL at the end */
	const char *const *defaults; /* of the templates; NULL: must be set */
	/* NULL with why: the settings are no good. Does not connect. */
	int (*judge)(const struct driver_settings *s, char *why);
	/* A connection; NULL with why. */
	void *(*connect)(const struct driver_settings *s, int timeout_ms, char *why);
	/* Write a part of the key so that it is data and nothing else inside of template number. Returns the octets written. */
	size_t (*quote)(void *connection, int template_number, const char *p, size_t n, char *out);
	/* Ask. 0, or -1 with why: the connection is closed then. */
	int (*ask)(void *connection, const char *const *texts, const struct driver_sink *sink, int timeout_ms, char *why);
	void (*close)(void *connection);
};

#endif
