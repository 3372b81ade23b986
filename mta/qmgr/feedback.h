/* mta/qmgr/feedback.h - how concurrency towards a destination follows its answers: plain arithmetic.
 * Success adds to the window, failure takes from it, each by an amount that may depend on the window ("1", "1/concurrency",
 * "1/sqrt_concurrency"). A round of failures as large as the window is a failed cohort; enough of them, and the destination is down.
 */
#ifndef GATEPOST_MTA_QMGR_FEEDBACK_H
#define GATEPOST_MTA_QMGR_FEEDBACK_H

#include <stdbool.h>

#include "lib/base/str.h"

enum feedback_kind { FEEDBACK_FIXED, FEEDBACK_PER_CONCURRENCY, FEEDBACK_PER_ROOT };

struct feedback {
	double number;
	enum feedback_kind kind;
};

struct feedback_rules {
	struct feedback positive, negative;
	unsigned initial, limit; /* limit 0: none */
	double cohort_limit; /* 0: never down */
};

struct concurrency {
	unsigned window;
	double success, failure, cohorts;
};

bool feedback_parse(struct str text, struct feedback *out);
double feedback_amount(const struct feedback *f, unsigned window);
void concurrency_start(struct concurrency *c, const struct feedback_rules *r);
void concurrency_success(struct concurrency *c, const struct feedback_rules *r, unsigned busy);
bool concurrency_failure(struct concurrency *c, const struct feedback_rules *r); /* true: the destination is down */

#endif
