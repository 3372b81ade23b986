/* lib/net/redis.h - Redis commands from fibers: hiredis' formatter and reader over our streams, with a deadline for each command and
 * a circuit breaker, so that a dead or slow Redis costs one warning and no latency.
 */
#ifndef GATEPOST_LIB_NET_REDIS_H
#define GATEPOST_LIB_NET_REDIS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/arena.h"
#include "lib/base/err.h"
#include "lib/base/str.h"

struct redis;

struct redis_settings {
	const char *endpoint; /* "inet:host:port" or "unix:path" */
	const char *user, *password; /* NULL or "": none */
	int database;
	int64_t timeout_ms; /* per command, connect included */
	unsigned breaker_failures; /* consecutive failures that open the breaker */
	int64_t breaker_ms; /* how long it stays open; then one command tries */
};

enum redis_type { REDIS_NIL, REDIS_INTEGER, REDIS_STRING, REDIS_STATUS, REDIS_ARRAY, REDIS_ERROR };

struct redis_value {
	enum redis_type type;
	int64_t integer;
	struct str text; /* STRING, STATUS, ERROR */
	const struct redis_value *items;
	size_t count;
};

struct redis *redis_new(const struct redis_settings *set); /* does not connect */
void redis_free(struct redis *r);
/* One command. The value lives in a. Returns 0 (an error reply of the server is value->type REDIS_ERROR), or -1 with *e when there
 * was no answer: not connected, timeout, breaker open. Suspends, at most timeout_ms. */
int redis_command(struct redis *r, struct arena *a, size_t argc, const struct str *argv, struct redis_value *value, struct err *e);
/* Same, words in printf style separated by single blanks, each %s a NUL-terminated word, %b (struct str) not supported. */
int redis_commandf(struct redis *r, struct arena *a, struct redis_value *value, struct err *e, const char *fmt, ...)
	__attribute__((format(printf, 5, 6)));
/* EVALSHA with fallback to EVAL on NOSCRIPT. script: static text. */
int redis_script(struct redis *r, struct arena *a, const char *script, size_t keys, size_t argc, const struct str *argv,
	struct redis_value *value, struct err *e);
bool redis_available(const struct redis *r); /* breaker closed */

#endif
