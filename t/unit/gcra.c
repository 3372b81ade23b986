/* t/unit/gcra.c - the arithmetic of rate limits, and several limits at once. */
#include "policyd/gcra.h"

#include "t/unit/tap.h"

#define S 1000000 /* microseconds */

static const struct gcra_limit ten_a_minute = { .count = 10, .period_us = 60LL * S, .burst = 3 };

static void test_arithmetic(void)
{
	const struct gcra_limit octets = { .count = 100 << 20, .period_us = 30LL * 86400 * S, .burst = 100 << 20 };
	int64_t arrival = 0, now = 1700000000LL * S;
	struct gcra_answer a;

	for (int i = 0; i < 3; i++) {
		a = gcra_count(&ten_a_minute, 1, arrival, now);
		ok(a.allowed, "burst: %d at once", i + 1);
		arrival = a.arrival;
	}
	a = gcra_count(&ten_a_minute, 1, arrival, now);
	ok(!a.allowed, "the fourth is too many");
	is_int(a.wait_us, 6 * S, "one interval to wait");
	is_int(a.arrival, arrival, "a refused event leaves no mark");
	ok(!gcra_count(&ten_a_minute, 1, arrival, now + 6 * S - 1000).allowed, "a millisecond early");
	ok(gcra_count(&ten_a_minute, 1, arrival, now + 6 * S).allowed, "in time");
	a = gcra_count(&ten_a_minute, 1, arrival, now + 3600LL * S);
	is_int(a.arrival, now + 3606LL * S, "an old key counts as new");
	ok(gcra_count(&ten_a_minute, 100, 0, now).allowed, "what is larger than the burst passes when nothing else did");
	ok(!gcra_count(&ten_a_minute, 100, now + 1000, now).allowed, "and only then");
	a = gcra_count(&octets, 50 << 20, 0, now);
	ok(a.allowed, "half a month's octets");
	is_int((a.arrival - now) / S, 15 * 86400, "cost half a month");
	ok(!gcra_count(&octets, 51 << 20, a.arrival, now).allowed, "and the other half is all there is");
}

static void test_several(void)
{
	struct lru *l = lru_new(100);
	struct gcra_item items[] = {
		{ .limit = { 100, 60LL * S, 100 }, .cost = 1, .key = STR("wide") },
		{ .limit = { 2, 60LL * S, 2 }, .cost = 1, .key = STR("narrow") },
	};
	int64_t now = 1000LL * S, wait = 0;

	is_int(gcra_in_memory(l, items, 2, true, now, &wait), -1, "dry: allowed");
	is_int((long long)lru_count(l), 0, "and nothing kept");
	gcra_in_memory(l, items, 2, false, now, &wait);
	gcra_in_memory(l, items, 2, false, now, &wait);
	is_int(gcra_in_memory(l, items, 2, false, now, &wait), 1, "the second limit says no");
	is_int(wait, 30 * S, "and for how long");
	items[1].limit.burst = 100;
	for (int i = 0; i < 98; i++)
		gcra_in_memory(l, items, 1, false, now, &wait);
	is_int(gcra_in_memory(l, items, 1, false, now, &wait), 0, "what the second refused the first has not counted");
	items[0] = (struct gcra_item){ .limit = { 1, 60LL * S, 1 }, .cost = 1, .key = STR("m"), .once = STR("m:id1") };
	is_int(gcra_in_memory(l, items, 1, false, now, &wait), -1, "a message");
	is_int(gcra_in_memory(l, items, 1, false, now, &wait), -1, "and its other recipients");
	items[0].once = STR("m:id2");
	is_int(gcra_in_memory(l, items, 1, false, now, &wait), 0, "but not the next message");
	lru_free(l);
}

int main(void)
{
	test_arithmetic();
	test_several();
	return done_testing();
}
