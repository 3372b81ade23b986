/* mta/local/handover.c - mailbox_transport, fallback_transport: another delivery agent takes the recipient; its answer is ours. */
#include "lib/base/clock.h"
#include "lib/proto/agent.h"
#include "mta/local/local.h"

void handover(struct job *j, const struct origin *o, struct str where)
{
	struct deliver_request r = *j->r;
	struct queue_rcpt rcpt = o->rcpt;
	struct str transport = str_cut(&where, ':');
	struct deliver_answer answer = { 0 };
	struct err e = ERR_INIT;

	r.m.rcpts = &rcpt;
	r.m.rcpt_count = 1;
	if (where.n > 0)
		r.nexthop = where;
	if (transport.n == 0 || str_chr(transport, '/') >= 0) {
		err_temp(&e, "no transport in mailbox_transport or fallback_transport");
		job_defer(j, o, &e);
	} else if (agent_hand_over(j->a, transport, &r, deadline_in(cfg.ipc_ms), &answer, &e) < 0) {
		job_defer(j, o, &e);
	} else {
		job_join(j, &answer.results[0]); /* that agent has logged it */
	}
}
