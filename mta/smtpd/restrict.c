/* mta/smtpd/restrict.c - the registry of restrictions and the evaluation of a list: strictly from left to right, first decision wins. */
#include "mta/smtpd/restrict.h"

#include <stdarg.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/metrics.h"
#include "lib/mail/addr.h"
#include "lib/net/story.h"
#include "mta/smtpd/policy.h"
#include "mta/smtpd/session.h"
#include "mta/smtpd/settings.h"
#include "mta/smtpd/story.h"

#define DEPTH_MAX 100 /* of restriction classes inside each other, as Postfix */

const struct restriction restrictions[] = {
	{ "check_ccert_access", RULE_ARG | RULE_POLICYD, ABOUT_CCERT, NULL },
	{ "check_client_a_access", RULE_ARG | RULE_POLICYD | RULE_FORBID_OK, ABOUT_CLIENT, NULL },
	{ "check_client_access", RULE_ARG | RULE_POLICYD, ABOUT_CLIENT, NULL },
	{ "check_client_mx_access", RULE_ARG | RULE_POLICYD | RULE_FORBID_OK, ABOUT_CLIENT, NULL },
	{ "check_client_ns_access", RULE_ARG | RULE_POLICYD | RULE_FORBID_OK, ABOUT_CLIENT, NULL },
	{ "check_etrn_access", RULE_ARG | RULE_POLICYD, ABOUT_ETRN, NULL },
	{ "check_greylist", RULE_POLICYD, ABOUT_RCPT, NULL },
	{ "check_helo_a_access", RULE_ARG | RULE_POLICYD | RULE_FORBID_OK, ABOUT_HELO, NULL },
	{ "check_helo_access", RULE_ARG | RULE_POLICYD, ABOUT_HELO, NULL },
	{ "check_helo_mx_access", RULE_ARG | RULE_POLICYD | RULE_FORBID_OK, ABOUT_HELO, NULL },
	{ "check_helo_ns_access", RULE_ARG | RULE_POLICYD | RULE_FORBID_OK, ABOUT_HELO, NULL },
	{ "check_policy_service", RULE_ARG, ABOUT_LIST, check_policy_service },
	{ "check_rate", RULE_ARG | RULE_POLICYD, ABOUT_LIST, NULL },
	{ "check_recipient_a_access", RULE_ARG | RULE_POLICYD | RULE_FORBID_OK, ABOUT_RCPT, NULL },
	{ "check_recipient_access", RULE_ARG | RULE_POLICYD, ABOUT_RCPT, NULL },
	{ "check_recipient_mx_access", RULE_ARG | RULE_POLICYD | RULE_FORBID_OK, ABOUT_RCPT, NULL },
	{ "check_recipient_ns_access", RULE_ARG | RULE_POLICYD | RULE_FORBID_OK, ABOUT_RCPT, NULL },
	{ "check_relay_domains", 0, ABOUT_RCPT, check_relay_domains },
	{ "check_reverse_client_hostname_a_access", RULE_ARG | RULE_POLICYD | RULE_FORBID_OK, ABOUT_REVERSE, NULL },
	{ "check_reverse_client_hostname_access", RULE_ARG | RULE_POLICYD | RULE_FORBID_OK, ABOUT_REVERSE, NULL },
	{ "check_reverse_client_hostname_mx_access", RULE_ARG | RULE_POLICYD | RULE_FORBID_OK, ABOUT_REVERSE, NULL },
	{ "check_reverse_client_hostname_ns_access", RULE_ARG | RULE_POLICYD | RULE_FORBID_OK, ABOUT_REVERSE, NULL },
	{ "check_sasl_access", RULE_ARG | RULE_POLICYD, ABOUT_SASL, NULL },
	{ "check_score", RULE_ARG | RULE_POLICYD, ABOUT_LIST, NULL },
	{ "check_sender_a_access", RULE_ARG | RULE_POLICYD | RULE_FORBID_OK, ABOUT_SENDER, NULL },
	{ "check_sender_access", RULE_ARG | RULE_POLICYD, ABOUT_SENDER, NULL },
	{ "check_sender_mx_access", RULE_ARG | RULE_POLICYD | RULE_FORBID_OK, ABOUT_SENDER, NULL },
	{ "check_sender_ns_access", RULE_ARG | RULE_POLICYD | RULE_FORBID_OK, ABOUT_SENDER, NULL },
	{ "check_shadow", RULE_ARG | RULE_POLICYD, ABOUT_LIST, NULL },
	{ "check_spf", RULE_POLICYD, ABOUT_SENDER, NULL },
	{ "defer", 0, ABOUT_LIST, restrict_defer },
	{ "defer_if_permit", 0, ABOUT_LIST, restrict_defer_if_permit },
	{ "defer_if_reject", 0, ABOUT_LIST, restrict_defer_if_reject },
	{ "defer_unauth_destination", 0, ABOUT_RCPT, defer_unauth_destination },
	{ "permit", 0, ABOUT_LIST, restrict_permit },
	{ "permit_auth_destination", 0, ABOUT_RCPT, permit_auth_destination },
	{ "permit_dnswl_client", RULE_ARG | RULE_POLICYD, ABOUT_CLIENT, NULL },
	{ "permit_inet_interfaces", 0, ABOUT_CLIENT, permit_inet_interfaces },
	{ "permit_mx_backup", 0, ABOUT_RCPT, permit_mx_backup },
	{ "permit_mynetworks", 0, ABOUT_CLIENT, permit_mynetworks },
	{ "permit_naked_ip_address", 0, ABOUT_HELO, permit_naked_ip_address },
	{ "permit_rhswl_client", RULE_ARG | RULE_POLICYD, ABOUT_CLIENT, NULL },
	{ "permit_sasl_authenticated", 0, ABOUT_SASL, permit_sasl_authenticated },
	{ "permit_tls_all_clientcerts", 0, ABOUT_CCERT, permit_tls_all_clientcerts },
	{ "permit_tls_clientcerts", 0, ABOUT_CCERT, permit_tls_clientcerts },
	{ "reject", 0, ABOUT_LIST, restrict_reject },
	{ "reject_authenticated_sender_login_mismatch", 0, ABOUT_SENDER, reject_authenticated_sender_login_mismatch },
	{ "reject_invalid_helo_hostname", 0, ABOUT_HELO, reject_invalid_helo_hostname },
	{ "reject_invalid_hostname", 0, ABOUT_HELO, reject_invalid_helo_hostname },
	{ "reject_known_sender_login_mismatch", 0, ABOUT_SENDER, reject_known_sender_login_mismatch },
	{ "reject_maps_rbl", 0, ABOUT_CLIENT, reject_maps_rbl },
	{ "reject_multi_recipient_bounce", 0, ABOUT_LIST, reject_multi_recipient_bounce },
	{ "reject_non_fqdn_helo_hostname", 0, ABOUT_HELO, reject_non_fqdn_helo_hostname },
	{ "reject_non_fqdn_hostname", 0, ABOUT_HELO, reject_non_fqdn_helo_hostname },
	{ "reject_non_fqdn_recipient", 0, ABOUT_RCPT, reject_non_fqdn_recipient },
	{ "reject_non_fqdn_sender", 0, ABOUT_SENDER, reject_non_fqdn_sender },
	{ "reject_plaintext_session", 0, ABOUT_LIST, reject_plaintext_session },
	{ "reject_rbl_client", RULE_ARG | RULE_POLICYD, ABOUT_CLIENT, NULL },
	{ "reject_rhsbl_client", RULE_ARG | RULE_POLICYD, ABOUT_CLIENT, NULL },
	{ "reject_rhsbl_helo", RULE_ARG | RULE_POLICYD, ABOUT_HELO, NULL },
	{ "reject_rhsbl_recipient", RULE_ARG | RULE_POLICYD, ABOUT_RCPT, NULL },
	{ "reject_rhsbl_reverse_client", RULE_ARG | RULE_POLICYD, ABOUT_REVERSE, NULL },
	{ "reject_rhsbl_sender", RULE_ARG | RULE_POLICYD, ABOUT_SENDER, NULL },
	{ "reject_sender_login_mismatch", 0, ABOUT_SENDER, reject_sender_login_mismatch },
	{ "reject_unauth_destination", 0, ABOUT_RCPT, reject_unauth_destination },
	{ "reject_unauth_pipelining", 0, ABOUT_LIST, reject_unauth_pipelining },
	{ "reject_unauthenticated_sender_login_mismatch", 0, ABOUT_SENDER, reject_unauthenticated_sender_login_mismatch },
	{ "reject_unknown_address", 0, ABOUT_SENDER, reject_unknown_sender_domain },
	{ "reject_unknown_client", 0, ABOUT_CLIENT, reject_unknown_client_hostname },
	{ "reject_unknown_client_hostname", 0, ABOUT_CLIENT, reject_unknown_client_hostname },
	{ "reject_unknown_helo_hostname", 0, ABOUT_HELO, reject_unknown_helo_hostname },
	{ "reject_unknown_hostname", 0, ABOUT_HELO, reject_unknown_helo_hostname },
	{ "reject_unknown_recipient_domain", 0, ABOUT_RCPT, reject_unknown_recipient_domain },
	{ "reject_unknown_reverse_client_hostname", 0, ABOUT_REVERSE, reject_unknown_reverse_hostname },
	{ "reject_unknown_sender_domain", 0, ABOUT_SENDER, reject_unknown_sender_domain },
	{ "reject_unlisted_recipient", 0, ABOUT_RCPT, reject_unlisted_recipient },
	{ "reject_unlisted_sender", 0, ABOUT_SENDER, reject_unlisted_sender },
	{ "reject_unverified_recipient", 0, ABOUT_RCPT, reject_unverified_recipient },
	{ "reject_unverified_sender", 0, ABOUT_SENDER, reject_unverified_sender },
	{ "sleep", RULE_ARG, ABOUT_LIST, restrict_sleep },
};
const size_t restriction_count = sizeof restrictions / sizeof *restrictions;

const struct restriction *restriction_find(struct str name)
{
	size_t low = 0, high = restriction_count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;
		int diff = str_cmpi(name, str_z(restrictions[mid].name));

		if (diff == 0)
			return &restrictions[mid];
		if (diff < 0)
			high = mid;
		else
			low = mid + 1;
	}
	return NULL;
}

/* ---- refusals ---- */

/* Sub-codes of "x.1.z", by what is checked. Sender: RFC 3463 has x.1.7 and x.1.8 for it. */
struct code check_fit_code(struct code code, const char *klass)
{
	static const unsigned char sender[] = { 0, 7, 8, 7, 7, 0, 7, 7, 8 };
	static const unsigned char rcpt[] = { 0, 1, 2, 3, 4, 5, 6, 3, 2 };

	code.c = (unsigned char)(code.smtp / 100);
	if (code.s != 1)
		return code;
	if (strcmp(klass, "Sender address") == 0)
		code.d = code.d < sizeof sender ? sender[code.d] : 0;
	else if (strcmp(klass, "Recipient address") == 0)
		code.d = code.d < sizeof rcpt ? rcpt[code.d] : 0;
	else
		code.s = code.d = 0;
	return code;
}

static void name_in_list(const struct check *c, struct str *name, const char **klass)
{
	*name = c->name;
	*klass = c->klass;
}

void check_subject(const struct check *c, enum subject about, struct str *name, const char **klass)
{
	struct session *s = c->s;
	struct arena *a = session_scratch(s);

	name_in_list(c, name, klass);
	switch (about) {
	case ABOUT_LIST:
		break;
	case ABOUT_CLIENT:
		*name = s->client.namaddr;
		*klass = "Client host";
		break;
	case ABOUT_REVERSE:
		*name = arena_printf(a, "%.*s[%.*s]", STRF(s->client.reverse), STRF(s->client.addr));
		*klass = "Unverified Client host";
		break;
	case ABOUT_HELO:
		*name = s->helo;
		*klass = "Helo command";
		break;
	case ABOUT_SENDER:
		*name = addr_quote(a, s->t.sender);
		*klass = "Sender address";
		break;
	case ABOUT_RCPT:
		*name = addr_quote(a, s->t.rcpt_now);
		*klass = "Recipient address";
		break;
	case ABOUT_SASL:
		*name = s->sasl_user;
		*klass = "SASL login name";
		break;
	case ABOUT_CCERT:
		*name = s->ccert.subject.n > 0 ? s->ccert.subject : s->client.namaddr;
		*klass = "Client certificate";
		break;
	case ABOUT_ETRN:
		*name = s->t.etrn;
		*klass = "Etrn command";
		break;
	}
}

static void printable(struct buf *b)
{
	for (size_t i = 0; i < b->n; i++)
		if ((unsigned char)b->p[i] < ' ' || b->p[i] == 127)
			b->p[i] = ' ';
}

static struct code fit_reply_code(struct code code)
{
	if (code.smtp < 400 || code.smtp > 599) {
		log_warn("bad reply code %d in a restriction, 450 4.7.1 is used", code.smtp);
		return CODE(450, 4, 7, 1);
	}
	if (cf.soft_bounce && code.smtp >= 500)
		code.smtp = (short)(code.smtp - 100);
	code.c = (unsigned char)(code.smtp / 100);
	return code;
}

static enum verdict rule_on(struct check *c, struct code code, struct str text, bool warn)
{
	struct session *s = c->s;
	struct buf line = { 0 };

	code = fit_reply_code(code);
	if (code.smtp >= 500 && s->defer_if_reject.active && !warn) {
		code = fit_reply_code(s->defer_if_reject.code);
		text = s->defer_if_reject.text;
		s->defer_if_reject.active = false;
	}
	buf_addf(&line, "%d %u.%u.%u ", code.smtp, (unsigned)code.c, (unsigned)code.s, (unsigned)code.d);
	buf_add(&line, text);
	printable(&line);
	session_log(s, warn ? "reject_warning" : "reject", buf_str(&line));
	buf_done(&line);
	if (warn)
		return CHECK_DUNNO;
	s->ruling = (struct reply){ code, arena_dup(session_scratch(s), text) };
	return CHECK_REJECT;
}

static enum verdict rule_in_words(struct check *c, struct code code, bool warn, const char *fmt, va_list ap)
{
	struct buf text = { 0 };
	enum verdict v;

	buf_addfv(&text, fmt, ap);
	v = rule_on(c, code, buf_str(&text), warn);
	buf_done(&text);
	return v;
}

enum verdict check_reject(struct check *c, struct code code, const char *fmt, ...)
{
	enum verdict v;
	va_list ap;

	va_start(ap, fmt);
	v = rule_in_words(c, code, c->warn, fmt, ap);
	va_end(ap);
	return v;
}

enum verdict check_trouble(struct check *c, struct code code, const char *fmt, ...)
{
	enum verdict v;
	va_list ap;

	va_start(ap, fmt);
	v = rule_in_words(c, code, false, fmt, ap);
	va_end(ap);
	return v;
}

enum verdict check_reject_about(struct check *c, struct code code, struct str name, const char *klass, struct str text)
{
	return check_reject(c, check_fit_code(code, klass), "<%.*s>: %s rejected: %.*s", STRF(name), klass, STRF(text));
}

static void defer_set(struct check *c, struct deferral *d, struct code code, struct str text)
{
	struct session *s = c->s;
	bool early = c->kind == LIST_CLIENT || c->kind == LIST_HELO;

	if (d->active)
		return;
	*d = (struct deferral){ true, code, arena_dup(early && !s->t.open ? s->life : s->mail, text) };
}

enum verdict check_defer_if_permit(struct check *c, struct code code, struct str text)
{
	if (c->warn)
		return rule_on(c, code, text, true);
	defer_set(c, &c->s->defer_if_permit, code, text);
	return CHECK_DUNNO;
}

enum verdict check_tempfail(struct check *c, const char *action, struct code code, struct str text)
{
	if (str_eqiz(str_z(action), "defer"))
		return rule_on(c, code, text, c->warn);
	return check_defer_if_permit(c, code, text);
}

enum verdict check_defer_if_reject(struct check *c, struct code code, struct str text)
{
	defer_set(c, &c->s->defer_if_reject, code, text);
	return CHECK_DUNNO;
}

/* ---- one list ---- */

static void log_permit(struct check *c, const struct rule *r)
{
	struct str words = str_z(cf.permit_log), w;
	struct str name;
	const char *klass;
	struct buf b = { 0 };

	do
		w = str_word(&words, ", \t\r\n");
	while (w.n > 0 && !str_eqi(w, r->word) && !str_eqz(w, "static:all"));
	if (w.n == 0)
		return;
	check_subject(c, r->def->about, &name, &klass);
	buf_addf(&b, "action=%.*s for %s=%.*s", STRF(r->word), klass, STRF(name));
	session_log(c->s, "permit", buf_str(&b));
	buf_done(&b);
}

static void count_decision(const struct check *c, const struct rule *r, const struct rule_list *l, enum verdict v)
{
	const char *decision = v == CHECK_OK ? "permit" : c->s->ruling.code.smtp >= 500 ? "reject" : "defer";

	if (r->klass == NULL) /* its own rules were counted */
		metric_count(METRIC_RESTRICTIONS, r->def != NULL ? r->def->name : "unknown", l->name, decision);
}

static enum verdict unknown_word(struct check *c, const struct rule *r)
{
	log_warn("unknown smtpd restriction: \"%.*s\"", STRF(r->word));
	return check_trouble(c, CODE(451, 4, 3, 5), "Server configuration error");
}

static enum verdict eval_class(struct check *c, const struct rule_list *l)
{
	enum verdict v;

	if (c->depth >= DEPTH_MAX) {
		log_warn("%s: restrictions nest deeper than %d", l->name, DEPTH_MAX);
		return check_trouble(c, CODE(451, 4, 3, 5), "Server configuration error");
	}
	c->depth++;
	v = rule_list_eval(c, l);
	c->depth--;
	return v;
}

/* Old: the lists of maps_rbl_domains. */
enum verdict reject_maps_rbl(struct check *c, const struct rule *r)
{
	(void)r; /* takes no argument */
	return eval_class(c, &cf.maps_rbl);
}

static enum verdict eval_rule(struct check *c, const struct rule *r)
{
	if (r->klass != NULL)
		return eval_class(c, r->klass);
	if (r->def == NULL)
		return unknown_word(c, r);
	return r->def->eval(c, r);
}

static size_t run_length(const struct rule *r, size_t left)
{
	size_t n = 1;

	if (r[0].warn)
		return 1;
	while (n < left && r[n].def != NULL && (r[n].def->flags & RULE_POLICYD) && !r[n].warn)
		n++;
	return n;
}

/* From rule r on: one, or as many as are asked together; *n of them were. */
static enum verdict eval_some(struct check *c, const struct rule *r, size_t left, size_t *n)
{
	int64_t began_us = c->story != NULL ? clock_mono_us() : 0;
	enum verdict v;

	*n = 1;
	if (r->def != NULL && (r->def->flags & RULE_POLICYD)) {
		*n = run_length(r, left);
		v = policy_ask_run(c, r, *n, n);
	} else {
		v = eval_rule(c, r);
	}
	if (c->story != NULL) /* policyd has told of all it was asked: the last one decided */
		story_add_rule(c->story, c, &r[*n - 1], v, clock_mono_us() - began_us);
	return v;
}

static enum verdict eval_list(struct check *c, const struct rule_list *l)
{
	enum verdict v = CHECK_DUNNO;
	bool outer = c->warn;

	for (size_t i = 0; i < l->count && v == CHECK_DUNNO;) {
		const struct rule *r = &l->rules[i];
		size_t n;

		c->warn = outer || r->warn;
		v = eval_some(c, r, l->count - i, &n);
		if (v == CHECK_OK && r->def != NULL && *cf.permit_log != '\0')
			log_permit(c, &l->rules[i + n - 1]);
		if (v != CHECK_DUNNO)
			count_decision(c, &l->rules[i + n - 1], l, v);
		i += n;
		if (c->s->defer_if_permit.active && c->s->defer_if_reject.active)
			break; /* whatever follows, the answer is "later" */
	}
	c->warn = outer;
	return v;
}

enum verdict rule_list_eval(struct check *c, const struct rule_list *l)
{
	struct buf story = { 0 };
	enum verdict v;

	if (c->story != NULL || l->where == NULL || !story_wanted())
		return eval_list(c, l); /* a class tells its part in the list it is in */
	c->story = &story;
	v = eval_list(c, l);
	c->story = NULL;
	story_checks(c, l, v, &story);
	buf_done(&story);
	return v;
}
