/* mta/smtp/transaction.c - one message over one session: the envelope in as few segments as the server allows, the content, the replies.
 *
 * The envelope is a list of steps, each a command with one reply. With PIPELINING (RFC 2920) a window of them is on the way at any time,
 * DATA included; without, the window is one. Whatever happens, a recipient counts as delivered only by the final 2xx. Security: replies
 * come from any host; addresses that could break a command line are refused before they reach it.
 */
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/mail/addr.h"
#include "lib/mail/dsn.h"
#include "mta/smtp/smtp.h"

#define WINDOW 200 /* commands without reply; their replies must fit the buffers between the two hosts */

enum step_kind { STEP_RSET, STEP_FORWARD_CLIENT, STEP_FORWARD_HELLO, STEP_MAIL, STEP_RCPT, STEP_DATA };

struct step {
	enum step_kind kind;
	size_t rcpt; /* of STEP_RCPT: index in the request */
	struct str text; /* of STEP_FORWARD_... */
};

struct transaction {
	struct delivery *d;
	struct session *s;
	struct step *steps;
	size_t count, sent, got;
	size_t *accepted; /* recipients with a 2xx to RCPT */
	size_t accepted_count;
	bool mail_refused, go_ahead; /* go_ahead: 354 */
	bool stale;
};

static const struct {
	const char *name; /* "in reply to ... command" */
	const char *during; /* "while ..." */
} phases[] = {
	[STEP_RSET] = { "RSET", "sending RSET probe" },
	[STEP_FORWARD_CLIENT] = { "XFORWARD name/address", "sending XFORWARD name/address" },
	[STEP_FORWARD_HELLO] = { "XFORWARD helo/protocol", "sending XFORWARD helo/protocol" },
	[STEP_MAIL] = { "MAIL FROM", "sending MAIL FROM" },
	[STEP_RCPT] = { "RCPT TO", "sending RCPT TO" },
	[STEP_DATA] = { "DATA", "sending DATA command" },
};

static int64_t timeout_of(enum step_kind kind)
{
	const int64_t ms[] = {
		[STEP_RSET] = cfg->rset_ms,
		[STEP_FORWARD_CLIENT] = cfg->xforward_ms,
		[STEP_FORWARD_HELLO] = cfg->xforward_ms,
		[STEP_MAIL] = cfg->mail_ms,
		[STEP_RCPT] = cfg->rcpt_ms,
		[STEP_DATA] = cfg->data_init_ms,
	};

	return ms[kind];
}

/* ---- commands ---- */

static struct str external(struct transaction *t, struct str address)
{
	return cfg->quote_envelope ? addr_quote(t->d->a, address) : address;
}

static bool has_utf8(struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		if ((unsigned char)s.p[i] > 127)
			return true;
	}
	return false;
}

static bool envelope_has_utf8(const struct delivery *d)
{
	bool any = has_utf8(d->sender);

	for (size_t i = 0; i < d->r->m.rcpt_count; i++)
		any |= d->states[i].open && has_utf8(d->rcpts[i]);
	return any;
}

static void put_mail(struct transaction *t, struct buf *b)
{
	const struct queue_message *m = &t->d->r->m;
	struct str sender = external(t, t->d->sender);

	buf_addf(b, "MAIL FROM:<%.*s>", STRF(sender));
	if (t->s->offers & OFFER_SIZE)
		buf_addf(b, " SIZE=%llu", (unsigned long long)m->header_size + m->body_size);
	if ((t->s->offers & OFFER_8BITMIME) && (m->flags & QUEUE_BODY_8BITMIME)) /* as declared, whatever is in it */
		buf_addz(b, " BODY=8BITMIME");
	if ((t->s->offers & OFFER_SMTPUTF8) && (m->flags & QUEUE_UTF8))
		buf_addz(b, " SMTPUTF8");
	if ((t->s->offers & OFFER_DSN) && m->ret != DSN_RET_NONE)
		buf_addz(b, m->ret == DSN_RET_FULL ? " RET=FULL" : " RET=HDRS");
	if ((t->s->offers & OFFER_DSN) && m->envid.n > 0)
		buf_addf(b, " ENVID=%.*s", STRF(m->envid));
	if ((t->s->offers & OFFER_REQUIRETLS) && (m->flags & QUEUE_REQUIRETLS))
		buf_addz(b, " REQUIRETLS");
	if (cfg->dummy_auth && (t->s->offers & OFFER_AUTH))
		buf_addz(b, " AUTH=<>");
	buf_addz(b, "\r\n");
}

static void put_notify(struct buf *b, int notify)
{
	static const struct {
		int bit;
		const char *word;
	} words[] = { { DSN_NOTIFY_SUCCESS, "SUCCESS" }, { DSN_NOTIFY_FAILURE, "FAILURE" }, { DSN_NOTIFY_DELAY, "DELAY" } };
	const char *before = " NOTIFY=";

	if (notify & DSN_NOTIFY_NEVER)
		buf_addz(b, " NOTIFY=NEVER");
	for (size_t i = 0; !(notify & DSN_NOTIFY_NEVER) && i < sizeof words / sizeof *words; i++) {
		if (!(notify & words[i].bit))
			continue;
		buf_addf(b, "%s%s", before, words[i].word);
		before = ",";
	}
}

static void put_rcpt(struct transaction *t, size_t rcpt, struct buf *b)
{
	const struct queue_rcpt *r = &t->d->r->m.rcpts[rcpt];
	struct str address = external(t, t->d->rcpts[rcpt]);

	buf_addf(b, "RCPT TO:<%.*s>", STRF(address));
	if (t->s->offers & OFFER_DSN) {
		if (r->orcpt.n > 0) {
			buf_addf(b, " ORCPT=%.*s", STRF(r->orcpt));
		} else if (r->orig.n > 0) {
			buf_addz(b, " ORCPT=rfc822;");
			addr_xtext_encode(b, addr_quote_original(t->d->a, r->orig));
		}
		put_notify(b, r->notify);
	}
	buf_addz(b, "\r\n");
}

static void send_step(struct transaction *t, const struct step *step)
{
	struct buf b = { 0 };

	if (step->kind == STEP_MAIL)
		put_mail(t, &b);
	else if (step->kind == STEP_RCPT)
		put_rcpt(t, step->rcpt, &b);
	else if (step->text.n > 0)
		buf_add(&b, step->text);
	else
		buf_addf(&b, "%s\r\n", phases[step->kind].name);
	stream_write(t->s->io, buf_str(&b), deadline_in(timeout_of(step->kind)));
	buf_done(&b);
}

/* ---- the list of steps ---- */

static void add_step(struct transaction *t, enum step_kind kind, size_t rcpt)
{
	t->steps[t->count++] = (struct step){ .kind = kind, .rcpt = rcpt };
}

static bool offers_attribute(const struct session *s, const char *name)
{
	struct str offered = s->xforward_attributes, word;

	while ((word = str_word(&offered, " \t")).n > 0)
		if (str_eqiz(word, name))
			return true;
	return false;
}

/* What XFORWARD tells about the client: for filters behind us that decide by it. In two commands: one could get too long. */
static void add_xforward(struct transaction *t)
{
	const struct queue_message *m = &t->d->r->m;
	const struct {
		enum step_kind kind;
		const char *name;
		struct str value;
	} attributes[] = {
		{ STEP_FORWARD_CLIENT, "NAME", m->client.name },
		{ STEP_FORWARD_CLIENT, "ADDR", m->client.addr },
		{ STEP_FORWARD_CLIENT, "PORT", m->client.port },
		{ STEP_FORWARD_HELLO, "PROTO", m->client.proto },
		{ STEP_FORWARD_HELLO, "HELO", m->client.helo },
		{ STEP_FORWARD_HELLO, "IDENT", str_z(m->id) },
		{ STEP_FORWARD_HELLO, "SOURCE", m->flags & QUEUE_LOCAL ? STR("LOCAL") : STR("REMOTE") },
	};
	const size_t count = sizeof attributes / sizeof *attributes;
	struct buf b = { 0 };

	for (size_t i = 0; i < count; i++) {
		if (offers_attribute(t->s, attributes[i].name)) {
			buf_addf(&b, "%s %s=", b.n == 0 ? "XFORWARD" : "", attributes[i].name);
			if (attributes[i].value.n == 0)
				buf_addz(&b, "[UNAVAILABLE]");
			addr_xtext_encode(&b, attributes[i].value);
		}
		if (b.n == 0 || (i + 1 < count && attributes[i + 1].kind == attributes[i].kind))
			continue;
		buf_addz(&b, "\r\n");
		add_step(t, attributes[i].kind, 0);
		t->steps[t->count - 1].text = arena_dup(t->d->a, buf_str(&b));
		buf_clear(&b);
	}
	buf_done(&b);
}

static void list_steps(struct transaction *t)
{
	const struct queue_message *m = &t->d->r->m;

	t->steps = arena_alloc(t->d->a, (t->d->open_count + 5) * sizeof *t->steps);
	t->accepted = arena_alloc(t->d->a, (t->d->open_count + 1) * sizeof *t->accepted);
	if (t->s->rset_due)
		add_step(t, STEP_RSET, 0);
	if (cfg->xforward && (t->s->offers & OFFER_XFORWARD) && t->s->xforward_attributes.n > 0)
		add_xforward(t);
	add_step(t, STEP_MAIL, 0);
	for (size_t i = 0; i < m->rcpt_count; i++) {
		if (t->d->states[i].open)
			add_step(t, STEP_RCPT, i);
	}
	if (!(m->flags & QUEUE_PROBE) && !content_by_bdat(t->s))
		add_step(t, STEP_DATA, 0);
}

/* ---- replies ---- */

static void fail_accepted(struct transaction *t, const struct failure *why)
{
	for (size_t i = 0; i < t->accepted_count; i++)
		delivery_fail_rcpt(t->d, t->accepted[i], t->s, why);
	t->accepted_count = 0;
}

/* RFC 5321 section 4.5.3.1.10: 552 to RCPT may mean "too many recipients", which is temporary. Not so for the first one, nor where the
 * mailbox is said to be the reason. */
static bool too_many(const struct transaction *t)
{
	return t->s->reply.code.smtp == 552 && t->accepted_count > 0 && t->s->reply.code.s != 2;
}

static void rcpt_refused(struct transaction *t, size_t rcpt)
{
	struct failure why;

	failure_said(t->d->a, t->s, phases[STEP_RCPT].name, &why);
	if (too_many(t))
		failure_soften(&why);
	delivery_fail_rcpt(t->d, rcpt, t->s, &why);
}

static void take_reply(struct transaction *t, const struct step *step)
{
	bool good = t->s->reply.code.smtp / 100 == 2;
	struct failure why;

	switch (step->kind) {
	case STEP_RSET:
		t->s->rset_due = !good;
		break;
	case STEP_FORWARD_CLIENT:
	case STEP_FORWARD_HELLO:
		if (!good)
			log_info("%s: host %.*s said: %.*s (in reply to %s command)", t->d->r->m.id, STRF(t->s->relay),
				STRF(buf_str(&t->s->reply.text)), phases[step->kind].name);
		break;
	case STEP_MAIL:
		t->mail_refused = !good;
		if (good)
			break;
		failure_said(t->d->a, t->s, phases[STEP_MAIL].name, &why);
		delivery_fail_open(t->d, t->s, &why);
		break;
	case STEP_RCPT:
		if (good && !t->mail_refused && (t->d->r->m.flags & QUEUE_PROBE))
			delivery_sent(t->d, step->rcpt, t->s); /* all that was asked; RSET comes before the next mail */
		else if (good && !t->mail_refused)
			t->accepted[t->accepted_count++] = step->rcpt;
		else if (!t->mail_refused)
			rcpt_refused(t, step->rcpt);
		break;
	case STEP_DATA:
		t->go_ahead = t->s->reply.code.smtp / 100 == 3;
		if (t->go_ahead || t->accepted_count == 0)
			break;
		failure_said(t->d->a, t->s, phases[STEP_DATA].name, &why);
		fail_accepted(t, &why);
	}
}

/* The connection is gone, or about to go (421): what has no result gets this one. A kept session that dies before anything was accepted had
 * only waited too long: that is no news about the server. */
static void broke_off(struct transaction *t, const struct failure *why)
{
	if (t->s->uses > 1 && t->accepted_count == 0 && t->steps[t->got].kind <= STEP_MAIL)
		t->stale = true;
	else
		delivery_fail_open(t->d, t->s, why);
}

/* ---- the dialogue ---- */

static bool may_send(const struct transaction *t)
{
	if (t->sent == t->count || t->mail_refused || t->s->broken || t->d->open_count == 0)
		return false;
	/* Where every reply is in, DATA needs an accepted recipient. */
	return t->steps[t->sent].kind != STEP_DATA || t->sent > t->got || t->accepted_count > 0;
}

/* The envelope, up to the reply to DATA. -1: broken off. */
static int run_envelope(struct transaction *t)
{
	size_t window = t->s->offers & OFFER_PIPELINING ? WINDOW : 1;
	struct failure why;

	while (t->got < t->sent || may_send(t)) {
		const struct step *step = &t->steps[t->got];
		const char *during = phases[step->kind].during;

		while (t->sent - t->got < window && may_send(t))
			send_step(t, &t->steps[t->sent++]);
		if (session_flush(t->s, t->d->a, timeout_of(step->kind), during, &why) < 0 ||
			session_read(t->s, t->d->a, timeout_of(step->kind), during, &why) < 0) {
			broke_off(t, &why);
			return -1;
		}
		if (t->s->broken) { /* 421 */
			failure_said(t->d->a, t->s, phases[step->kind].name, &why);
			broke_off(t, &why);
			return -1;
		}
		take_reply(t, step);
		t->got++;
	}
	return 0;
}

#define END_OF_DATA "sending end of data -- message may be sent more than once"

/* One reply for all (SMTP) or for each accepted recipient (LMTP, RFC 2033 section 4.2). */
static void read_results(struct transaction *t)
{
	struct failure why;

	for (size_t i = 0; i < t->accepted_count; i++) {
		if ((i == 0 || cfg->lmtp) && (t->s->broken || session_read(t->s, t->d->a, cfg->data_done_ms, END_OF_DATA, &why) < 0)) {
			if (i > 0 && t->s->reply.code.smtp == 421)
				failure_said(t->d->a, t->s, "end of DATA", &why);
			delivery_fail_open(t->d, t->s, &why);
			return;
		}
		if (t->s->reply.code.smtp / 100 == 2) {
			delivery_sent(t->d, t->accepted[i], t->s);
			continue;
		}
		failure_said(t->d->a, t->s, "end of DATA", &why);
		delivery_fail_rcpt(t->d, t->accepted[i], t->s, &why);
	}
	t->s->rset_due = false;
}

/* DATA was pipelined and the server waits for content nobody wants: an empty message to no one ends it (RFC 2920 section 3.1). */
static void send_nothing(struct transaction *t)
{
	struct failure why;

	stream_write(t->s->io, STR(".\r\n"), deadline_in(cfg->data_xfer_ms));
	if (session_flush(t->s, t->d->a, cfg->data_done_ms, END_OF_DATA, &why) == 0)
		session_read(t->s, t->d->a, cfg->data_done_ms, END_OF_DATA, &why);
}

static void run_content(struct transaction *t)
{
	struct failure why;

	if (t->accepted_count == 0)
		send_nothing(t);
	else if (content_send(t->s, t->d->a, t->d->r, &why) < 0)
		fail_accepted(t, &why);
	else
		read_results(t);
}

/* ---- what can be refused without asking ---- */

static void refuse(struct transaction *t, struct code code, const char *text)
{
	struct failure why = { .code = code, .text = str_z(text) };

	delivery_fail_open(t->d, t->s, &why);
}

static bool is_sendable(struct str address)
{
	return str_any(address, "\r\n") < 0 && str_chr(address, '\0') < 0;
}

static void refuse_bad_addresses(struct transaction *t)
{
	const struct queue_message *m = &t->d->r->m;
	struct failure why = { .code = CODE(0, 5, 1, 3), .text = STR("bad address syntax") };

	if (!is_sendable(t->d->sender)) {
		why.code.d = 7;
		delivery_fail_open(t->d, t->s, &why);
	}
	for (size_t i = 0; i < m->rcpt_count; i++) {
		if (t->d->states[i].open && !is_sendable(t->d->rcpts[i]))
			delivery_fail_rcpt(t->d, i, t->s, &why);
	}
}

static void refuse_too_large(struct transaction *t)
{
	const struct queue_message *m = &t->d->r->m;
	uint64_t size = m->header_size + m->body_size;

	if (!(t->s->offers & OFFER_SIZE) || t->s->size_limit == 0 || size <= t->s->size_limit)
		return;
	refuse(t, CODE(0, 5, 3, 4),
		arena_z(t->d->a, arena_printf(t->d->a, "message size %llu exceeds size limit %llu of server %.*s", (unsigned long long)size,
					 (unsigned long long)t->s->size_limit, STRF(t->s->peer))));
}

static void refuse_utf8(struct transaction *t)
{
	const struct queue_message *m = &t->d->r->m;

	if (!(m->flags & QUEUE_UTF8) || (t->s->offers & OFFER_SMTPUTF8))
		return;
	if (envelope_has_utf8(t->d) || ((m->flags & QUEUE_8BIT) && content_header_is_8bit(t->d->r)))
		refuse(t, CODE(0, 5, 6, 7),
			arena_z(t->d->a,
				arena_printf(t->d->a, "SMTPUTF8 is required, but was not offered by host %.*s", STRF(t->s->peer))));
}

/* RFC 8689 section 4.2.1: only to a server that proved who it is and does the same in turn. Final delivery (LMTP) is no relaying. */
static void refuse_without_tls(struct transaction *t)
{
	const struct tls *tls = stream_tls(t->s->io);
	const char *lack = NULL;

	if (cfg->lmtp || !(t->d->r->m.flags & QUEUE_REQUIRETLS))
		return;
	if (tls == NULL || tls_trust(tls) != TLS_VERIFIED)
		lack = "REQUIRETLS needs a verified TLS session, which is not to be had with host %.*s";
	else if (!(t->s->offers & OFFER_REQUIRETLS))
		lack = "REQUIRETLS support required, but was not offered by host %.*s";
	if (lack != NULL)
		refuse(t, CODE(0, 5, 7, 30), arena_z(t->d->a, arena_printf(t->d->a, lack, STRF(t->s->peer))));
}

enum outcome transaction_run(struct delivery *d, struct session *s)
{
	struct transaction t = { .d = d, .s = s };

	s->uses++;
	refuse_bad_addresses(&t);
	refuse_too_large(&t);
	refuse_utf8(&t);
	refuse_without_tls(&t);
	if (d->open_count == 0)
		return OUTCOME_DONE;
	list_steps(&t);
	if (run_envelope(&t) < 0)
		return t.stale ? OUTCOME_STALE : OUTCOME_DONE;
	s->rset_due = true; /* until the final replies are in */
	if (t.go_ahead || (content_by_bdat(s) && t.accepted_count > 0))
		run_content(&t);
	return OUTCOME_DONE;
}
