/* policyd/gcra.h - rate limits by the generic cell rate algorithm: one number a key, no buckets to clean, bursts up to `burst` at once and
 * then one event each period/count. Times are milliseconds of any clock.
 */
#ifndef GATEPOST_POLICYD_GCRA_H
#define GATEPOST_POLICYD_GCRA_H

#include <stdbool.h>
#include <stdint.h>

struct gcra_limit {
	int64_t count, period_ms; /* count events in period_ms on average; both > 0 */
	int64_t burst; /* events at once; > 0 */
};

struct gcra_answer {
	bool allowed;
	int64_t wait_ms; /* refused: when the next one would be allowed */
	int64_t arrival; /* the new theoretical arrival time, to be kept when allowed */
};

/* arrival: the kept number, 0 for a new key. */
struct gcra_answer gcra_count(const struct gcra_limit *l, int64_t arrival, int64_t now);

#endif
