/* mta/smtpd/data.c - streams message content to cleanup and turns cleanup's answer into the reply that ends a transaction. */
#include "mta/smtpd/data.h"

#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/net/pool.h"
#include "lib/proto/cleanup.h"
#include "lib/proto/wire.h"
#include "mta/smtpd/proxy_filter.h"
#include "mta/smtpd/settings.h"

#define HELD_MAX (64u * 1024 * 1024) /* octets held back when message_size_limit sets no bound */
#define OPEN_AT 49152 /* octets of content with which a message begins its way to cleanup; smaller ones go in one piece */
#define TRIES 3 /* connections to cleanup */
#define LONG_LINE 998
#define CODE_TOO_BIG CODE(552, 5, 3, 4)
#define CODE_WRITE_ERROR CODE(451, 4, 3, 0)

/* ---- the envelope ---- */

/* What the queue remembers of the client; a client that speaks for another one (XFORWARD) is replaced by it. */
static void fill_client(const struct session *s, struct queue_client *q)
{
	const struct xforward *x = &s->xforward;

	*q = (struct queue_client){ .name = s->client.name, .addr = s->client.addr, .port = s->client.port, .helo = s->helo,
		.proto = str_z(session_protocol(s)), .sasl_method = s->sasl_method, .sasl_user = s->sasl_user,
		.sasl_sender = s->t.auth_sender, .server = s->server_addr };
	if (!x->given)
		return;
	q->name = x->name;
	q->addr = x->addr;
	q->port = x->port;
	q->helo = x->helo;
	q->proto = x->proto;
}

static unsigned request_flags(const struct session *s)
{
	unsigned flags = 0;

	if (s->local_rewrite)
		flags |= CLEANUP_FIX_HEADERS;
	if (cf.override & OVERRIDE_NO_MILTERS)
		flags |= CLEANUP_NO_MILTERS;
	if (cf.override & OVERRIDE_NO_MAPPINGS)
		flags |= CLEANUP_NO_MAPPINGS;
	if (cf.override & OVERRIDE_NO_CHECKS)
		flags |= CLEANUP_NO_CHECKS;
	if (cf.dry_run)
		flags |= CLEANUP_DRY_RUN;
	return flags;
}

static struct str received_field(struct session *s)
{
	struct buf b = { 0 };
	struct str field;

	received_print(s, &b);
	field = arena_dup(session_scratch(s), buf_str(&b));
	buf_done(&b);
	return field;
}

/* Filters travel to cleanup: their connections as descriptors, their state as text. */
static void add_milters(struct session *s, struct cleanup_request *r)
{
	struct buf text = { 0 };

	if (s->milters == NULL)
		return;
	milter_session_export(s->milters, &text, r->milter_fds, &r->milter_fd_count);
	r->milters = arena_dup(session_scratch(s), buf_str(&text));
	buf_done(&text);
}

static struct cleanup_request *build_request(struct session *s)
{
	struct transaction *t = &s->t;
	struct cleanup_request *r = arena_alloc(session_scratch(s), sizeof *r);

	r->flags = request_flags(s);
	memcpy(r->m.id, t->id, sizeof r->m.id);
	r->m.flags = t->flags | (t->hold ? QUEUE_HOLD : 0u);
	r->m.arrival_us = t->arrival_us;
	r->m.sender = t->sender;
	r->m.envid = t->envid;
	r->m.ret = t->ret;
	r->m.verp = t->verp;
	fill_client(s, &r->m.client);
	r->m.filter = t->filter.n > 0 ? t->filter : str_z(cf.content_filter);
	r->m.rcpts = t->rcpts.v;
	r->m.rcpt_count = t->rcpts.count;
	r->prepend = t->prepend.v;
	r->prepend_count = t->prepend.count;
	r->received = received_field(s);
	r->hold_reason = t->hold_reason;
	r->redirect = t->redirect;
	r->session = str_z(s->sid);
	r->bcc = t->bcc.v;
	r->bcc_count = t->bcc.count;
	add_milters(s, r);
	return r;
}

static int64_t patience(void)
{
	return deadline_in(cf.ipc_timeout_ms);
}

static void lose(struct session *s, struct content *c, const char *why)
{
	log_warn("%s: cannot hand the message to cleanup: %s", session_queue_id(s), why);
	if (c->cleanup != NULL)
		pool_drop(cf.cleanup, c->cleanup);
	c->cleanup = NULL;
	c->fate = CONTENT_LOST;
}

static int offer(struct content *c, const struct cleanup_request *r, bool complete, struct err *e)
{
	if (cleanup_send_envelope(c->cleanup, r, patience(), e) < 0)
		return -1;
	if (c->held.n > 0 && cleanup_send_content(c->cleanup, buf_str(&c->held), patience(), e) < 0)
		return -1;
	return complete ? cleanup_send_end(c->cleanup, c->flags, patience(), e) : wire_flush(c->cleanup, patience(), e);
}

/* Envelope and what is held, perhaps everything. A connection that does not take it all belongs to a worker that died or just leaves: no
 * message came of it, so that is worth another try. */
static void hand_over(struct session *s, struct content *c, bool complete)
{
	struct cleanup_request *r = build_request(s);
	struct err e = ERR_INIT;
	bool reused = true;

	for (int i = 0; i < TRIES || reused; i++) {
		c->cleanup = pool_get(cf.cleanup, patience(), &reused, &e);
		if (c->cleanup == NULL)
			break;
		if (offer(c, r, complete, &e) == 0) {
			buf_done(&c->held);
			return;
		}
		pool_drop(cf.cleanup, c->cleanup);
		c->cleanup = NULL;
	}
	lose(s, c, e.text);
}

static void content_release(void *arg)
{
	struct content *c = arg;

	if (c->cleanup != NULL)
		pool_drop(cf.cleanup, c->cleanup); /* unfinished: closing throws it away */
	buf_done(&c->held);
}

struct content *content_begin(struct session *s)
{
	struct content *c = arena_alloc(s->mail, sizeof *c);

	c->at_start = true;
	c->hold_back = cf.lists[LIST_EOD].count > 0 || (cf.proxy_speed_adjust && proxy_filter_wanted(s));
	arena_defer(s->mail, content_release, c);
	return c;
}

/* ---- content ---- */

static void send_filter(struct session *s, struct content *c, struct str lines)
{
	if (proxy_filter_content(s, lines) == 0)
		return;
	c->fate = CONTENT_LOST;
	c->refusal = (struct reply){ s->ruling.code, arena_dup(s->mail, s->ruling.text) };
}

/* What was prepended, our own field, and what is held. A client that is a filter itself (XFORWARD) has had its Received field. */
static void open_filter(struct session *s, struct content *c)
{
	struct buf top = { 0 };

	for (size_t i = 0; i < s->t.prepend.count; i++)
		buf_addf(&top, "%.*s\r\n", STRF(s->t.prepend.v[i]));
	if (!s->xforward.given) {
		received_print(s, &top);
		buf_addz(&top, "\r\n");
	}
	buf_add(&top, buf_str(&c->held));
	buf_done(&c->held);
	c->filtered = true;
	send_filter(s, c, buf_str(&top));
	buf_done(&top);
}

static void send_content(struct session *s, struct content *c, struct str lines)
{
	struct err e = ERR_INIT;

	if (cleanup_send_content(c->cleanup, lines, patience(), &e) < 0)
		lose(s, c, e.text);
}

static bool over_limit(const struct content *c)
{
	if (cf.message_limit > 0)
		return c->size > (uint64_t)cf.message_limit;
	return c->hold_back && c->size > HELD_MAX;
}

void content_add(struct session *s, struct content *c, struct str lines)
{
	c->size += lines.n;
	if (c->fate != CONTENT_GOOD || lines.n == 0)
		return;
	if (over_limit(c)) {
		log_warn("%s: queue file size limit exceeded", session_queue_id(s));
		c->fate = CONTENT_TOO_BIG;
		if (c->cleanup != NULL)
			pool_drop(cf.cleanup, c->cleanup);
		c->cleanup = NULL;
		proxy_filter_drop(s);
		buf_done(&c->held);
	} else if (c->filtered) {
		send_filter(s, c, lines);
	} else if (c->cleanup != NULL) {
		send_content(s, c, lines);
	} else if (c->hold_back || !s->t.discard) {
		buf_add(&c->held, lines);
		if (c->hold_back || c->held.n < OPEN_AT)
			return;
		if (proxy_filter_wanted(s))
			open_filter(s, c);
		else
			hand_over(s, c, false);
	}
}

static void end_line(struct content *c, struct buf *out)
{
	if (c->line_size > LONG_LINE)
		c->flags |= QUEUE_LONG_LINES;
	buf_addz(out, "\r\n");
	c->at_start = true;
	c->line_size = 0;
}

static void add_octet(struct content *c, struct buf *out, char octet)
{
	if (c->at_start && octet == '.')
		c->flags |= QUEUE_DOTS;
	if ((unsigned char)octet > 127)
		c->flags |= QUEUE_8BIT;
	c->at_start = false;
	c->line_size++;
	buf_addc(out, octet);
}

/* Lines of a chunk end in CRLF or LF; nothing is dot-stuffed; a CR elsewhere is data, or a blank like in DATA. */
void content_add_chunk(struct session *s, struct content *c, struct str raw, bool last)
{
	struct buf out = { 0 };

	for (size_t i = 0; i < raw.n; i++) {
		char octet = raw.p[i];

		if (octet == '\n') {
			c->bare_lf = c->bare_lf || !c->after_cr;
			end_line(c, &out);
		} else {
			if (c->after_cr)
				add_octet(c, &out, cf.replace_stray ? ' ' : '\r');
			if (octet != '\r')
				add_octet(c, &out, octet);
		}
		c->after_cr = octet == '\r';
	}
	if (last && (!c->at_start || c->after_cr)) {
		end_line(c, &out);
		c->after_cr = false;
	}
	content_add(s, c, buf_str(&out));
	buf_done(&out);
}

/* ---- the end ---- */

static int ask_cleanup(struct session *s, struct content *c, struct cleanup_answer *answer)
{
	struct err e = ERR_INIT;

	if (c->cleanup == NULL)
		hand_over(s, c, true);
	else if (cleanup_send_end(c->cleanup, c->flags, patience(), &e) < 0)
		lose(s, c, e.text);
	if (c->cleanup == NULL)
		return -1;
	if (cleanup_receive_answer(c->cleanup, session_scratch(s), answer, patience(), &e) < 0) {
		lose(s, c, e.text);
		return -1;
	}
	pool_put(cf.cleanup, c->cleanup);
	c->cleanup = NULL;
	if (s->milters != NULL && answer->milters.n > 0)
		milter_session_import_state(s->milters, answer->milters);
	return 0;
}

static int queued(struct session *s, struct str chunk)
{
	s->errors = s->junk = 0;
	return session_reply(s, CODE(250, 2, 0, 0), "Ok: %.*s%squeued as %s", STRF(chunk), cf.dry_run ? "would be " : "", s->t.id);
}

static int ask_filter(struct session *s, struct content *c)
{
	struct reply answer = { 0 };

	if (!c->filtered)
		open_filter(s, c);
	if (c->fate != CONTENT_GOOD)
		return session_reply_with(s, &c->refusal);
	proxy_filter_end(s, &answer);
	if (answer.code.smtp < 400)
		s->errors = s->junk = 0;
	return session_reply_with(s, &answer);
}

static bool bare_lf_refused(const struct session *s, const struct content *c)
{
	struct err e = ERR_INIT;

	return c->bare_lf && cf.bare_newline == BARE_REJECT && matchlist_addr(cf.bare_exempt, s->client.addr, &e) != TABLE_FOUND;
}

static int judge_content(struct session *s, struct content *c, struct str chunk)
{
	struct cleanup_answer *answer = arena_alloc(session_scratch(s), sizeof *answer);

	s->bare_lf_seen = s->bare_lf_seen || c->bare_lf;
	if (c->fate == CONTENT_TOO_BIG)
		return session_reply(s, CODE_TOO_BIG, "Error: message file too big");
	if (bare_lf_refused(s, c)) {
		log_info("%s: reject: bare <LF> received after %s from %.*s", session_queue_id(s), s->where, STRF(s->client.namaddr));
		return session_reply(s, CODE((short)cf.code_bare_newline, 5, 5, 2), "%s Error: bare <LF> received", cf.myhostname);
	}
	if (c->fate == CONTENT_GOOD) {
		session_where(s, "END-OF-MESSAGE");
		s->t.size = c->size;
		if (origin_restrict(s, buf_str(&c->held)) == CHECK_REJECT)
			return session_reply_with(s, &s->ruling);
		if (s->t.discard)
			return queued(s, chunk);
		if (proxy_filter_wanted(s))
			return ask_filter(s, c);
		if (ask_cleanup(s, c, answer) == 0) {
			if (answer->code.smtp == 250)
				return queued(s, chunk);
			return session_reply_with(s, &(struct reply){ answer->code, answer->text });
		}
	}
	if (c->refusal.code.smtp != 0)
		return session_reply_with(s, &c->refusal);
	return session_reply(s, CODE_WRITE_ERROR, "Error: queue file write error");
}

int content_finish(struct session *s, struct content *c, struct str chunk)
{
	int rc = judge_content(s, c, chunk);

	session_where(s, "END-OF-MESSAGE");
	session_forget_mail(s);
	return rc;
}
