/* lib/proto/agent.h - the request loop of a delivery agent: take a request from qmgr, deliver, answer, and again. */
#ifndef GATEPOST_LIB_PROTO_AGENT_H
#define GATEPOST_LIB_PROTO_AGENT_H

#include "lib/proto/deliver.h"

/* Fills out->results[0..count), which are there already, one per recipient; logs each with deliver_log(). With QUEUE_PROBE nothing is
 * delivered, and the result says how it would be; there may be no content. */
typedef void agent_deliver_fn(struct arena *a, const struct deliver_request *r, struct deliver_answer *out);

/* Serve requests on s until the peer closes or agent_drain(). label: static text. Suspends. */
void agent_serve(struct stream *s, const char *label, agent_deliver_fn *deliver);
/* No more requests than those under way: the service's drain(). */
void agent_drain(void);

/* Another agent delivers in our place: its results, which it has logged. 0, or -1 with *e (nothing is known). Suspends. */
int agent_hand_over(
	struct arena *a, struct str transport, const struct deliver_request *r, int64_t deadline, struct deliver_answer *out, struct err *e);

/* All recipients of the request share one result: set and log it. */
void agent_same_result(const struct deliver_request *r, const struct deliver_result *res, struct deliver_answer *out);

#endif
