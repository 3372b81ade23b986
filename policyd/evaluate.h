/* policyd/evaluate.h - a ruleset applied to a request: checks that only ask run at once, verdicts count in the configured order. */
#ifndef GATEPOST_POLICYD_EVALUATE_H
#define GATEPOST_POLICYD_EVALUATE_H

#include "policyd/ruleset.h"

#define HEADERS_MAX 8 /* fields one request can bring */

/* Actions behind which evaluation goes on. */
enum { KEPT_NOTE, KEPT_EFFECT, KEPT_IF_PERMIT, KEPT_IF_REJECT, KEPT }; /* WARN ...; PREPEND, HOLD, FILTER ...; DEFER_IF_... */

struct outcome {
	struct verdict verdict; /* of the rule that answered; its action is DUNNO when none did */
	const struct check *by; /* whose it is; NULL: nobody answered */
	size_t index; /* its place */
	bool answered;
	bool through; /* what does not end the evaluation is kept, and the rest is asked, too */
	struct str kept[KEPT]; /* such actions, the first of each kind */
	const struct check *kept_by[KEPT];
	struct str headers[HEADERS_MAX];
	size_t header_count;
};

/* Up to the first rule that answers. An action that is a list of policyd's restrictions is evaluated in its place. Suspends. */
void evaluate(struct request *r, struct ruleset *s, struct outcome *out);
/* The same for an asker who does not ask again for the rest: goes on behind actions that do not end an evaluation, and makes one action of
 * all. It is never more permissive than they were: a refusal counts first, then what delays, then what changes the message, then OK. */
void evaluate_through(struct request *r, struct ruleset *s, struct outcome *out);
/* Every rule, whatever the others say: verdicts[i] is rule i's. Suspends. */
void evaluate_all(struct request *r, struct ruleset *s, struct verdict *verdicts);

#endif
