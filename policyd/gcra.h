/* policyd/gcra.h - rate limits by the generic cell rate algorithm: one number a key, no buckets to clean; `burst` units at once and then
 * one each period/count. Units are what the caller counts: messages, recipients, octets. Times are microseconds of any clock.
 */
#ifndef GATEPOST_POLICYD_GCRA_H
#define GATEPOST_POLICYD_GCRA_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/lru.h"
#include "lib/base/str.h"

struct gcra_limit {
	int64_t count, period_us; /* count units in period_us on average; both > 0 */
	int64_t burst; /* units at once; > 0. What costs more than that is let through when nothing else was. */
};

struct gcra_answer {
	bool allowed;
	int64_t wait_us; /* refused: when it would be allowed */
	int64_t arrival; /* the new theoretical arrival time, to be kept when allowed */
};

/* arrival: the kept number, 0 for a new key. */
struct gcra_answer gcra_count(const struct gcra_limit *l, int64_t cost, int64_t arrival, int64_t now);

/* One event counted against several limits. Keys are what the numbers are kept by. */
struct gcra_item {
	struct gcra_limit limit;
	int64_t cost;
	struct str key;
	struct str once; /* non-empty: a key that remembers that this message was counted */
};

/* Counted against all of them, or against none when one says no: its place, and when it will not any more. -1: allowed.
 * dry: nothing is kept. In this process's memory: */
int gcra_in_memory(struct lru *l, const struct gcra_item *items, size_t count, bool dry, int64_t now, int64_t *wait_us);
/* The same in Redis. Keys: key and once (the key again: none) of each item. Arguments: dry, then period, count, burst, cost of each.
 * Answers {place from 1 or 0, wait_us}. */
extern const char gcra_script[];

#endif
