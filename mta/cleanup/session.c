/* mta/cleanup/session.c - the story of a message: envelope, content, header, body, milters, disk, answer. Each step may find a reason to
 * refuse; the first one is what the sender is told, and the content is read to its end all the same.
 */
#include <string.h>
#include <sys/socket.h>

#include "lib/base/clock.h"
#include "lib/base/json.h"
#include "lib/base/list.h"
#include "lib/base/log.h"
#include "lib/base/metrics.h"
#include "lib/mail/dsn.h"
#include "lib/net/fiber.h"
#include "lib/net/story.h"
#include "lib/service/service.h"
#include "mta/cleanup/cleanup.h"
#include "mta/cleanup/settings.h"

#define IDLE_MS 300000 /* a kept connection without a message */

bool mail_refused(const struct mail *x)
{
	return x->refused.smtp != 0;
}

void mail_refuse(struct mail *x, struct code code, struct str text)
{
	if (mail_refused(x))
		return;
	x->refused = code;
	x->refusal = text;
}

void mail_refuse_temp(struct mail *x, const char *text)
{
	mail_refuse(x, CODE(451, 4, 3, 0), str_z(text));
}

static int64_t patience(void)
{
	return deadline_in(set->ipc_timeout_ms);
}

/* ---- one message ---- */

static struct mail *mail_new(struct arena *life)
{
	struct mail *x = arena_alloc(life, sizeof *x);

	x->life = life;
	x->content.fd = -1;
	return x;
}

/* The request as it came becomes what will be queued, step by step. */
static void adopt_request(struct mail *x)
{
	x->m = x->req.m;
	x->m.rcpts = NULL;
	x->m.rcpt_count = 0;
	x->non_smtp = (x->req.flags & CLEANUP_NON_SMTPD) != 0;
	x->discard = (x->req.flags & CLEANUP_DISCARD) != 0;
	x->redirect = x->req.redirect;
	x->seen = map_new();
	fiber_set_tag(arena_z(x->life, x->req.session));
	header_init(&x->header, x->life);
	if (!queue_id_valid(str_z(x->m.id)))
		mail_refuse_temp(x, "Error: internal protocol error");
	else if (x->req.m.rcpt_count == 0)
		mail_refuse(x, CODE(550, 5, 1, 0), STR("Error: no recipients specified"));
}

static void prepare_envelope(struct mail *x)
{
	if (!mail_refused(x) && envelope_sender(x, x->req.m.sender) == 0)
		envelope_stage(x);
}

static bool going_on(const struct mail *x)
{
	return !mail_refused(x) && !x->discard;
}

static void work_on_content(struct mail *x)
{
	if (x->header_done)
		x->body = str_skip(content_view(x), x->body_at);
	else if (going_on(x))
		header_stage(x);
	if (going_on(x))
		body_stage(x);
	if (going_on(x))
		envelope_bcc(x);
	if (going_on(x))
		milters_stage(x);
	else
		milters_give_up(x);
	if (going_on(x)) {
		envelope_redirect(x);
		encoding_detect(x);
	}
	x->m.rcpts = x->rcpts.v;
	x->m.rcpt_count = x->rcpts.count;
}

/* Nobody waits for the refusal of mail that came without SMTP: it is queued for the error transport, which tells its sender. */
static void turn_into_bounce(struct mail *x)
{
	struct buf b = { 0 };

	if (!x->non_smtp || x->refused.smtp < 500 || x->req.m.rcpt_count == 0 || x->content.failed)
		return;
	if (x->header.count == 0) { /* refused before its content was looked at */
		bool missing_blank;
		struct str all = content_view(x);

		x->body = str_skip(all, header_parse(&x->header, all, &missing_blank));
		if (x->req.received.n > 0) {
			struct str value = x->req.received, name = str_cut(&value, ':');

			header_insert(&x->header, 0, name, value, false);
		}
		x->m.ret = DSN_RET_HDRS;
	}
	buf_addz(&b, "error:");
	dsn_print(&b, x->refused.c != 0 ? x->refused : CODE(550, 5, 7, 1));
	buf_addc(&b, ' ');
	buf_add(&b, x->refusal);
	x->m.filter = arena_dup(x->life, buf_str(&b));
	buf_done(&b);
	x->refused = CODE(0, 0, 0, 0);
	x->m.rcpts = x->rcpts.count > 0 ? x->rcpts.v : x->req.m.rcpts; /* refused before they were looked at */
	x->m.rcpt_count = x->rcpts.count > 0 ? x->rcpts.count : x->req.m.rcpt_count;
}

static void commit(struct mail *x)
{
	struct err e = ERR_INIT;

	if (mail_refused(x) || x->discard || x->m.rcpt_count == 0)
		return;
	if (store_commit(x, &e) == 0)
		return;
	log_warn("%s: write queue file: %s", x->m.id, e.text);
	mail_refuse_temp(x, "Error: queue file write error");
}

static int answer(struct mail *x, struct stream *io, struct err *e)
{
	struct cleanup_answer a = { .code = CODE(250, 2, 0, 0), .text = STR_NONE, .id = str_z(x->m.id), .size = x->content.size };
	struct buf state = { 0 };
	int r;

	if (x->milters != NULL)
		milters_close(x, &state);
	if (mail_refused(x)) {
		a.code = x->refused;
		a.text = x->refusal;
	} else {
		a.discarded = x->discard || x->m.rcpt_count == 0;
	}
	a.milters = buf_str(&state);
	r = cleanup_send_answer(io, &a, patience(), e);
	buf_done(&state);
	return r;
}

static void forget(struct mail *x)
{
	struct buf unused = { 0 };

	milters_give_up(x);
	if (x->milters != NULL)
		milters_close(x, &unused);
	buf_done(&unused);
	content_forget(x);
	buf_done(&x->converted);
	buf_done(&x->edited);
	map_free(x->seen, NULL);
	x->seen = NULL;
}

static bool dry_run(const struct mail *x)
{
	return (x->req.flags & CLEANUP_DRY_RUN) != 0;
}

/* For gatepost try: what would happen now. */
static void tell_outcome(struct mail *x)
{
	struct buf event = { 0 }, text = { 0 };
	bool hold = (x->m.flags & QUEUE_HOLD) != 0;

	if (mail_refused(x) || !story_wanted())
		return;
	if (x->discard)
		buf_addz(&text, "would be discarded");
	else
		buf_addf(&text, "would be %s with %zu recipients", hold ? "held" : "queued", x->m.rcpt_count);
	if (x->m.filter.n > 0)
		buf_addf(&text, ", for content_filter %.*s", STRF(x->m.filter));
	story_begin(&event, "outcome", x->m.id);
	json_add_member(&event, "text", buf_str(&text));
	story_tell(&event);
	for (size_t i = 0; i < x->m.rcpt_count && !x->discard; i++)
		tell_route(x, &x->m.rcpts[i]);
	buf_done(&text);
}

static void count(const struct mail *x)
{
	const char *result = x->discard ? "discarded" : (x->m.flags & QUEUE_HOLD) != 0 ? "held" : "queued";

	if (mail_refused(x))
		result = x->refused.smtp >= 500 ? "rejected" : "deferred";
	else if (!x->discard)
		metric_observe(METRIC_MESSAGE_SIZE, x->content.size, NULL, NULL);
	metric_count(METRIC_MESSAGES, result, NULL, NULL);
}

/* From envelope to answer. -1: the connection is of no more use. */
static int serve_message(struct mail *x, struct stream *io, struct err *e)
{
	adopt_request(x);
	milters_open(x);
	prepare_envelope(x);
	if (content_receive(x, io, e) < 0)
		return -1;
	work_on_content(x);
	if (dry_run(x)) {
		tell_outcome(x);
	} else {
		turn_into_bounce(x);
		commit(x);
		count(x);
	}
	if (answer(x, io, e) < 0) {
		log_debug("%s: nobody to answer: %s", x->m.id, e->text);
		store_withdraw(x);
	} else if (!mail_refused(x) && !x->discard && !dry_run(x) && x->m.rcpt_count > 0) {
		store_notify(x);
	}
	return e->kind == ERR_NONE ? 0 : -1;
}

/* ---- one connection ---- */

struct idler { /* a connection between two messages */
	struct list node;
	struct stream *io;
};

static struct list idlers;

void session_init(void)
{
	list_init(&idlers);
}

/* Connections that wait for another message need not wait any longer; those with a message under way end by themselves. */
void session_drain(void)
{
	for (struct list *n = idlers.next; n != &idlers; n = n->next)
		(void)shutdown(stream_fd(LIST_OWNER(n, struct idler, node)->io), SHUT_RD);
}

/* True: a message begins. */
static bool wait_for_request(struct stream *io)
{
	struct idler idle = { .io = io };
	struct str view;
	int r;

	if (service_draining())
		(void)shutdown(stream_fd(io), SHUT_RD); /* what was sent before is still served */
	list_add_tail(&idlers, &idle.node);
	r = stream_peek(io, &view, deadline_in(IDLE_MS));
	list_del(&idle.node);
	return r == STREAM_OK;
}

void session_serve(struct stream *io)
{
	int r = 0;

	while (r == 0 && wait_for_request(io)) {
		struct arena *life = arena_new("message");
		struct mail *x = mail_new(life);
		struct err e = ERR_INIT;

		r = cleanup_receive_envelope(io, life, &x->req, patience(), &e);
		if (r == 0) {
			r = serve_message(x, io, &e);
			forget(x);
		}
		if (r < 0 && e.kind != ERR_NONE)
			log_debug("message given up: %s", e.text);
		arena_free(life);
	}
}
