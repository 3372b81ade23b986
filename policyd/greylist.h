/* policyd/greylist.h - the decision of greylisting: a new triplet waits; one that comes back in time passes and is remembered; a client
 * network with enough of those passes at once.
 */
#ifndef GATEPOST_POLICYD_GREYLIST_H
#define GATEPOST_POLICYD_GREYLIST_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/lru.h"
#include "lib/base/str.h"

struct greylist_times {
	int64_t delay_s, window_s, lifetime_s;
	int64_t auto_allow; /* triplets; 0: never */
	bool dry; /* only what would be said */
};

enum greylist_state { GREYLIST_WAIT, GREYLIST_KNOWN, GREYLIST_PASSED };

struct greylist_answer {
	enum greylist_state state; /* PASSED: just now, after `seconds` */
	int64_t seconds; /* WAIT: still to wait */
};

/* Values: an operator's word that a network never waits; a triplet that has passed. Other values are numbers. */
#define GREYLIST_ALLOWED "a"
#define GREYLIST_PASSED_VALUE "p"

/* In this process's memory. now_s: wall clock. */
struct greylist_answer greylist_in_memory(struct lru *l, struct str net, struct str triplet, const struct greylist_times *t, int64_t now_s);
/* The same in Redis. Keys: triplet, network. Arguments: delay, window, lifetime, auto_allow, dry. Answers {state, seconds}. */
extern const char greylist_script[];

#endif
