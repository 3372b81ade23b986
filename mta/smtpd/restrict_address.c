/* mta/smtpd/restrict_address.c - restrictions about the sender and the recipient: form, domain, relaying, and whether we know them. */
#include <string.h>

#include "lib/base/log.h"
#include "lib/mail/addr.h"
#include "lib/service/service.h"
#include "mta/smtpd/action.h"
#include "mta/smtpd/domain.h"
#include "mta/smtpd/resolve.h"
#include "mta/smtpd/session.h"
#include "mta/smtpd/settings.h"

struct address { /* sender and recipient are judged alike; this is which, and what it is called */
	struct str given;  /* internal form */
	struct str quoted;
	struct rewrite_answer *answer;
	const char *klass;
};

static struct address the_sender(struct check *c)
{
	struct session *s = c->s;

	return (struct address){ s->t.sender, addr_quote(session_scratch(s), s->t.sender), s->t.sender_answer, "Sender address" };
}

static struct address the_rcpt(struct check *c)
{
	struct session *s = c->s;

	return (struct address){ s->t.rcpt_now, addr_quote(session_scratch(s), s->t.rcpt_now), s->t.rcpt_answer, "Recipient address" };
}

static enum verdict refuse(struct check *c, const struct address *a, struct code code, struct str text)
{
	return check_reject_about(c, code, a->quoted, a->klass, text);
}

static enum verdict no_answer(struct check *c, const struct address *a)
{
	return check_trouble(c, CODE(451, 4, 3, 0), "<%.*s>: Temporary lookup failure", STRF(a->quoted));
}

/* ---- form ---- */

static enum verdict need_fqdn(struct check *c, const struct address *a)
{
	struct str domain = addr_split(a->given).domain, ip;

	if (a->given.n == 0)
		return CHECK_DUNNO;
	if (domain.n > 1 && domain.p[domain.n - 1] == '.')
		domain.n--;
	if (addr_literal(domain, &ip) || (domain.n > 0 && str_chr(domain, '.') > 0))
		return CHECK_DUNNO;
	return refuse(c, a, CODE((short)cf.code_non_fqdn, 5, 5, 2), STR("need fully-qualified address"));
}

enum verdict reject_non_fqdn_sender(struct check *c, const struct rule *r)
{
	struct address a = the_sender(c);

	(void)r; /* takes no argument */
	return need_fqdn(c, &a);
}

enum verdict reject_non_fqdn_recipient(struct check *c, const struct rule *r)
{
	struct address a = the_rcpt(c);

	(void)r; /* takes no argument */
	return need_fqdn(c, &a);
}

/* ---- domain ---- */

static struct code unknown_code(bool sender)
{
	return sender ? CODE((short)cf.code_unknown_address, 4, 1, 8) : CODE((short)cf.code_unknown_address, 4, 1, 2);
}

/* Domains whose mail ends here need no DNS: the tables decide. */
static enum verdict need_domain(struct check *c, const struct address *a, bool sender)
{
	struct str domain;

	if (a->given.n == 0)
		return CHECK_DUNNO;
	if (a->answer == NULL)
		return no_answer(c, a);
	domain = addr_split(a->answer->address).domain;
	if ((a->answer->klass != CLASS_DEFAULT && a->answer->klass != CLASS_RELAY) || domain.n == 0 || domain.p[0] == '[')
		return CHECK_DUNNO;
	switch (domain_answers(c->s, domain)) {
	case DOMAIN_EXISTS:
		return CHECK_DUNNO;
	case DOMAIN_NULL_MX:
		return check_reject(c, sender ? CODE(550, 5, 7, 27) : CODE(556, 5, 1, 10),
			"<%.*s>: %s rejected: Domain %.*s does not accept mail (nullMX)", STRF(a->quoted), a->klass, STRF(domain));
	case DOMAIN_UNSURE:
		return domain_unsure(c, cf.unknown_address_tempfail, sender ? CODE(450, 4, 1, 8) : CODE(450, 4, 1, 2), a->quoted, a->klass,
			"Domain not found");
	case DOMAIN_MISSING:
		break;
	}
	return refuse(c, a, unknown_code(sender), STR("Domain not found"));
}

enum verdict reject_unknown_sender_domain(struct check *c, const struct rule *r)
{
	struct address a = the_sender(c);

	(void)r; /* takes no argument */
	return need_domain(c, &a, true);
}

enum verdict reject_unknown_recipient_domain(struct check *c, const struct rule *r)
{
	struct address a = the_rcpt(c);

	(void)r; /* takes no argument */
	return a.given.n > 0 ? need_domain(c, &a, false) : CHECK_DUNNO;
}

/* ---- relaying ---- */

enum verdict permit_auth_destination(struct check *c, const struct rule *r)
{
	struct address a = the_rcpt(c);

	(void)r; /* takes no argument */
	if (a.given.n == 0)
		return CHECK_DUNNO;
	if (a.answer == NULL)
		return no_answer(c, &a);
	return resolve_is_ours(a.answer) ? CHECK_OK : CHECK_DUNNO;
}

static enum verdict stop_relay(struct check *c, int64_t smtp)
{
	struct address a = the_rcpt(c);

	if (a.given.n == 0)
		return CHECK_DUNNO;
	if (a.answer == NULL)
		return no_answer(c, &a);
	if (resolve_is_ours(a.answer))
		return CHECK_DUNNO;
	return check_reject(c, CODE((short)smtp, (unsigned char)(smtp / 100), 7, 1), "<%.*s>: Relay access denied", STRF(a.quoted));
}

enum verdict reject_unauth_destination(struct check *c, const struct rule *r)
{
	(void)r; /* takes no argument */
	return stop_relay(c, cf.code_relay);
}

/* Old: what is ours may come in, everything else may not. */
enum verdict check_relay_domains(struct check *c, const struct rule *r)
{
	enum verdict v = permit_auth_destination(c, r);

	return v == CHECK_DUNNO ? stop_relay(c, cf.code_relay) : v;
}

enum verdict defer_unauth_destination(struct check *c, const struct rule *r)
{
	(void)r; /* takes no argument */
	return stop_relay(c, cf.code_relay >= 500 ? cf.code_relay - 100 : cf.code_relay);
}

/* ---- listed? ---- */

static const struct unknown_row {
	const int64_t *smtp;
	const char *table; /* shown with show_user_unknown_table_name */
} unknown_rows[] = {
	[CLASS_LOCAL] = { &cf.code_local_unknown, "local recipient table" },
	[CLASS_VIRTUAL_ALIAS] = { &cf.code_valias_unknown, "virtual alias table" },
	[CLASS_VIRTUAL_MAILBOX] = { &cf.code_vmailbox_unknown, "virtual mailbox table" },
	[CLASS_RELAY] = { &cf.code_relay_unknown, "relay recipient table" },
};

/* transport_maps or relocated_maps say "error:5.1.6 text": say it now, not in a bounce. */
static enum verdict error_transport(struct check *c, const struct address *a, bool retry)
{
	struct str text = a->answer->nexthop;
	struct code code = retry ? action_code(450, CODE(450, 4, 1, 1), &text) : action_code(550, CODE(550, 5, 1, 1), &text);

	if (!retry && a->answer->klass == CLASS_VIRTUAL_ALIAS)
		code.smtp = (short)cf.code_valias_unknown;
	return refuse(c, a, code, text.n > 0 ? text : STR("Address is not deliverable"));
}

static enum verdict unknown_user(struct check *c, const struct address *a)
{
	const struct unknown_row *row = &unknown_rows[a->answer->klass];
	struct str text = STR("User unknown");
	bool sender = a->answer == c->s->t.sender_answer;

	if (cf.show_table_name)
		text = arena_printf(session_scratch(c->s), "User unknown in %s", row->table);
	return refuse(c, a, CODE((short)*row->smtp, (unsigned char)(*row->smtp / 100), 1, sender ? 0 : 1), text);
}

/* Names that every mail system answers to, in its tables or not: RFC 5321 section 4.5.1, and our own. */
static bool always_known(const struct rewrite_answer *w)
{
	static const char *const names[] = { "postmaster", "mailer-daemon", "double-bounce" };
	struct str local = addr_split(w->address).local;

	for (size_t i = 0; w->klass == CLASS_LOCAL && i < sizeof names / sizeof *names; i++)
		if (str_eqiz(local, names[i]))
			return true;
	return false;
}

static enum verdict need_listed(struct check *c, const struct address *a)
{
	const struct rewrite_answer *w = a->answer;

	if (w->flags & REWRITE_ALIASED)
		return CHECK_DUNNO;
	if (str_eqz(w->transport, "error") && w->nexthop.n > 0 && !(w->klass == CLASS_VIRTUAL_ALIAS && (w->flags & REWRITE_KNOWN)))
		return error_transport(c, a, false);
	if (str_eqz(w->transport, "retry"))
		return error_transport(c, a, true);
	if (w->klass == CLASS_DEFAULT || (w->flags & REWRITE_KNOWN) || always_known(w))
		return CHECK_DUNNO;
	return unknown_user(c, a);
}

enum verdict reject_unlisted_recipient(struct check *c, const struct rule *r)
{
	struct address a = the_rcpt(c);

	(void)r; /* takes no argument */
	if (a.given.n == 0)
		return CHECK_DUNNO;
	if (a.answer == NULL)
		return no_answer(c, &a);
	c->s->t.rcpt_checked = true;
	return need_listed(c, &a);
}

enum verdict reject_unlisted_sender(struct check *c, const struct rule *r)
{
	struct address a = the_sender(c);

	(void)r; /* takes no argument */
	if (a.given.n == 0)
		return CHECK_DUNNO;
	a.answer = c->s->t.sender_answer = resolve_ask(c->s, a.given, true);
	if (a.answer == NULL)
		return no_answer(c, &a);
	c->s->t.sender_checked = true;
	return need_listed(c, &a);
}

/* ---- who may use a sender address ---- */

/* The owners of the sender, from smtpd_sender_login_maps: full address, without extension, local part, @domain. */
static enum table_answer sender_owners(struct session *s, struct buf *owners, struct err *e)
{
	struct str ext = STR_NONE;

	if (cf.login_maps.count == 0)
		return TABLE_MISSING;
	return tables_lookup_address(&cf.login_maps, resolve_sender_key(s), conf_str(service_conf(), "recipient_delimiter"),
		s->t.sender_answer != NULL && s->t.sender_answer->klass == CLASS_LOCAL, owners, &ext, e);
}

static bool owns(struct str owners, struct str login)
{
	for (struct str w = str_word(&owners, ", \t\r\n"); w.n > 0; w = str_word(&owners, ", \t\r\n"))
		if (str_eqi(w, login))
			return true;
	return false;
}

enum { MISMATCH_LOGGED_IN = 1, MISMATCH_NOT_LOGGED_IN = 2, MISMATCH_KNOWN_ONLY = 4 };

static enum verdict login_mismatch(struct check *c, unsigned which)
{
	struct session *s = c->s;
	struct address a = the_sender(c);
	struct buf owners = { 0 };
	struct err e = ERR_INIT;
	bool logged_in = s->sasl_user.n > 0;
	enum table_answer answer;
	enum verdict v = CHECK_DUNNO;

	if (!cf.sasl_enable || s->t.sender.n == 0 || !(which & (logged_in ? MISMATCH_LOGGED_IN : MISMATCH_NOT_LOGGED_IN)))
		return CHECK_DUNNO;
	answer = sender_owners(s, &owners, &e);
	if (answer == TABLE_FAILED) {
		log_warn("%s", e.text);
		v = no_answer(c, &a);
	} else if (logged_in && (answer == TABLE_FOUND || !(which & MISMATCH_KNOWN_ONLY)) && !owns(buf_str(&owners), s->sasl_user)) {
		v = refuse(c, &a, CODE(553, 5, 7, 1),
			arena_printf(session_scratch(s), "not owned by user %.*s", STRF(s->sasl_user)));
	} else if (!logged_in && answer == TABLE_FOUND) {
		v = refuse(c, &a, CODE(553, 5, 7, 1), STR("not logged in"));
	}
	buf_done(&owners);
	return v;
}

enum verdict reject_sender_login_mismatch(struct check *c, const struct rule *r)
{
	(void)r; /* takes no argument */
	return login_mismatch(c, MISMATCH_LOGGED_IN | MISMATCH_NOT_LOGGED_IN);
}

enum verdict reject_authenticated_sender_login_mismatch(struct check *c, const struct rule *r)
{
	(void)r; /* takes no argument */
	return login_mismatch(c, MISMATCH_LOGGED_IN);
}

enum verdict reject_known_sender_login_mismatch(struct check *c, const struct rule *r)
{
	(void)r; /* takes no argument */
	return login_mismatch(c, MISMATCH_LOGGED_IN | MISMATCH_NOT_LOGGED_IN | MISMATCH_KNOWN_ONLY);
}

enum verdict reject_unauthenticated_sender_login_mismatch(struct check *c, const struct rule *r)
{
	(void)r; /* takes no argument */
	return login_mismatch(c, MISMATCH_NOT_LOGGED_IN);
}
