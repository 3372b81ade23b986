/* mta/qmgr/deliver.c - one delivery: request to the agent, its answer, what follows for recipients, destination and transport. */
#include "mta/qmgr/qmgr.h"

#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"

#define CONNECT_MS 30000
#define REQUEST_MS 60000
#define ANSWER_MS (5 * 3600 * 1000) /* an agent's own limits end a delivery long before */
#define TRIES 3 /* connections that turn out to be stale */

enum attempt { ATTEMPT_STOPPED, ATTEMPT_DONE, ATTEMPT_UNAVAILABLE, ATTEMPT_BROKEN };

static void make_request(const struct batch *b, struct deliver_request *r)
{
	struct message *m = b->peer->job->msg;

	*r = (struct deliver_request){ .m = m->m,
		.nexthop = b->peer->nexthop,
		.active_us = m->active_us,
		.start_us = clock_wall_us(),
		.soft_bounce = qmgr.set.soft_bounce,
		.fd = m->fd };
	r->m.rcpts = arena_alloc(m->life, b->count * sizeof *r->m.rcpts);
	r->m.rcpt_count = b->count;
	for (size_t i = 0; i < b->count; i++)
		r->m.rcpts[i] = m->m.rcpts[b->rcpts[i]];
	if (verp_wanted(m))
		r->m.sender = verp_sender(m, &r->m.rcpts[0]);
}

/* *sent: the agent may have begun. */
static int talk(struct stream *s, const struct deliver_request *r, struct arena *a, struct deliver_answer *answer, bool *sent, struct err *e)
{
	*sent = deliver_send_request(s, r, deadline_in(REQUEST_MS), e) == 0;
	if (!*sent || deliver_receive_answer(s, a, answer, deadline_in(ANSWER_MS), e) < 0)
		return -1;
	return answer->count == r->m.rcpt_count ? 0 : err_temp(e, "malformed response");
}

/* A connection may belong to a worker that is just leaving: that is no reason to blame the transport. */
static enum attempt attempt(struct batch *b, struct deliver_answer *answer, struct err *e)
{
	struct transport *t = b->peer->job->transport;
	struct deliver_request r;
	bool reused = true, sent = false;

	make_request(b, &r);
	for (int i = 0; i < TRIES && (reused || !sent); i++) {
		struct stream *s = pool_get(t->pool, deadline_in(CONNECT_MS), &reused, e);

		if (s == NULL)
			return ATTEMPT_UNAVAILABLE;
		if (talk(s, &r, b->peer->job->msg->life, answer, &sent, e) == 0) {
			pool_put(t->pool, s);
			return ATTEMPT_DONE;
		}
		pool_drop(t->pool, s);
		b->peer->job->msg->stray |= sent;
	}
	return ATTEMPT_BROKEN;
}

static void record(struct batch *b, const struct deliver_answer *answer)
{
	static const enum fate fates[] = {
		[DELIVER_SENT] = FATE_SENT, [DELIVER_DEFERRED] = FATE_DEFERRED, [DELIVER_BOUNCED] = FATE_BOUNCED
	};
	struct message *m = b->peer->job->msg;

	for (size_t i = 0; i < b->count; i++) {
		const struct deliver_result *r = &answer->results[i];
		struct outcome *o = &m->outcomes[b->rcpts[i]];
		enum fate fate = fates[r->status];

		o->code = r->code;
		o->relay = r->relay;
		o->text = r->text;
		o->remote_mta = r->remote_mta;
		o->dsn_passed = r->dsn_passed;
		o->action = r->action;
		if (fate == FATE_BOUNCED && qmgr.set.soft_bounce) {
			fate = FATE_DEFERRED;
			o->code.c = 4;
		}
		active_settle(m, b->rcpts[i], fate);
	}
	if (answer->site_down)
		dest_failed(b->peer->dest, answer->site_code, answer->site_text);
	else
		dest_succeeded(b->peer->dest);
}

static void fail(struct batch *b, enum attempt what, const struct err *e)
{
	struct transport *t = b->peer->job->transport;
	const char *text = what == ATTEMPT_UNAVAILABLE ? "mail transport unavailable" : "unknown mail transport error";

	if (what == ATTEMPT_UNAVAILABLE)
		log_warn("connect to transport private/%s: %s", t->name, e->text);
	else
		log_warn("private/%s socket: %s", t->name, e->text);
	if (what == ATTEMPT_BROKEN)
		log_warn("transport %s failure -- see a previous warning/fatal/panic logfile record for the problem description", t->name);
	for (size_t i = 0; i < b->count; i++) {
		b->peer->job->msg->outcomes[b->rcpts[i]].soon = what == ATTEMPT_UNAVAILABLE; /* what made it crash waits longer */
		recipient_defer(b->peer->job->msg, b->rcpts[i], CODE(451, 4, 3, 0), str_z(text));
	}
	transport_fail(t, text);
}

/* ---- giving the slot back ---- */

struct pause {
	struct transport *transport;
	struct dest *dest;
	int64_t ms;
};

static void pause_run(void *arg)
{
	struct pause *p = arg;

	fiber_sleep(p->ms);
	if (p->transport->delay_ms > 0)
		p->transport->busy--;
	sched_release(p->transport, p->dest);
	mem_free(p);
}

/* With a rate delay the destination's slot, or the transport's too, stays taken for that long. */
static void release_slot(struct transport *t, struct dest *d, bool used)
{
	int64_t ms = t->delay_ms > t->dest_delay_ms ? t->delay_ms : t->dest_delay_ms;
	struct pause *p;

	if (t->delay_ms <= 0 || !used)
		t->busy--;
	if (ms <= 0 || !used) {
		sched_release(t, d);
		return;
	}
	p = mem_alloc(sizeof *p);
	*p = (struct pause){ t, d, ms };
	fiber_start("rate delay", pause_run, p);
	sched_run(t);
}

static void deliver_run(void *arg)
{
	struct batch *b = arg;
	struct message *m = b->peer->job->msg;
	struct transport *t = b->peer->job->transport;
	struct dest *d = b->peer->dest;
	struct deliver_answer answer;
	struct err e = ERR_INIT;
	enum attempt r = operator_stops(b) ? ATTEMPT_STOPPED : attempt(b, &answer, &e);

	if (r == ATTEMPT_DONE)
		record(b, &answer);
	else if (r != ATTEMPT_STOPPED)
		fail(b, r, &e);
	if (m->unsettled > 0)
		retry_mark(m, b->rcpts, b->count);
	m->in_flight--;
	release_slot(t, d, r != ATTEMPT_STOPPED);
	active_settled(m);
}

void deliver_start(struct batch *b)
{
	fiber_start("delivery", deliver_run, b);
}
