/* policyd/store.h - what policyd remembers: in this process, and in Redis for the fleet where redis_server is set.
 * Keys are given without redis_key_prefix. What comes back from Redis is a hint that somebody else may have written: callers check it.
 */
#ifndef GATEPOST_POLICYD_STORE_H
#define GATEPOST_POLICYD_STORE_H

#include "lib/base/arena.h"
#include "lib/base/err.h"
#include "lib/base/str.h"
#include "lib/conf/conf.h"
#include "policyd/gcra.h"
#include "policyd/greylist.h"

void store_init(const struct conf *c);

/* Verdict cache, two levels: this process, then Redis. get: false when nobody knows. Suspend. */
bool store_cache_get(struct arena *a, struct str key, struct str *value);
void store_cache_put(struct arena *a, struct str key, struct str value, uint32_t seconds);

/* One greylisting step / one event counted against a limit: in Redis by script, else in memory. -1 with *e: memory is away. Suspend. */
int store_greylist(
	struct arena *a, struct str net, struct str triplet, const struct greylist_times *t, struct greylist_answer *out, struct err *e);
int store_rate(struct arena *a, struct str key, const struct gcra_limit *limit, struct gcra_answer *out, struct err *e);

#endif
