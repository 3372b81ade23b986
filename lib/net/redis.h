/* lib/net/redis.h - Redis commands from fibers: hiredis' formatter and reader over our streams, with a deadline for each command and
 * circuit breakers, so that a dead or slow Redis costs one warning and no latency.
 *
 * One server, the master that sentinels name, or a cluster: commands are the same. In a cluster a command goes where its key is (the first
 * word behind the verb, the first key of a script); keys of one script have the same {hash tag}. Every server has a breaker of its own: after
 * breaker_failures failures in a row it is left alone, and asked in the background every breaker_ms whether it is back.
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
struct tls_ctx;

struct redis_settings {
	const char *servers; /* "inet:host:port", "host:port" or "unix:path"; several (blanks, commas): sentinels, or where a cluster begins */
	const char *user, *password; /* NULL or "": none */
	int database;
	const char *sentinel_master; /* its name; NULL or "": servers are not sentinels */
	const char *sentinel_user, *sentinel_password;
	bool cluster;
	struct tls_ctx *tls; /* NULL: clear text; the caller's, for the life of the redis */
	bool tls_verify; /* the certificate must carry tls_name, or the server's host when that is "" */
	const char *tls_name;
	int64_t timeout_ms; /* per command, connect included */
	unsigned breaker_failures; /* consecutive failures that open a server's breaker */
	int64_t breaker_ms; /* between two looks whether it is back */
};

enum redis_type { REDIS_NIL, REDIS_INTEGER, REDIS_STRING, REDIS_STATUS, REDIS_ARRAY, REDIS_ERROR };

struct redis_value {
	enum redis_type type;
	int64_t integer;
	struct str text; /* STRING, STATUS, ERROR */
	const struct redis_value *items;
	size_t count;
};

struct redis *redis_new(const struct redis_settings *set); /* does not connect; texts are copied */
void redis_free(struct redis *r); /* NULL: nothing. Suspends while a background look at a server ends. */
/* One command. The value lives in a. Returns 0 (an error reply of the server is value->type REDIS_ERROR), or -1 with *e when there
 * was no answer: not connected, timeout, breaker open, or a server that says it cannot serve (READONLY, OOM, LOADING ...). Suspends, at
 * most timeout_ms. */
int redis_command(struct redis *r, struct arena *a, size_t argc, const struct str *argv, struct redis_value *value, struct err *e);
/* Same, words in printf style separated by single blanks, each %s a NUL-terminated word, %b (struct str) not supported. */
int redis_commandf(struct redis *r, struct arena *a, struct redis_value *value, struct err *e, const char *fmt, ...)
	__attribute__((format(printf, 5, 6)));
/* EVALSHA with fallback to EVAL on NOSCRIPT. script: static text. */
int redis_script(struct redis *r, struct arena *a, const char *script, size_t keys, size_t argc, const struct str *argv,
	struct redis_value *value, struct err *e);
/* All keys that match the glob pattern, for tools: every primary is asked. False from take ends it. 0, or -1 with *e. Suspends, long. */
int redis_scan(struct redis *r, const char *pattern, bool (*take)(void *ctx, struct str key), void *ctx, struct err *e);
bool redis_available(const struct redis *r); /* some server's breaker is closed */
bool redis_is_cluster(const struct redis *r); /* keys of one script must share a hash tag */

#endif
