/* mta/smtpd/cmd_misc.c - RSET, NOOP, VRFY, ETRN, QUIT. RFC 5321 sections 4.1.1.5 to 4.1.1.10, RFC 1985. */
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/mail/addr.h"
#include "lib/net/sock.h"
#include "lib/proto/notify.h"
#include "mta/smtpd/milter.h"
#include "mta/smtpd/resolve.h"
#include "mta/smtpd/session.h"
#include "mta/smtpd/settings.h"

#define FLUSH_PATIENCE_MS 10000

int cmd_rset(struct session *s, struct str args)
{
	if (args.n > 0)
		return session_reply(s, CODE(501, 5, 5, 4), "Syntax: RSET");
	session_forget_mail(s);
	return session_reply(s, CODE(250, 2, 0, 0), "Ok");
}

int cmd_noop(struct session *s, struct str args)
{
	(void)args; /* RFC 5321 section 4.1.1.9: ignored */
	return session_reply(s, CODE(250, 2, 0, 0), "Ok");
}

int cmd_quit(struct session *s, struct str args)
{
	(void)args; /* whatever it is, the client wants to go */
	s->hangup = true;
	return session_reply(s, CODE(221, 2, 0, 0), "Bye");
}

/* ---- VRFY ---- */

static int judge_vrfy(struct session *s, struct str shown)
{
	int rc;

	s->t.rcpt_answer = resolve_ask(s, s->t.rcpt_now, true);
	s->t.rcpt_checked = false;
	if (s->t.rcpt_answer != NULL && (s->t.rcpt_answer->flags & REWRITE_ERROR))
		return session_reply(s, CODE(501, 5, 1, 3), "Bad recipient address syntax");
	rc = restrict_rcpt(s) == CHECK_REJECT ? session_reply_with(s, &s->ruling)
					      : session_reply(s, CODE(252, 2, 0, 0), "%.*s", STRF(shown));
	return rc;
}

/* RFC 6531 section 3.7.4.2. We never answer with more than we were asked, so that there is nothing else to do about it. */
static struct str without_utf8(struct str args)
{
	static const size_t keyword = sizeof "SMTPUTF8" - 1;

	if (cf.smtputf8 && args.n >= keyword && str_eqiz(str_skip(args, args.n - keyword), "SMTPUTF8"))
		return str_trim(str_sub(args, 0, args.n - keyword));
	return args;
}

/* The answer is that of RCPT, and never says more (RFC 5321 section 7.3). */
int cmd_vrfy(struct session *s, struct str args)
{
	struct addr addr;
	const char *why;
	ptrdiff_t used;
	int rc;

	if (cf.disable_vrfy)
		return session_reply(s, CODE(502, 5, 5, 1), "VRFY command is disabled");
	args = without_utf8(args);
	if (args.n == 0)
		return session_reply(s, CODE(501, 5, 5, 4), "Syntax: VRFY address%s", cf.smtputf8 ? " [SMTPUTF8]" : "");
	if (session_milter_other(s, false) < 0)
		return session_reply_with(s, &s->ruling);
	used = addr_parse_path(args, cf.smtputf8 ? ADDR_UTF8 : 0u, &addr, &why);
	if (used < 0 || str_skip(args, (size_t)used).n > 0)
		return session_reply(s, CODE(501, 5, 1, 3), "Bad recipient address syntax");
	if (addr.domain.n > 0)
		addr.local = arena_printf(s->mail, "%.*s@%.*s", STRF(addr.local), STRF(addr.domain));
	s->t.rcpt_now = addr_unquote(s->mail, addr.local);
	rc = judge_vrfy(s, args);
	s->t.rcpt_now = STR_NONE;
	s->t.rcpt_answer = NULL;
	return rc;
}

/* ---- ETRN ---- */

static int request_flush(struct session *s, struct str domain)
{
	struct err e = ERR_INIT;
	int64_t by = deadline_in(FLUSH_PATIENCE_MS);
	struct stream *q = sock_connect_endpoint(STR("unix:public/qmgr"), by, &e);
	int rc = q == NULL ? -1 : notify_send_command(q, NOTIFY_FLUSH_SITE, arena_z(session_scratch(s), domain), by, &e);

	if (rc == 0)
		rc = stream_flush(q, by) < 0 ? -1 : 0;
	if (rc < 0)
		log_warn("cannot reach qmgr: %s", e.text);
	stream_close(q);
	return rc;
}

static int etrn_reply(struct session *s, int code, const char *fmt, struct str domain)
{
	return session_reply_plain(s, code, arena_printf(session_scratch(s), fmt, STRF(domain)));
}

static int start_flush(struct session *s, struct str domain)
{
	struct err e = ERR_INIT;

	switch (matchlist_host(cf.flush_domains, domain, &e)) {
	case TABLE_FOUND:
		break;
	case TABLE_MISSING:
		return etrn_reply(s, 459, "<%.*s>: service unavailable", domain);
	case TABLE_FAILED:
		log_warn("%s", e.text);
		return etrn_reply(s, 458, "Unable to queue messages for <%.*s>", domain);
	}
	if (request_flush(s, domain) < 0)
		return etrn_reply(s, 458, "Unable to queue messages for <%.*s>", domain);
	return etrn_reply(s, 250, "Queuing started for node <%.*s>", domain);
}

int cmd_etrn(struct session *s, struct str args)
{
	struct str rest = args, domain = str_word(&rest, " \t");
	enum verdict v;

	if (cf.helo_required && s->helo.n == 0)
		return session_reply_plain(s, 503, STR("Error: send HELO/EHLO first"));
	if (session_milter_other(s, false) < 0)
		return session_reply_with(s, &s->ruling);
	if (s->t.open)
		return session_reply_plain(s, 503, STR("Error: MAIL transaction in progress"));
	if (domain.n == 0 || str_trim(rest).n > 0)
		return session_reply_plain(s, 500, STR("Syntax: ETRN domain"));
	if (domain.p[0] == '@' || domain.p[0] == '#')
		domain = str_skip(domain, 1);
	if (!addr_domain_valid(domain))
		return session_reply_plain(s, 501, STR("Error: invalid parameter syntax"));
	s->t.etrn = domain;
	v = restrict_etrn(s);
	s->t.etrn = STR_NONE;
	return v == CHECK_REJECT ? session_reply_with(s, &s->ruling) : start_flush(s, domain);
}
