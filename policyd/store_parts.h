/* policyd/store_parts.h - what the files of the store share. */
#ifndef GATEPOST_POLICYD_STORE_PARTS_H
#define GATEPOST_POLICYD_STORE_PARTS_H

#include "lib/base/lru.h"
#include "lib/net/redis.h"
#include "policyd/store.h"

/* The process's memory. */
struct store {
	struct redis *redis; /* NULL: none configured */
	struct lru *cache, *greylist, *rates;
	bool warned; /* that shared state is only this process's */
};
extern struct store store;

struct str store_full_key(struct arena *a, struct str key); /* with redis_key_prefix */
/* Who has passed passes for a while without Redis being asked: remembered by this key. */
struct str store_known_key(struct arena *a, struct str triplet);

#endif
