/* mta/qmgr/feedback.c - the arithmetic of destination concurrency. */
#include "mta/qmgr/feedback.h"

#define NUMBER_MAX 100.0

/* "0.25", "1": digits with one point at most. */
static bool parse_number(struct str s, double *out)
{
	double v = 0, unit = 1;
	bool fraction = false, digits = false;

	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (c == '.' && !fraction) {
			fraction = true;
		} else if (c >= '0' && c <= '9' && i < 16) {
			digits = true;
			unit = fraction ? unit / 10 : unit;
			v = fraction ? v + unit * (c - '0') : v * 10 + (c - '0');
		} else {
			return false;
		}
	}
	*out = v;
	return digits && v > 0 && v <= NUMBER_MAX;
}

bool feedback_parse(struct str text, struct feedback *out)
{
	bool divided = str_chr(text, '/') >= 0;
	struct str number = str_trim(str_cut(&text, '/')), by = str_trim(text);
	struct feedback f = { 0, FEEDBACK_FIXED };

	if (divided && str_eqz(by, "concurrency"))
		f.kind = FEEDBACK_PER_CONCURRENCY;
	else if (divided && str_eqz(by, "sqrt_concurrency"))
		f.kind = FEEDBACK_PER_ROOT;
	else if (divided)
		return false;
	if (!parse_number(number, &f.number))
		return false;
	*out = f;
	return true;
}

/* Square root by Newton's method: not worth linking the mathematics library for. */
static double root(double v)
{
	double r = v > 1 ? v : 1;

	for (int i = 0; i < 40; i++)
		r = (r + v / r) / 2;
	return r;
}

double feedback_amount(const struct feedback *f, unsigned window)
{
	double n = window > 0 ? window : 1;

	switch (f->kind) {
	case FEEDBACK_PER_CONCURRENCY:
		return f->number / n;
	case FEEDBACK_PER_ROOT:
		return f->number / root(n);
	case FEEDBACK_FIXED:
		break;
	}
	return f->number;
}

void concurrency_start(struct concurrency *c, const struct feedback_rules *r)
{
	*c = (struct concurrency){ .window = r->initial > 0 ? r->initial : 1 };
	if (r->limit > 0 && c->window > r->limit)
		c->window = r->limit;
}

void concurrency_success(struct concurrency *c, const struct feedback_rules *r, unsigned busy)
{
	double amount = feedback_amount(&r->positive, c->window);

	c->cohorts = 0;
	if (c->window >= busy + r->initial) /* no growth on credit: the window is not used */
		return;
	c->success += amount;
	while (c->success + amount / 2 >= 1) { /* half an amount of tolerance: ten tenths are one */
		c->window++;
		c->success -= 1;
		c->failure = 0;
	}
	if (r->limit > 0 && c->window > r->limit)
		c->window = r->limit;
	if (c->success < 0)
		c->success = 0;
}

/* The window shrinks at the beginning of a sequence of failures, and again each time their sum has used up one. */
bool concurrency_failure(struct concurrency *c, const struct feedback_rules *r)
{
	double amount = feedback_amount(&r->negative, c->window);

	c->cohorts += 1.0 / (c->window > 0 ? c->window : 1);
	if (r->cohort_limit > 0 && c->cohorts >= r->cohort_limit - 1e-9)
		return true;
	c->failure -= amount;
	while (c->failure < -amount / 2) {
		c->window = c->window > 1 ? c->window - 1 : 1;
		c->failure += 1;
		c->success = 0;
	}
	return false;
}
