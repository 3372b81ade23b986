/* mta/smtpd/received.c - our own trace field: RFC 5321 section 4.4, "with" keywords of RFC 3848 and RFC 6531. */
#include "lib/base/clock.h"
#include "lib/mail/addr.h"
#include "lib/mail/header.h"
#include "lib/mail/date.h"
#include "lib/net/tls.h"
#include "mta/smtpd/data.h"
#include "mta/smtpd/settings.h"

#define NAME_SHOWN 200 /* octets of a name in a certificate */

/* Names in a certificate are strangers' text: no quote or backslash may end the string they stand in. */
static void add_quoted(struct buf *out, struct str name)
{
	for (size_t i = 0; i < name.n; i++)
		buf_addc(out, name.p[i] == '"' || name.p[i] == '\\' ? '?' : name.p[i]);
}

static void add_certificate(const struct tls *t, struct buf *out)
{
	struct buf subject = { 0 }, issuer = { 0 };

	if (!tls_peer_names(t, &subject, &issuer)) {
		buf_addz(
			out, cf.tls_ask_ccert ? "\r\n\t(Client did not present a certificate)" : "\r\n\t(No client certificate requested)");
		return;
	}
	buf_addz(out, "\r\n\t(Client CN \"");
	add_quoted(out, str_sub(buf_str(&subject), 0, NAME_SHOWN));
	buf_addz(out, "\", Issuer \"");
	add_quoted(out, str_sub(buf_str(&issuer), 0, NAME_SHOWN));
	buf_addf(out, "\" (%s))", tls_trust(t) >= TLS_TRUSTED ? "verified OK" : "not verified");
	buf_done(&subject);
	buf_done(&issuer);
}

static void add_tls(const struct session *s, struct buf *out)
{
	const struct tls *t = stream_tls(s->io);

	if (t == NULL || !cf.tls_received)
		return;
	buf_addz(out, "\r\n\t(using ");
	tls_describe(t, "\r\n\t ", out);
	buf_addc(out, ')');
	add_certificate(t, out);
}

static void add_protocol(const struct session *s, struct buf *out)
{
	if (s->t.flags & QUEUE_UTF8) {
		buf_addz(out, "UTF8SMTP");
	} else {
		buf_addz(out, session_protocol(s));
	}
	if (s->esmtp && stream_tls(s->io) != NULL)
		buf_addc(out, 'S');
	if (s->esmtp && s->sasl_user.n > 0)
		buf_addc(out, 'A');
}

void received_print(struct session *s, struct buf *out)
{
	const struct client *c = &s->client;
	struct str helo = s->helo.n > 0 ? s->helo : c->name;

	buf_addf(out, "Received: from %.*s (%.*s [%s%.*s])", STRF(helo), STRF(c->name), c->v6 ? "IPv6:" : "", STRF(c->addr));
	add_tls(s, out);
	if (cf.sasl_header && s->sasl_user.n > 0) {
		buf_addz(out, "\r\n\t");
		header_add_comment(out, arena_printf(session_scratch(s), "Authenticated sender: %.*s", STRF(s->sasl_user)));
	}
	buf_addf(out, "\r\n\tby %s (%s) with ", cf.myhostname, cf.mail_name);
	add_protocol(s, out);
	buf_addf(out, " id %s", session_queue_id(s));
	if (s->t.rcpts.count == 1) {
		struct str rcpt = addr_quote(session_scratch(s), s->t.rcpts.v[0].addr);

		buf_addf(out, "\r\n\tfor <%.*s>; ", STRF(rcpt));
	} else {
		buf_addz(out, ";\r\n\t");
	}
	date_rfc5322(out, s->t.arrival_us);
}
