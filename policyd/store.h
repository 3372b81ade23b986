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

#define STORE_RATE_MAX 10 /* limits counted at once */

int store_init(const struct conf *c, struct err *e); /* 0, or -1 with *e */

/* Verdict cache, two levels: this process, then Redis. get: false when nobody knows. Suspend. */
bool store_cache_get(struct arena *a, struct str key, struct str *value);
void store_cache_put(struct arena *a, struct str key, struct str value, uint32_t seconds);

/* One greylisting step / one event counted against limits (*over: place of the one that says no, -1: none). In Redis by script; in this
 * process's memory without Redis, or when `local` says that this is better than nothing while it is away. -1 with *e: memory is away.
 * Suspend. */
struct store_greylist_keys {
	struct str net, triplet;
};
int store_greylist(struct arena *a, const struct store_greylist_keys *keys, const struct greylist_times *t, bool local,
	struct greylist_answer *out, struct err *e);
int store_rate(struct arena *a, struct gcra_item *items, size_t count, bool dry, bool local, int *over, int64_t *wait_us, struct err *e);
/* ---- for operators ---- */

enum store_kind { STORE_GREYLIST, STORE_RATE };
struct store_entry {
	struct str key, value;
	int64_t seconds_left;
};
/* Entries whose key begins with prefix, sorted by key, at most max of them, in a. *count: how many; -1 with *e. Suspends, long. */
int store_list(struct arena *a, enum store_kind kind, struct str prefix, size_t max, struct store_entry **out, size_t *count, struct err *e);
int store_set(struct arena *a, enum store_kind kind, struct str key, struct str value, int64_t seconds, struct err *e); /* Suspends. */
int store_forget(struct arena *a, enum store_kind kind, struct str key, struct err *e); /* Suspends. */
bool store_is_shared(void);
int64_t store_rate_now(void); /* microseconds on the clock that rates are kept by */

/* A value made fit for a {hash tag} of a key: short, without braces and blanks. */
struct str store_tag(struct arena *a, struct str value);

#endif
