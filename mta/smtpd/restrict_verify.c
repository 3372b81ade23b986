/* mta/smtpd/restrict_verify.c - restrictions that ask others: is the address deliverable, are we a backup for its domain? */
#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/mail/addr.h"
#include "lib/net/dns.h"
#include "mta/smtpd/domain.h"
#include "mta/smtpd/resolve.h"
#include "mta/smtpd/session.h"
#include "mta/smtpd/settings.h"
#include "mta/smtpd/verify.h"

#define DNS_PATIENCE_MS 20000
#define REASON_SHOWN 250 /* octets of another host's reply */
#define MX_HOSTS_MAX 50

/* ---- verification ---- */

struct unverified { /* sender and recipient differ in their parameters only */
	struct str given;
	struct rewrite_answer *answer;
	const char *klass;
	int64_t reject_code, defer_code;
	const char *reason, *tempfail;
	struct code fallback;
};

/* With a code of 4xx, what the probe was refused for is no more than "unverified", and a later refusal goes first. */
static enum verdict verify(struct check *c, const struct unverified *u)
{
	struct arena *a = session_scratch(c->s);
	struct str quoted = addr_quote(a, u->given), text;
	struct code code = u->fallback;
	struct verify_answer v;

	if (u->answer == NULL)
		return check_trouble(c, CODE(451, 4, 3, 0), "<%.*s>: Temporary lookup failure", STRF(u->given));
	verify_address(c->s, u->answer, &v);
	if (v.status == VERIFY_GOOD)
		return CHECK_DUNNO;
	code.smtp = (short)(v.status == VERIFY_BAD ? u->reject_code : u->defer_code);
	code.c = (unsigned char)(code.smtp / 100);
	text = arena_printf(a, "<%.*s>: %s rejected: %s address: %.*s", STRF(quoted), u->klass, code.c == 4 ? "unverified" : "undeliverable",
		STRF(*u->reason != '\0' ? str_z(u->reason) : str_sub(v.reason, 0, REASON_SHOWN)));
	return code.c == 4 ? check_tempfail(c, u->tempfail, code, text) : check_reject(c, code, "%.*s", STRF(text));
}

enum verdict reject_unverified_recipient(struct check *c, const struct rule *r)
{
	struct transaction *t = &c->s->t;
	struct unverified u = { t->rcpt_now, t->rcpt_answer, "Recipient address", cf.code_unverified_rcpt, cf.code_unsure_rcpt,
		cf.unverified_rcpt_reason, cf.unverified_rcpt_tempfail, CODE(450, 4, 1, 1) };

	(void)r; /* takes no argument */
	return u.given.n > 0 ? verify(c, &u) : CHECK_DUNNO;
}

enum verdict reject_unverified_sender(struct check *c, const struct rule *r)
{
	struct transaction *t = &c->s->t;
	struct unverified u = { t->sender, NULL, "Sender address", cf.code_unverified_sender, cf.code_unsure_sender,
		cf.unverified_sender_reason, cf.unverified_sender_tempfail, CODE(450, 4, 1, 7) };

	(void)r; /* takes no argument */
	if (u.given.n == 0)
		return CHECK_DUNNO;
	u.answer = resolve_ask(c->s, u.given, true);
	return verify(c, &u);
}

/* ---- backup MX ---- */

enum place { PLACE_NONE, PLACE_BACKUP, PLACE_PRIMARY, PLACE_UNKNOWN };

static bool any_listed(const struct matchlist *list, const struct sock_addr *addrs, size_t count)
{
	struct err e = ERR_INIT;
	bool found = false;

	for (size_t i = 0; i < count && !found; i++) {
		struct buf text = { 0 };

		sock_addr_text(&addrs[i], &text);
		found = matchlist_addr(list, buf_str(&text), &e) == TABLE_FOUND;
		buf_done(&text);
	}
	return found;
}

struct backup {
	unsigned best;       /* preference of the primary hosts */
	unsigned ours;       /* our own best one */
	bool listed, strange; /* we are among them; a primary host is outside of permit_mx_backup_networks */
};

/* One MX host: is it us, and may we be its backup? False: the DNS could not tell. */
static bool look_at_host(struct session *s, const struct dns_record *mx, int64_t by, struct backup *b)
{
	struct sock_addr *addrs = NULL;
	size_t count = 0;

	if (dns_addresses(session_scratch(s), mx->name, 3, by, &addrs, &count) == DNS_TEMPFAIL)
		return false;
	if (any_listed(cf.own_addresses, addrs, count)) {
		if (!b->listed || mx->pref < b->ours)
			b->ours = mx->pref;
		b->listed = true;
	} else if (mx->pref == b->best && cf.backup_networks_set && !any_listed(cf.backup_networks, addrs, count)) {
		b->strange = true;
	}
	return true;
}

static enum place our_place(struct session *s, struct str domain)
{
	struct dns_answer mx;
	int64_t by = deadline_in(DNS_PATIENCE_MS);
	struct backup b = { .best = UINT16_MAX };

	dns_ask(session_scratch(s), domain, DNS_MX, by, &mx);
	if (mx.result == DNS_TEMPFAIL)
		return PLACE_UNKNOWN;
	for (size_t i = 0; mx.result == DNS_OK && i < mx.count; i++)
		if (mx.records[i].pref < b.best)
			b.best = mx.records[i].pref;
	for (size_t i = 0; mx.result == DNS_OK && i < mx.count && i < MX_HOSTS_MAX; i++)
		if (!look_at_host(s, &mx.records[i], by, &b))
			return PLACE_UNKNOWN;
	if (!b.listed || b.strange)
		return PLACE_NONE;
	return b.ours > b.best ? PLACE_BACKUP : PLACE_PRIMARY;
}

/* Mail we would only bring to the hosts the domain itself names before us. To be its first host, and not to know the domain, is no backup. */
enum verdict permit_mx_backup(struct check *c, const struct rule *r)
{
	const struct rewrite_answer *w = c->s->t.rcpt_answer;
	struct str domain, text;

	(void)r; /* takes no argument */
	if (c->s->t.rcpt_now.n == 0 || w == NULL)
		return CHECK_DUNNO;
	if (resolve_is_ours(w))
		return CHECK_OK;
	domain = addr_split(w->address).domain;
	if ((w->flags & REWRITE_ROUTED) || domain.n == 0 || domain.p[0] == '[')
		return CHECK_DUNNO;
	switch (our_place(c->s, domain)) {
	case PLACE_BACKUP:
		return CHECK_OK;
	case PLACE_UNKNOWN:
		text = arena_printf(session_scratch(c->s), "<%.*s>: Recipient address rejected: Unable to look up mail exchanger information",
			STRF(c->s->t.rcpt_now));
		return check_defer_if_reject(c, CODE(450, 4, 4, 4), text); /* who may be served is not sent away for good */
	case PLACE_NONE:
	case PLACE_PRIMARY:
		break;
	}
	return CHECK_DUNNO;
}
