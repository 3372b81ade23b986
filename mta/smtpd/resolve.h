/* mta/smtpd/resolve.h - what trivial-rewrite says about the sender and the recipient under consideration, asked once each. */
#ifndef GATEPOST_MTA_SMTPD_RESOLVE_H
#define GATEPOST_MTA_SMTPD_RESOLVE_H

#include "mta/smtpd/session.h"

/* Ask about an address, and with `known` whether its class's tables have it; the answer lives with the transaction. NULL when the
 * service or a table behind it failed (logged). Suspends. */
struct rewrite_answer *resolve_ask(struct session *s, struct str address, bool known);
/* The address in the form that tables are keyed by and filters are told: standard, lower case; as given while it is not resolved. */
struct str resolve_sender_key(struct session *s);
struct str resolve_rcpt_key(struct session *s);
/* A destination we host or relay for, and no attempt to route beyond it. */
bool resolve_is_ours(const struct rewrite_answer *a);

#endif
