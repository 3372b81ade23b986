/* policyd/evaluate.h - a ruleset applied to a request: checks that only ask run at once, verdicts count in the configured order. */
#ifndef GATEPOST_POLICYD_EVALUATE_H
#define GATEPOST_POLICYD_EVALUATE_H

#include "policyd/ruleset.h"

#define HEADERS_MAX 8 /* fields one request can bring */

struct outcome {
	struct verdict verdict; /* of the rule that answered; its action is DUNNO when none did */
	size_t index; /* that rule's */
	bool answered;
	struct str headers[HEADERS_MAX];
	size_t header_count;
};

void evaluate(struct request *r, struct ruleset *s, struct outcome *out); /* Suspends. */

#endif
