/* policyd/shadow.h - policies on trial: check_shadow NAME evaluates a restriction class, after the answer is out, and reports where it
 * would have answered otherwise. It is never obeyed, and what it remembers (greylist, rate) is kept apart.
 */
#ifndef GATEPOST_POLICYD_SHADOW_H
#define GATEPOST_POLICYD_SHADOW_H

#include "policyd/evaluate.h"

/* Try every check_shadow of rules on a request that was answered with out. Returns at once, but for r->trace: then it waits for them. */
void shadow_try(struct request *r, struct ruleset *rules, const struct outcome *out);

#endif
