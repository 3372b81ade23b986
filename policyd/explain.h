/* policyd/explain.h - "gatepost ask": what smtpd's restriction lists would say, as far as they are policyd's to evaluate. */
#ifndef GATEPOST_POLICYD_EXPLAIN_H
#define GATEPOST_POLICYD_EXPLAIN_H

#include "policyd/evaluate.h"

/* Every list that counts in the request's state, until one refuses; policyd_restrictions when none has anything for us. The reasoning goes
 * to r->trace. Suspends. */
void explain_lists(struct request *r, struct outcome *out);

#endif
