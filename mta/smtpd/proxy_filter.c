/* mta/smtpd/proxy_filter.c - the SMTP client that feeds smtpd_proxy_filter: one connection for each message, XFORWARD, then the client's own
 * words. With speed_adjust a filter is not kept waiting for a slow client: it is called when everything is here. */
#include "mta/smtpd/proxy_filter.h"

#include <stdarg.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/mail/addr.h"
#include "lib/mail/dsn.h"
#include "lib/mail/line.h"
#include "lib/net/sock.h"
#include "lib/smtp/reply.h"
#include "mta/smtpd/settings.h"

#define CODE_NO_FILTER CODE(451, 4, 3, 0)
#define COMMAND_MAX 500 /* octets of an XFORWARD command, below the 512 of RFC 5321 section 4.5.3.1.4 */
#define CODE_SIZE 4 /* "250-" */

struct proxy_link { /* lives in the transaction's arena */
	struct stream *io; /* NULL: not connected, or lost */
	struct smtp_reply reply;
	struct str offers; /* attributes the filter takes in XFORWARD */
	bool at_start;     /* of a line of content */
	bool told;         /* the envelope is there */
};

static int64_t patience(void)
{
	return deadline_in(cf.proxy_filter_timeout_ms);
}

bool proxy_filter_wanted(const struct session *s)
{
	return *cf.proxy_filter != '\0' && !s->t.discard;
}

static void hang_up(struct proxy_link *l)
{
	if (l->io != NULL)
		stream_close(l->io);
	l->io = NULL;
	l->told = false;
}

static void release(void *arg)
{
	struct proxy_link *l = arg;

	hang_up(l);
	smtp_reply_done(&l->reply);
}

static struct proxy_link *link_of(struct session *s)
{
	if (s->t.proxy == NULL) {
		s->t.proxy = arena_alloc(s->mail, sizeof *s->t.proxy);
		arena_defer(s->mail, release, s->t.proxy);
	}
	return s->t.proxy;
}

void proxy_filter_drop(struct session *s)
{
	if (s->t.proxy != NULL)
		hang_up(s->t.proxy);
}

/* ---- what the filter says ---- */

/* The client is told what the filter said, less the codes that session_reply_with() writes. */
static struct str words_of(struct session *s, const struct smtp_reply *r)
{
	struct str rest = buf_str(&r->lines), text;
	struct buf b = { 0 };

	while (rest.n > 0) {
		struct str line = str_skip(str_cut(&rest, '\n'), CODE_SIZE);
		struct code code;

		buf_addf(&b, "%s%.*s", b.n > 0 ? "\n" : "", STRF(str_skip(line, dsn_parse(line, &code))));
	}
	text = arena_dup(session_scratch(s), buf_str(&b));
	buf_done(&b);
	return text;
}

static struct reply reply_of(struct session *s, const struct proxy_link *l)
{
	struct reply r = { l->reply.code, words_of(s, &l->reply) };
	struct code said;

	if (dsn_parse(str_skip(buf_str(&l->reply.lines), CODE_SIZE), &said) == 0)
		r.code.c = 0; /* none from the filter, none to the client */
	return r;
}

static struct reply no_filter(void)
{
	return (struct reply){ CODE_NO_FILTER, STR("Error: queue file write error") };
}

static void log_answer(struct session *s, const char *verb, const struct reply *r)
{
	const struct code *c = &r->code;
	struct buf line = { 0 };

	buf_addf(&line, "%d ", c->smtp);
	if (c->c > 0)
		buf_addf(&line, "%u.%u.%u ", (unsigned)c->c, (unsigned)c->s, (unsigned)c->d);
	buf_add(&line, r->text);
	session_log(s, verb, buf_str(&line));
	buf_done(&line);
}

static int lose(struct session *s, struct proxy_link *l, const char *why)
{
	log_warn("%s: proxy filter %s: %s", session_queue_id(s), cf.proxy_filter, why);
	hang_up(l);
	s->ruling = no_filter();
	return -1;
}

/* The answer has to begin with `wanted`; another one is the client's. */
static int expect(struct session *s, struct proxy_link *l, int wanted)
{
	int result = STREAM_OK;
	struct err e = ERR_INIT;

	if (stream_flush(l->io, patience()) < 0)
		return lose(s, l, "lost connection");
	if (smtp_reply_read(l->io, &l->reply, patience(), &result, &e) < 0)
		return lose(s, l, e.text);
	if (l->reply.code.smtp / 100 == wanted)
		return 0;
	s->ruling = reply_of(s, l);
	log_answer(s, "proxy-reject", &s->ruling);
	return -1;
}

static int say(struct session *s, struct proxy_link *l, int wanted, const char *fmt, ...) __attribute__((format(printf, 4, 5)));
static int say(struct session *s, struct proxy_link *l, int wanted, const char *fmt, ...)
{
	struct buf line = { 0 };
	va_list ap;

	va_start(ap, fmt);
	buf_addfv(&line, fmt, ap);
	va_end(ap);
	buf_addz(&line, "\r\n");
	stream_write(l->io, buf_str(&line), patience());
	buf_done(&line);
	return expect(s, l, wanted);
}

/* ---- the beginning ---- */

struct forwarded {
	const char *name;
	struct str value;
};

static bool offered(const struct proxy_link *l, const char *name)
{
	struct str words = l->offers, w;

	do
		w = str_word(&words, " \t");
	while (w.n > 0 && !str_eqiz(w, name));
	return w.n > 0;
}

static int send_forwarded(struct session *s, struct proxy_link *l, const struct forwarded *f, size_t count)
{
	struct buf line = { 0 };
	int rc = 0;

	for (size_t i = 0; i < count && rc == 0; i++) {
		struct buf one = { 0 };

		if (offered(l, f[i].name)) {
			buf_addf(&one, " %s=", f[i].name);
			addr_xtext_encode(&one, f[i].value.n > 0 ? f[i].value : STR("[UNAVAILABLE]"));
		}
		if (line.n > 0 && line.n + one.n > COMMAND_MAX) {
			rc = say(s, l, 2, "XFORWARD%.*s", STRF(buf_str(&line)));
			buf_clear(&line);
		}
		buf_add(&line, buf_str(&one));
		buf_done(&one);
	}
	if (rc == 0 && line.n > 0)
		rc = say(s, l, 2, "XFORWARD%.*s", STRF(buf_str(&line)));
	buf_done(&line);
	return rc;
}

/* Who the client is, or who our client said that its client is. */
static int forward_client(struct session *s, struct proxy_link *l)
{
	const struct xforward *x = &s->xforward;
	const struct client *c = &s->client;
	bool unknown = str_eqz(c->name, "unknown"), local = x->given ? x->local : s->local_rewrite;
	struct forwarded f[] = {
		{ "NAME", x->given ? x->name : unknown ? STR_NONE : c->name },
		{ "ADDR", x->given ? x->addr : c->addr },
		{ "PORT", x->given ? x->port : c->port },
		{ "HELO", x->given ? x->helo : s->helo },
		{ "IDENT", x->given ? x->ident : str_z(s->t.id) },
		{ "PROTO", x->given ? x->proto : str_z(session_protocol(s)) },
		{ "SOURCE", local ? STR("LOCAL") : STR("REMOTE") },
	};

	return send_forwarded(s, l, f, sizeof f / sizeof *f);
}

/* "host:port", "inet:port" and ":port" mean what they mean to Postfix. */
static struct str endpoint(struct session *s)
{
	struct str text = str_z(cf.proxy_filter);
	struct arena *a = session_scratch(s);

	if (str_startsi(text, STR("unix:")))
		return text;
	if (str_startsi(text, STR("inet:")))
		text = str_skip(text, 5);
	if (str_rchr(text, ':') <= 0)
		return arena_printf(a, "inet:127.0.0.1:%.*s", STRF(str_skip(text, (size_t)(str_rchr(text, ':') + 1))));
	return arena_printf(a, "inet:%.*s", STRF(text));
}

static int greet(struct session *s, struct proxy_link *l)
{
	struct err e = ERR_INIT;

	l->io = sock_connect_endpoint(endpoint(s), patience(), &e);
	if (l->io == NULL)
		return lose(s, l, e.text);
	l->at_start = true;
	if (expect(s, l, 2) < 0 || say(s, l, 2, "EHLO %s", cf.proxy_ehlo) < 0)
		return l->io == NULL ? -1 : lose(s, l, buf_z(&l->reply.text));
	if (smtp_reply_offers(&l->reply, "XFORWARD", &l->offers)) {
		l->offers = arena_dup(s->mail, l->offers);
		if (forward_client(s, l) < 0)
			return l->io == NULL ? -1 : lose(s, l, buf_z(&l->reply.text));
	}
	return 0;
}

/* Connected, and the sender is taken. A filter that does not want this one is left at once: the next recipient tries anew. */
static int begin(struct session *s, struct proxy_link *l)
{
	if (l->io != NULL)
		return 0;
	if (greet(s, l) < 0)
		return -1;
	if (say(s, l, 2, "MAIL %.*s", STRF(s->t.mail_args)) == 0)
		return 0;
	hang_up(l);
	return -1;
}

int proxy_filter_rcpt(struct session *s, struct str args)
{
	struct proxy_link *l = link_of(s);

	if (cf.proxy_speed_adjust) {
		str_list_add(s->mail, &s->t.rcpt_args, args);
		return 0;
	}
	if (begin(s, l) < 0)
		return -1;
	return say(s, l, 2, "RCPT %.*s", STRF(args));
}

int proxy_filter_data(struct session *s)
{
	struct proxy_link *l = link_of(s);

	if (cf.proxy_speed_adjust)
		return 0;
	if (l->io == NULL) { /* lost since the last recipient */
		s->ruling = no_filter();
		return -1;
	}
	l->told = say(s, l, 3, "DATA") == 0;
	return l->told ? 0 : -1;
}

/* ---- content ---- */

static int replay(struct session *s, struct proxy_link *l)
{
	if (begin(s, l) < 0)
		return -1;
	for (size_t i = 0; i < s->t.rcpt_args.count; i++)
		if (say(s, l, 2, "RCPT %.*s", STRF(s->t.rcpt_args.v[i])) < 0)
			return -1;
	l->told = say(s, l, 3, "DATA") == 0;
	return l->told ? 0 : -1;
}

int proxy_filter_content(struct session *s, struct str lines)
{
	struct proxy_link *l = link_of(s);
	struct buf out = { 0 };
	int rc = 0;

	if (!l->told && replay(s, l) < 0) {
		hang_up(l);
		return -1;
	}
	line_out_stuff(lines, &l->at_start, &out);
	if (stream_write(l->io, buf_str(&out), patience()) < 0)
		rc = lose(s, l, "lost connection while sending content");
	buf_done(&out);
	return rc;
}

void proxy_filter_end(struct session *s, struct reply *r)
{
	struct proxy_link *l = link_of(s);

	if (!l->told || l->io == NULL) {
		*r = s->ruling;
		return;
	}
	if (say(s, l, 2, ".") == 0) {
		*r = reply_of(s, l);
		log_answer(s, "proxy-accept", r);
	} else {
		*r = s->ruling;
	}
	if (l->io == NULL)
		return;
	stream_write(l->io, STR("QUIT\r\n"), patience());
	stream_flush(l->io, patience());
	hang_up(l);
}
