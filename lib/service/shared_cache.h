/* lib/service/shared_cache.h - what a worker knows for a while: in its own memory, and in Redis for all where redis_server is set.
 * What comes from Redis is a hint that somebody else may have written: callers check it. Redis away: its breaker tells once, and the
 * worker goes on with what it knows itself.
 */
#ifndef GATEPOST_LIB_SERVICE_SHARED_CACHE_H
#define GATEPOST_LIB_SERVICE_SHARED_CACHE_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/arena.h"
#include "lib/base/str.h"
#include "lib/conf/conf.h"

#define SHARED_CACHE_VALUE_MAX 2048 /* octets */

struct shared_cache;

/* kind: begins every key in Redis, behind redis_key_prefix: "verify:". near_ms: how long a worker trusts its own copy of what is in Redis. */
struct shared_cache *shared_cache_new(const struct conf *c, const char *kind, size_t entries, int64_t near_ms);
/* The value, in a. False: not known. Suspends. */
bool shared_cache_get(struct shared_cache *s, struct arena *a, struct str key, struct str *value);
/* Longer values than SHARED_CACHE_VALUE_MAX are cut. Suspends. */
void shared_cache_put(struct shared_cache *s, struct arena *a, struct str key, struct str value, int64_t seconds);

#endif
