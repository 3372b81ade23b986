/* lib/proto/policy.h - Postfix's policy delegation protocol (name=value lines, empty line), both ends.
 *
 * Between our smtpd and policyd the protocol carries one attribute more: "restrictions", main.cf text, the run of neighbouring restrictions
 * that policyd is to evaluate in order ("check_client_access hash:x, reject_rbl_client bl.test"). policyd stops at the first one that does
 * not answer DUNNO and names it in its answer. "service" is the smtpd's name in master.cf: the row's -o settings count for its questions.
 * In the answer:
 *   action=ACTION       access(5) action: OK, REJECT text, 450 4.7.1 text, DEFER_IF_PERMIT text, PREPEND h: v, a restriction list ... ;
 *                       DUNNO when all were asked
 *   index=N             which restriction answered (0-based word-group in "restrictions"); smtpd knows from it what the reply is about, and
 *                       goes on behind it when the action does not end the evaluation
 *   whole=1             the action's text is the complete reply text, not to be prefixed with "<rcpt>: Recipient address rejected: "
 *   header=FIELD        a header field to put on top of the message whatever the action is (Received-SPF); may be repeated
 * A stock Postfix sends no "restrictions"; policyd then evaluates policyd_restrictions and answers with "action" alone.
 */
#ifndef GATEPOST_LIB_PROTO_POLICY_H
#define GATEPOST_LIB_PROTO_POLICY_H

#include "lib/base/arena.h"
#include "lib/base/err.h"
#include "lib/base/str.h"
#include "lib/net/pool.h"
#include "lib/net/stream.h"

#define POLICY_LINE_MAX 8192
#define POLICY_ATTRS_MAX 64

struct policy_attr {
	struct str name, value;
};

struct policy_request {
	struct policy_attr attrs[POLICY_ATTRS_MAX];
	size_t count;
};

void policy_add(struct policy_request *r, const char *name, struct str value); /* CR, LF, NUL in value become '?'; more than the maximum: check() */
struct str policy_get(const struct policy_request *r, const char *name);       /* empty when absent */

/* Asker: send r over a pooled connection, wait for the answer's attributes ("action" is there). One retry on a stale connection. Values live
 * in arena. Suspends. 0, or -1 with *e. */
int policy_ask(struct pool *p, struct arena *arena, const struct policy_request *r, struct policy_request *answer, int64_t deadline,
	struct err *e);

/* Server: 0 filled (values in a), 1 peer closed between requests, -1 with *e. Suspends. */
int policy_receive(struct stream *s, struct arena *a, struct policy_request *out, int64_t deadline, struct err *e);
int policy_send_answer(struct stream *s, const struct policy_request *answer, int64_t deadline, struct err *e); /* flushes. Suspends. */
/* One "name=value" line, without its LF, into out; what is beyond POLICY_ATTRS_MAX is ignored. For policy_receive() and its fuzz target. */
int policy_take_line(struct str line, struct arena *a, struct policy_request *out, struct err *e);

#endif
