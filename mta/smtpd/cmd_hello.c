/* mta/smtpd/cmd_hello.c - HELO and EHLO: who the client says it is, and what we offer. RFC 5321 section 4.1.1.1. */
#include <string.h>

#include "mta/smtpd/cmd_auth.h"
#include "mta/smtpd/milter.h"
#include "mta/smtpd/session.h"
#include "mta/smtpd/settings.h"

#define HELO_MAX 512 /* octets kept */

struct str session_clean_name(struct arena *a, struct str name)
{
	char *z = arena_z(a, str_sub(name, 0, HELO_MAX));

	for (char *p = z; *p != '\0'; p++)
		if ((unsigned char)*p < ' ' || *p == 127 || strchr(" <>()\\\";@", *p) != NULL)
			*p = '?';
	return str_z(z);
}

/* A new HELO ends the transaction. Filters are told of it before they hear that the old one is void, as Postfix does. */
static int hello(struct session *s, struct str args, bool esmtp)
{
	struct str old = s->helo;

	s->helo = session_clean_name(s->life, args);
	if (!cf.delay_reject && restrict_helo(s) == CHECK_REJECT) {
		s->helo = old;
		return session_reply_with(s, &s->ruling);
	}
	session_milter_helo(s);
	if (s->milter_refusal.code.smtp == 421)
		return session_reply_with(s, &s->milter_refusal);
	session_forget_mail(s);
	s->esmtp = esmtp;
	return 0;
}

int cmd_helo(struct session *s, struct str args)
{
	if (args.n == 0)
		return session_reply_plain(s, 501, STR("Syntax: HELO hostname"));
	if (hello(s, args, false) < 0)
		return -1;
	return session_reply_plain(s, 250, str_z(cf.myhostname));
}

/* ---- the keywords ---- */

static bool offers_tls(const struct session *s)
{
	return cf.tls_level != TLS_LEVEL_NONE && stream_tls(s->io) == NULL;
}

struct offers {
	struct session *s;
	struct buf text;
};

static void offer(struct offers *o, unsigned hidden, bool available, const char *fmt, int64_t value)
{
	if (!available || (o->s->ehlo_discard & hidden))
		return;
	buf_addc(&o->text, '\n');
	buf_addf(&o->text, fmt, (long long)value);
}

static void offer_auth(struct offers *o)
{
	struct buf mechanisms = { 0 };

	if (!(o->s->ehlo_discard & HIDE_AUTH) && auth_mechanisms(o->s, &mechanisms)) {
		buf_addf(&o->text, "\nAUTH %s", buf_z(&mechanisms));
		if (cf.sasl_broken)
			buf_addf(&o->text, "\nAUTH=%s", buf_z(&mechanisms));
	}
	buf_done(&mechanisms);
}

/* The order is Postfix's, and clients are known that depend on it. */
static void list_offers(struct offers *o)
{
	struct session *s = o->s;

	offer(o, HIDE_PIPELINING, true, "PIPELINING", 0);
	offer(o, HIDE_SIZE, true, cf.message_limit > 0 ? "SIZE %lld" : "SIZE", cf.message_limit);
	offer(o, HIDE_VRFY, !cf.disable_vrfy, "VRFY", 0);
	offer(o, HIDE_ETRN, true, "ETRN", 0);
	offer(o, HIDE_STARTTLS, offers_tls(s), "STARTTLS", 0);
	offer_auth(o);
	offer(o, HIDE_VERP, s->verp_allowed, "XVERP", 0);
	offer(o, HIDE_XCLIENT, s->xclient_allowed, "XCLIENT NAME ADDR PROTO HELO REVERSE_NAME PORT LOGIN DESTADDR DESTPORT", 0);
	offer(o, HIDE_XFORWARD, s->xforward_allowed, "XFORWARD NAME ADDR PROTO HELO SOURCE PORT IDENT", 0);
	offer(o, HIDE_ENHANCED, true, "ENHANCEDSTATUSCODES", 0);
	offer(o, HIDE_8BITMIME, true, "8BITMIME", 0);
	offer(o, HIDE_DSN, true, "DSN", 0);
	offer(o, HIDE_SMTPUTF8, cf.smtputf8, "SMTPUTF8", 0);
	offer(o, HIDE_CHUNKING, true, "CHUNKING", 0);
	offer(o, HIDE_REQTLS, cf.requiretls && stream_tls(s->io) != NULL, "REQUIRETLS", 0);
}

int cmd_ehlo(struct session *s, struct str args)
{
	struct offers o = { .s = s };
	int rc;

	if (args.n == 0)
		return session_reply_plain(s, 501, STR("Syntax: EHLO hostname"));
	if (hello(s, args, true) < 0)
		return -1;
	buf_addz(&o.text, cf.myhostname);
	if (s->milter_refusal.code.smtp >= 500)
		offer(&o, HIDE_ENHANCED, true, "ENHANCEDSTATUSCODES", 0);
	else
		list_offers(&o);
	rc = session_reply_plain(s, 250, buf_str(&o.text));
	buf_done(&o.text);
	return rc;
}
