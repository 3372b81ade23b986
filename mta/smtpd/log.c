/* mta/smtpd/log.c - this service's log lines, word for word as log analysers of Postfix expect them. */
#include "lib/base/log.h"

#include <ctype.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/mail/addr.h"
#include "mta/smtpd/session.h"
#include "mta/smtpd/settings.h"

#define INPUT_SHOWN 100 /* octets of early input that are logged */

void session_where(struct session *s, const char *where)
{
	s->where = where;
}

const char *session_queue_id(const struct session *s)
{
	return s->t.id[0] != '\0' ? s->t.id : "NOQUEUE";
}

const char *session_protocol(const struct session *s)
{
	return s->esmtp ? "ESMTP" : "SMTP";
}

/* Bytes from the client are made safe by log_info() itself; quoting is what makes an address readable back. */
static void add_address(struct buf *b, const char *label, struct arena *a, struct str internal)
{
	buf_addf(b, " %s=<", label);
	buf_add(b, internal.n ? addr_log(a, internal) : STR_NONE);
	buf_addc(b, '>');
}

void session_show_input(struct session *s, struct buf *out)
{
	struct str early = STR_NONE;

	if (stream_buffered(s->io) > 0)
		stream_peek(s->io, &early, deadline_in(0));
	early = str_sub(early, 0, INPUT_SHOWN);
	for (size_t i = 0; i < early.n; i++) {
		unsigned char ch = (unsigned char)early.p[i];

		if (ch == '\r' || ch == '\n')
			buf_addz(out, ch == '\r' ? "\\r" : "\\n");
		else if (ch < ' ' || ch > 126)
			buf_addf(out, "\\%03o", ch);
		else
			buf_addc(out, (char)ch);
	}
}

void session_log(const struct session *s, const char *verb, struct str text)
{
	struct arena *a = session_scratch((struct session *)s);
	struct buf b = { 0 };

	buf_addf(&b, "%s: %s: %s from %.*s: %.*s;", session_queue_id(s), verb, s->where, STRF(s->client.namaddr), STRF(text));
	if (s->t.open || s->t.sender_answer != NULL)
		add_address(&b, "from", a, s->t.sender);
	if (s->t.rcpt_now.n > 0)
		add_address(&b, "to", a, s->t.rcpt_now);
	else if (s->t.rcpts.count == 1 && strcmp(s->where, "MAIL") != 0)
		add_address(&b, "to", a, s->t.rcpts.v[0].addr);
	buf_addf(&b, " proto=%s", session_protocol(s));
	if (s->helo.n > 0)
		buf_addf(&b, " helo=<%.*s>", STRF(s->helo));
	if (s->sasl_method.n > 0)
		buf_addf(&b, " sasl_method=%.*s", STRF(s->sasl_method));
	if (s->sasl_user.n > 0)
		buf_addf(&b, " sasl_username=%.*s", STRF(s->sasl_user));
	if (s->t.auth_sender.n > 0)
		buf_addf(&b, " sasl_sender=%.*s", STRF(s->t.auth_sender));
	for (size_t i = 0; i < b.n; i++)
		if (b.p[i] == '\n')
			b.p[i] = ' ';
	log_info("%s", buf_z(&b));
	buf_done(&b);
}

void session_log_client(const struct session *s)
{
	struct buf b = { 0 };
	const struct xforward *x = &s->xforward;

	buf_addf(&b, "%s: client=%.*s", session_queue_id(s), STRF(s->client.namaddr));
	if (s->sasl_method.n > 0)
		buf_addf(&b, ", sasl_method=%.*s", STRF(s->sasl_method));
	if (s->sasl_user.n > 0)
		buf_addf(&b, ", sasl_username=%.*s", STRF(s->sasl_user));
	if (s->t.auth_sender.n > 0)
		buf_addf(&b, ", sasl_sender=%.*s", STRF(s->t.auth_sender));
	if (x->given && x->ident.n > 0)
		buf_addf(&b, ", orig_queue_id=%.*s", STRF(x->ident));
	if (x->given && x->addr.n > 0)
		buf_addf(&b, ", orig_client=%.*s[%.*s]", x->name.n ? (int)x->name.n : 7, x->name.n ? x->name.p : "unknown", STRF(x->addr));
	log_info("%s", buf_z(&b));
	buf_done(&b);
}

void session_log_end(const struct session *s, const char *what)
{
	if (strcmp(s->where, "DATA") == 0 || strcmp(s->where, "BDAT") == 0)
		log_info("%s after %s (%llu bytes) from %.*s", what, s->where, (unsigned long long)s->t.received_octets,
			STRF(s->client.namaddr));
	else
		log_info("%s after %s from %.*s", what, s->where, STRF(s->client.namaddr));
}

void session_log_disconnect(const struct session *s)
{
	struct buf b = { 0 };
	uint64_t ok = 0, all = 0;

	for (size_t i = 0; i < VERB_COUNT; i++) {
		if (s->all_count[i] == 0)
			continue;
		buf_addc(&b, ' ');
		buf_add_lower(&b, str_z(verbs[i].name));
		buf_addf(&b, "=%u", s->ok_count[i]);
		if (s->all_count[i] != s->ok_count[i])
			buf_addf(&b, "/%u", s->all_count[i]);
		ok += s->ok_count[i];
		all += s->all_count[i];
	}
	buf_addf(&b, " commands=%llu", (unsigned long long)ok);
	if (all != ok)
		buf_addf(&b, "/%llu", (unsigned long long)all);
	log_info("disconnect from %.*s%s%s", STRF(s->client.namaddr), buf_z(&b),
		s->bare_lf_seen && cf.bare_newline == BARE_NOTE ? " notes=bare_lf" : "");
	buf_done(&b);
}
