/* policyd/gcra.c - the arithmetic of rate limits; the script in store.c does the same in Redis. */
#include "policyd/gcra.h"

struct gcra_answer gcra_count(const struct gcra_limit *l, int64_t arrival, int64_t now)
{
	int64_t interval = l->period_ms / l->count > 0 ? l->period_ms / l->count : 1;
	int64_t next = (arrival > now ? arrival : now) + interval;
	int64_t allowed_at = next - l->burst * interval;

	if (allowed_at > now)
		return (struct gcra_answer){ .allowed = false, .wait_ms = allowed_at - now, .arrival = arrival };
	return (struct gcra_answer){ .allowed = true, .arrival = next };
}
