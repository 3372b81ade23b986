/* t/unit/feedback.c - the arithmetic of destination concurrency. */
#include "mta/qmgr/feedback.h"

#include "t/unit/tap.h"

static const struct {
	const char *text;
	bool good;
	double at4; /* amount for a window of 4 */
} texts[] = {
	{ "1", true, 1 },
	{ "0.25", true, 0.25 },
	{ "1/concurrency", true, 0.25 },
	{ "1 / concurrency", true, 0.25 },
	{ "1/sqrt_concurrency", true, 0.5 },
	{ ".5", true, 0.5 },
	{ "", false, 0 },
	{ "0", false, 0 },
	{ "-1", false, 0 },
	{ "1/", false, 0 },
	{ "1/window", false, 0 },
	{ "1e3", false, 0 },
	{ "1.2.3", false, 0 },
	{ "99999999999999999999", false, 0 },
};

static bool near(double a, double b)
{
	return a - b < 1e-6 && b - a < 1e-6;
}

static void test_texts(void)
{
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
		struct feedback f = { 7, FEEDBACK_FIXED };

		ok(feedback_parse(str_z(texts[i].text), &f) == texts[i].good, "'%s' is %s", texts[i].text,
			texts[i].good ? "fine" : "refused");
		if (texts[i].good)
			ok(near(feedback_amount(&f, 4), texts[i].at4), "'%s' for a window of 4", texts[i].text);
		else
			ok(f.number > 6, "'%s' leaves the value alone", texts[i].text);
	}
}

static struct feedback_rules rules(const char *positive, const char *negative, unsigned initial, unsigned limit, double cohorts)
{
	struct feedback_rules r = { .initial = initial, .limit = limit, .cohort_limit = cohorts };

	ok(feedback_parse(str_z(positive), &r.positive) && feedback_parse(str_z(negative), &r.negative), "rules %s %s", positive, negative);
	return r;
}

static void test_growth(void)
{
	struct feedback_rules r = rules("1", "1", 5, 20, 1), tenth = rules("0.1", "1", 5, 20, 1), free = rules("1", "1", 5, 0, 1);
	struct concurrency c;

	concurrency_start(&c, &r);
	is_int(c.window, 5, "starts with the initial window");
	concurrency_success(&c, &r, 5);
	is_int(c.window, 6, "one success, one more");
	concurrency_success(&c, &r, 1);
	is_int(c.window, 6, "no growth while the window is not used");
	for (int i = 0; i < 100; i++)
		concurrency_success(&c, &r, c.window);
	is_int(c.window, 20, "up to the limit");
	concurrency_start(&c, &tenth);
	for (int i = 0; i < 9; i++)
		concurrency_success(&c, &tenth, c.window);
	is_int(c.window, 5, "nine tenths are not enough");
	concurrency_success(&c, &tenth, c.window);
	is_int(c.window, 6, "ten are");
	concurrency_start(&c, &free);
	for (int i = 0; i < 100; i++)
		concurrency_success(&c, &free, c.window);
	is_int(c.window, 105, "without a limit");
}

static void test_failures(void)
{
	struct feedback_rules r = rules("1", "1", 5, 20, 2), never = rules("1", "1", 5, 20, 0), one = rules("1", "1", 5, 20, 1);
	struct concurrency c;
	int n;

	concurrency_start(&c, &r);
	ok(!concurrency_failure(&c, &r), "one failure is not the end");
	is_int(c.window, 4, "but the window shrinks at once");
	concurrency_success(&c, &r, 4);
	ok(near(c.cohorts, 0), "success forgets failed cohorts");
	for (n = 1; n < 100 && !concurrency_failure(&c, &r); n++)
		;
	ok(n > 2 && n < 10, "two cohorts of failures are (%d)", n);
	concurrency_start(&c, &one);
	for (n = 1; n < 100 && !concurrency_failure(&c, &one); n++)
		;
	ok(n > 1 && n <= 5, "a cohort is as many failures as the window (%d)", n);
	concurrency_start(&c, &never);
	for (n = 0; n < 1000 && !concurrency_failure(&c, &never); n++)
		;
	is_int(n, 1000, "with a limit of 0 it never is down");
	is_int(c.window, 1, "and one delivery is always tried");
}

int main(void)
{
	test_texts();
	test_growth();
	test_failures();
	return done_testing();
}
