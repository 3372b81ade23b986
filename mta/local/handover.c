/* mta/local/handover.c - mailbox_transport, fallback_transport: another delivery agent takes the recipient; its answer is ours. */
#include "lib/base/clock.h"
#include "lib/net/sock.h"
#include "mta/local/local.h"

static int ask(struct job *j, const struct deliver_request *r, struct str transport, struct deliver_answer *answer, struct err *e)
{
	struct str endpoint = arena_printf(j->a, "unix:private/%.*s", STRF(transport));
	int64_t deadline = deadline_in(cfg.ipc_ms);
	struct stream *s = sock_connect_endpoint(endpoint, deadline, e);
	int result;

	if (s == NULL)
		return -1;
	result = deliver_send_request(s, r, deadline, e);
	if (result == 0)
		result = deliver_receive_answer(s, j->a, answer, deadline, e);
	if (result == 0 && answer->count != 1)
		result = err_temp(e, "answer for %zu recipients instead of one", answer->count);
	stream_close(s);
	return result < 0 ? err_context(e, "transport %.*s", STRF(transport)) : 0;
}

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
	} else if (ask(j, &r, transport, &answer, &e) < 0) {
		job_defer(j, o, &e);
	} else {
		job_join(j, &answer.results[0]); /* that agent has logged it */
	}
}
