/* t/unit/gcra.c - the arithmetic of rate limits. */
#include "policyd/gcra.h"

#include "t/unit/tap.h"

int main(void)
{
	const struct gcra_limit ten_a_minute = { .count = 10, .period_ms = 60000, .burst = 3 };
	struct gcra_answer a;
	int64_t arrival = 0, now = 1000000;

	for (int i = 0; i < 3; i++) {
		a = gcra_count(&ten_a_minute, arrival, now);
		ok(a.allowed, "burst: %d at once", i + 1);
		arrival = a.arrival;
	}
	a = gcra_count(&ten_a_minute, arrival, now);
	ok(!a.allowed, "the fourth is too many");
	is_int(a.wait_ms, 6000, "one interval to wait");
	is_int(a.arrival, arrival, "a refused event leaves no mark");
	ok(!gcra_count(&ten_a_minute, arrival, now + 5999).allowed, "a millisecond early");
	ok(gcra_count(&ten_a_minute, arrival, now + 6000).allowed, "in time");
	a = gcra_count(&ten_a_minute, arrival, now + 3600000);
	is_int(a.arrival, now + 3600000 + 6000, "an old key counts as new");
	ok(gcra_count(&(struct gcra_limit){ .count = 100000, .period_ms = 10, .burst = 1 }, 0, 5).allowed,
		"an interval below a millisecond is one");
	return done_testing();
}
