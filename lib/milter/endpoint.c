/* lib/milter/endpoint.c - what a process remembers of a filter from session to session: whether it let us wait in vain, and whether it
 * judges by the header. A filter that answers nobody costs each client a timeout; after some of those it gets its default action at once, and is tried again a little later.
 * Failures that took no time (connection refused) do not count: they cost nothing, and the filter may be back the next moment.
 */
#include "lib/base/log.h"
#include "lib/base/map.h"
#include "lib/base/mem.h"
#include "lib/milter/filter.h"

#define COSTLY_US 500000 /* a failure that took longer made somebody wait */

struct endpoint {
	unsigned failures; /* in a row */
	int64_t rests_until; /* 0: not at all */
	unsigned patient; /* messages in a row that it heard to their end */
};

static struct endpoint *endpoint_of(const struct milter_settings *set)
{
	static struct map *all; /* by endpoint; as many as are configured */
	struct endpoint *ep;

	if (all == NULL)
		all = map_new();
	ep = map_get(all, str_z(set->endpoint));
	if (ep == NULL) {
		ep = mem_alloc(sizeof *ep);
		map_put(all, str_z(set->endpoint), ep);
	}
	return ep;
}

bool endpoint_pipelines(const struct milter_settings *set)
{
	return set->pipelining_after > 0 && endpoint_of(set)->patient >= set->pipelining_after;
}

void endpoint_heard_all(const struct milter_settings *set)
{
	endpoint_of(set)->patient++;
}

void endpoint_judged_early(const struct milter_settings *set)
{
	endpoint_of(set)->patient = 0;
}

bool endpoint_resting(const struct milter_settings *set)
{
	struct endpoint *ep = set->breaker_ms > 0 ? endpoint_of(set) : NULL;

	if (ep == NULL || ep->rests_until == 0)
		return false;
	if (ep->rests_until > clock_mono_ms())
		return true;
	ep->rests_until = 0;
	ep->failures = set->breaker_failures - 1; /* one more is enough */
	return false;
}

void endpoint_failed(const struct milter_settings *set, int64_t waited_us)
{
	struct endpoint *ep;

	if (set->breaker_ms <= 0 || waited_us < COSTLY_US)
		return;
	ep = endpoint_of(set);
	if (++ep->failures < set->breaker_failures || ep->rests_until != 0)
		return;
	ep->rests_until = deadline_in(set->breaker_ms);
	log_warn("milter %s: %u failures in a row: not asked for %lld s", set->endpoint, ep->failures, (long long)set->breaker_ms / 1000);
}

void endpoint_worked(const struct milter_settings *set)
{
	if (set->breaker_ms > 0)
		endpoint_of(set)->failures = 0;
}
