/* t/unit/greylist.c - the steps of greylisting in memory. */
#include "policyd/greylist.h"

#include "t/unit/tap.h"

static const struct greylist_times times = { .delay_s = 300, .window_s = 172800, .lifetime_s = 3024000, .auto_allow = 2 };

static struct greylist_answer step(struct lru *l, const char *triplet, int64_t now)
{
	return greylist_in_memory(l, STR("net"), str_z(triplet), &times, now);
}

int main(void)
{
	struct lru *l = lru_new(100);
	struct greylist_answer g;

	g = step(l, "a", 1000);
	ok(g.state == GREYLIST_WAIT, "a new triplet waits");
	is_int(g.seconds, 300, "the whole delay");
	g = step(l, "a", 1100);
	ok(g.state == GREYLIST_WAIT && g.seconds == 200, "too early: the rest of the delay");
	g = step(l, "a", 900);
	ok(g.state == GREYLIST_WAIT && g.seconds == 300, "a clock that went back never makes it longer than the delay");
	g = step(l, "a", 1300);
	ok(g.state == GREYLIST_PASSED && g.seconds == 300, "after the delay it passes");
	ok(step(l, "a", 1301).state == GREYLIST_KNOWN, "and is known from then on");
	ok(step(l, "b", 1400).state == GREYLIST_WAIT, "another triplet waits for itself");
	ok(step(l, "b", 1700).state == GREYLIST_PASSED, "passes");
	ok(step(l, "c", 1701).state == GREYLIST_KNOWN, "two triplets passed: the network passes at once");
	lru_put(l, STR("net"), STR(GREYLIST_ALLOWED), 100);
	ok(greylist_in_memory(l, STR("net"), STR("d"), &(struct greylist_times){ .delay_s = 300, .window_s = 10, .lifetime_s = 10 }, 1800).state ==
			GREYLIST_KNOWN,
		"a network that the operator allowed passes, however many did before");
	lru_free(l);

	l = lru_new(100);
	g = greylist_in_memory(l, STR("net"), STR("a"), &(struct greylist_times){ .lifetime_s = 10, .window_s = 10 }, 5);
	ok(g.state == GREYLIST_PASSED && g.seconds == 0, "no delay: nobody waits");
	lru_free(l);
	return done_testing();
}
