/* policyd/evaluate.h - a ruleset applied to a request: checks that only ask run at once, verdicts count in the configured order. */
#ifndef GATEPOST_POLICYD_EVALUATE_H
#define GATEPOST_POLICYD_EVALUATE_H

#include "policyd/ruleset.h"

#define HEADERS_MAX 8 /* fields one request can bring */

struct outcome {
	struct verdict verdict; /* of the rule that answered; its action is DUNNO when none did */
	const struct check *by; /* whose it is; NULL: nobody answered */
	size_t index; /* its place */
	bool answered;
	struct str headers[HEADERS_MAX];
	size_t header_count;
};

/* Up to the first rule that answers. An action that is a list of policyd's restrictions is evaluated in its place. Suspends. */
void evaluate(struct request *r, struct ruleset *s, struct outcome *out);
/* Every rule, whatever the others say: verdicts[i] is rule i's. Suspends. */
void evaluate_all(struct request *r, struct ruleset *s, struct verdict *verdicts);

#endif
