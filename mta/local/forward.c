/* mta/local/forward.c - recipients that are not ours: the message goes in again through cleanup, once for each sender. */
#include <string.h>

#include "lib/base/clock.h"
#include "lib/mail/date.h"
#include "lib/mail/dsn.h"
#include "lib/net/pool.h"
#include "lib/proto/cleanup.h"
#include "lib/service/service.h"
#include "mta/local/local.h"

#define POOL_MAX 8

struct forward {
	struct forward *next;
	struct str sender;
	bool owned; /* a list's */
	struct queue_rcpt *rcpts;
	size_t count, cap;
};

static struct pool *cleanup;

void forward_init(const struct conf *c)
{
	cleanup = pool_new(service_endpoint(c, "cleanup_service_name"), POOL_MAX, conf_time_ms(c, "ipc_idle"), conf_time_ms(c, "ipc_ttl"));
}

static struct forward *with_sender(struct job *j, struct str sender, bool owned)
{
	struct forward *f;

	for (f = j->forwards; f != NULL; f = f->next) {
		if (str_eq(f->sender, sender) && f->owned == owned)
			return f;
	}
	f = arena_alloc(j->a, sizeof *f);
	f->sender = sender;
	f->owned = owned;
	f->next = j->forwards;
	j->forwards = f;
	return f;
}

void forward_add(struct job *j, const struct origin *o, struct str address)
{
	struct forward *f;

	if (job_probed(j, o, arena_printf(j->a, "forwarded to %.*s", STRF(address))))
		return;
	f = with_sender(j, o->sender, o->owned);
	if (f->count == f->cap) {
		struct queue_rcpt *more = arena_alloc(j->a, (f->cap * 2 + 8) * sizeof *more);

		if (f->count > 0)
			memcpy(more, f->rcpts, f->count * sizeof *more);
		f->rcpts = more;
		f->cap = f->cap * 2 + 8;
	}
	if (o->owned)
		f->rcpts[f->count++] = (struct queue_rcpt){ .addr = address, .orig = address };
	else
		f->rcpts[f->count++] = (struct queue_rcpt){ .addr = address,
			.orig = o->rcpt.orig.n > 0 ? o->rcpt.orig : o->rcpt.addr,
			.orcpt = o->rcpt.orcpt,
			.notify = o->rcpt.notify };
}

/* ---- the new message ---- */

static void make_request(struct job *j, const struct forward *f, struct cleanup_request *out)
{
	const struct queue_message *m = &j->r->m;
	struct buf received = { 0 };

	*out = (struct cleanup_request){ .flags = CLEANUP_NO_MILTERS | CLEANUP_NO_CHECKS, .m = *m };
	queue_id_new(out->m.id);
	out->m.flags = (m->flags & ~(unsigned)(QUEUE_HOLD | QUEUE_TRACE)) | QUEUE_LOCAL;
	out->m.arrival_us = clock_wall_us();
	out->m.sender = f->sender;
	out->m.filter = STR_NONE;
	if (f->owned) {
		out->m.envid = STR_NONE;
		out->m.ret = DSN_RET_NONE;
	}
	out->m.rcpts = f->rcpts;
	out->m.rcpt_count = f->count;
	buf_addf(&received, "Received: by %s (%s)\r\n\tid %s; ", cfg.myhostname, cfg.mail_name, out->m.id);
	date_rfc5322(&received, clock_wall_us());
	out->received = arena_dup(j->a, buf_str(&received));
	buf_done(&received);
}

/* Who it was delivered to before it was sent on: how a loop is found. */
static int send_front(struct job *j, struct stream *to, const struct origin *top, struct err *e)
{
	struct str recipient = addr_quote(j->a, arena_lower(j->a, top->rcpt.addr));

	if (!(cfg.delivered_headers & DELIVERED_TO_FORWARD))
		return 0;
	return cleanup_send_content(to, arena_printf(j->a, "Delivered-To: %.*s\r\n", STRF(recipient)), deadline_in(cfg.ipc_ms), e);
}

static int converse(struct job *j, struct stream *to, const struct origin *top, const struct cleanup_request *r,
	struct cleanup_answer *answer, struct err *e)
{
	const struct queue_message *m = &j->r->m;

	if (cleanup_send_envelope(to, r, deadline_in(cfg.ipc_ms), e) < 0 || send_front(j, to, top, e) < 0 ||
		cleanup_send_file(to, j->r->fd, m->header_at, m->header_size, cfg.ipc_ms, e) < 0 ||
		cleanup_send_file(to, j->r->fd, m->body_at, m->body_size, cfg.ipc_ms, e) < 0 ||
		cleanup_send_end(to, m->flags & (QUEUE_8BIT | QUEUE_DOTS | QUEUE_LONG_LINES), deadline_in(cfg.ipc_ms), e) < 0)
		return -1;
	return cleanup_receive_answer(to, j->a, answer, deadline_in(cfg.ipc_ms), e);
}

/* A kept connection may have died with its worker: that is worth another try. */
static int submit(struct job *j, const struct origin *top, const struct cleanup_request *r, struct cleanup_answer *answer, struct err *e)
{
	bool reused = true;

	while (reused) {
		struct stream *to = pool_get(cleanup, deadline_in(cfg.ipc_ms), &reused, e);

		if (to == NULL)
			break;
		if (converse(j, to, top, r, answer, e) == 0) {
			pool_put(cleanup, to);
			return 0;
		}
		pool_drop(cleanup, to);
	}
	return err_context(e, "cleanup");
}

static void send_one(struct job *j, const struct origin *top, const struct forward *f)
{
	struct cleanup_request r;
	struct cleanup_answer answer = { 0 };
	struct err e = ERR_INIT;

	make_request(j, f, &r);
	if (submit(j, top, &r, &answer, &e) < 0) {
		job_defer(j, top, &e);
	} else if (answer.code.smtp / 100 == 2) {
		job_finish(j, top, DELIVER_SENT, CODE(0, 2, 0, 0), arena_printf(j->a, "forwarded as %.*s", STRF(answer.id)));
	} else {
		bool final = answer.code.smtp / 100 == 5;

		job_finish(j, top, final ? DELIVER_BOUNCED : DELIVER_DEFERRED, answer.code,
			arena_printf(j->a, "unable to forward mail: %.*s", STRF(answer.text)));
	}
}

/* RFC 3461 section 5.2.7: who reports success? Mail to a list was delivered when the list has it. One other address is asked in the
 * sender's name; of several nobody is, the sender hears that his recipient was expanded. */
static void share_duty(struct job *j, const struct forward *f, bool alone)
{
	j->action = f->owned ? DELIVER_DELIVERED : DELIVER_EXPANDED;
	j->dsn_passed = alone && !f->owned;
	for (size_t i = 0; i < f->count && !alone; i++)
		f->rcpts[i].notify = dsn_without_success(f->rcpts[i].notify);
}

void forward_send_all(struct job *j, const struct origin *top)
{
	bool alone = !j->decided && j->forwards != NULL && j->forwards->next == NULL && j->forwards->count == 1;

	for (const struct forward *f = j->forwards; f != NULL; f = f->next) {
		share_duty(j, f, alone);
		send_one(j, top, f);
	}
}
