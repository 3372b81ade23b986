/* policyd/check_rbl.c - DNS lists of clients and names (RFC 5782), and what a listed client is told.
 * A list that does not answer lists nobody. For a permit list silence is different: what a later restriction refuses is only deferred.
 */
#include <string.h>

#include "lib/base/log.h"
#include "lib/mail/addr.h"
#include "lib/mail/dsn.h"
#include "lib/mail/ip.h"
#include "lib/net/dns.h"
#include "policyd/checks.h"
#include "policyd/rbl_list.h"
#include "policyd/text.h"

#define REASON_SHOWN 200 /* octets of a list's text in a story */

/* What is asked about, and how the reply names it. */
struct subject {
	const char *class;
	struct str what, name; /* name: what is put in front of the list's domain */
};

int rbl_prepare(struct rule *rule, struct arena *a, struct err *e)
{
	struct dnsbl *d = arena_alloc(a, sizeof *d);
	const char *why;

	if (!dnsbl_parse(rule->argument, d, &why))
		return err_temp(e, "\"%.*s\": %s", STRF(rule->argument), why);
	rule->state = d;
	return 0;
}

/* Host names can be asked about when they are names: no literal, no address, not "unknown". */
static struct str askable_name(struct str name)
{
	struct str top = str_skip(name, (size_t)(str_rchr(name, '.') + 1));
	struct ip ip;
	uint64_t number;

	if (name.n == 0 || name.p[0] == '[' || ip_parse(name, &ip) || str_eqiz(name, "unknown") || str_to_u64(top, UINT64_MAX, &number))
		return STR_NONE;
	return str_chr(name, '.') > 0 ? name : STR_NONE;
}

static struct subject subject_of(const struct rule *rule, struct request *r)
{
	switch ((enum rbl_subject)(rule->check->variant & ~RBL_PERMIT)) {
	case RBL_CLIENT_NAME:
		return (struct subject){ "Client host", r->client_name, askable_name(r->client_name) };
	case RBL_REVERSE_CLIENT:
		return (struct subject){ "Unverified Client host", r->reverse_client_name, askable_name(r->reverse_client_name) };
	case RBL_HELO:
		return (struct subject){ "Helo command", r->helo, askable_name(r->helo) };
	case RBL_SENDER:
		return (struct subject){ "Sender address", r->sender, askable_name(request_domain(r->sender)) };
	case RBL_RCPT:
		return (struct subject){ "Recipient address", r->recipient, askable_name(request_domain(r->recipient)) };
	case RBL_CLIENT:
		break;
	}
	return (struct subject){ "Client host", r->client_address, r->client_address };
}

static bool question_name(const struct rule *rule, const struct dnsbl *d, const struct subject *s, struct buf *out)
{
	if ((rule->check->variant & ~RBL_PERMIT) == RBL_CLIENT)
		return dns_reverse_name(s->name, d->domain, out);
	buf_addf(out, "%.*s.%.*s", STRF(s->name), STRF(d->domain));
	return s->name.n > 0;
}

static bool listed(const struct dnsbl *d, const struct rbl_answer *answer)
{
	for (size_t i = 0; i < answer->count; i++)
		if (dnsbl_counts(d, answer->addresses[i]))
			return true;
	return false;
}

/* The list's own template, or the default one. */
static int find_template(struct request *r, const struct dnsbl *d, struct str *template, struct err *e)
{
	struct str keys[] = { d->text, d->domain };
	struct buf value = { 0 };
	enum table_answer answer = TABLE_MISSING;

	for (size_t i = 0; i < 2 && answer == TABLE_MISSING; i++)
		answer = tables_lookup(&r->settings->rbl_reply_maps, keys[i], &value, e);
	*template = answer == TABLE_FOUND ? arena_dup(r->life, buf_str(&value)) : str_z(conf_raw(r->settings->conf, "default_rbl_reply"));
	buf_done(&value);
	return answer == TABLE_FAILED ? -1 : 0;
}

/* smtpd_expansion_filter: what others wrote may bring only these characters (written out, and the blank) into a reply. */
static struct str filtered(struct request *r, struct str s)
{
	const char *allowed = conf_raw(r->settings->conf, "smtpd_expansion_filter");
	char *p = arena_z(r->life, s);

	for (size_t i = 0; i < s.n; i++)
		if (p[i] != ' ' && (p[i] == '\0' || strchr(allowed, p[i]) == NULL))
			p[i] = '_';
	return str_n(p, s.n);
}

static struct str local_part(struct str address)
{
	struct str domain = request_domain(address);

	return domain.n == 0 ? address : str_sub(address, 0, address.n - domain.n - 1);
}

/* "554 Service unavailable; ..." becomes "554 5.7.1 Service unavailable; ...". Empty: does not begin with a reply code. */
static struct str with_status(struct arena *a, struct str reply)
{
	struct str rest = reply, code = str_cut(&rest, ' ');
	struct code status;
	uint64_t number;

	if (code.n != 3 || !str_to_u64(code, 599, &number) || number < 400)
		return STR_NONE;
	rest = str_trim(rest);
	if (dsn_parse(rest, &status) > 0)
		return reply;
	return arena_printf(a, "%.*s %c.7.1 %.*s", STRF(code), code.p[0], STRF(rest));
}

static void listed_reply(struct request *r, const struct dnsbl *d, const struct subject *s, struct str reason, struct verdict *v)
{
	struct arena *a = r->life;
	struct str template, reply = STR_NONE;
	struct err e = ERR_INIT;
	struct text_var vars[] = {
		{ "client", filtered(r, arena_printf(a, "%.*s[%.*s]", STRF(r->client_name), STRF(r->client_address))) },
		{ "client_address", filtered(r, r->client_address) },
		{ "client_name", filtered(r, r->client_name) },
		{ "helo_name", filtered(r, r->helo) },
		{ "rbl_class", str_z(s->class) },
		{ "rbl_code", arena_printf(a, "%d", (int)conf_int(r->settings->conf, "maps_rbl_reject_code")) },
		{ "rbl_domain", filtered(r, d->domain) },
		{ "rbl_reason", filtered(r, reason) },
		{ "rbl_txt", filtered(r, reason) },
		{ "rbl_what", filtered(r, s->what) },
		{ "recipient", filtered(r, r->recipient) },
		{ "recipient_domain", filtered(r, request_domain(r->recipient)) },
		{ "recipient_name", filtered(r, local_part(r->recipient)) },
		{ "reverse_client_name", filtered(r, r->reverse_client_name) },
		{ "sender", filtered(r, r->sender.n > 0 ? r->sender : STR("<>")) },
		{ "sender_domain", filtered(r, request_domain(r->sender)) },
		{ "sender_name", filtered(r, local_part(r->sender)) },
	};

	if (find_template(r, d, &template, &e) < 0 || !text_expand(r, template, vars, sizeof vars / sizeof *vars, &reply, &e))
		log_warn("reply for DNS list %.*s: %s", STRF(d->text), e.text);
	v->action = with_status(a, reply);
	v->whole = true;
	if (v->action.n == 0)
		verdict_config_error(v);
}

/* What was asked, and what the list said, for who asks why. */
static struct str evidence(struct request *r, struct str question, const struct rbl_answer *answer)
{
	struct buf b = { 0 };
	struct str all;

	if (r->trace == NULL)
		return STR_NONE;
	buf_addf(&b, "%.*s%s", STRF(question), answer->count == 0 ? ": not listed" : " A");
	for (size_t i = 0; i < answer->count; i++)
		buf_addf(&b, " %u.%u.%u.%u", answer->addresses[i][0], answer->addresses[i][1], answer->addresses[i][2], answer->addresses[i][3]);
	if (answer->reason.n > 0) {
		buf_addz(&b, ", TXT \"");
		buf_add_safe(&b, str_sub(answer->reason, 0, REASON_SHOWN));
		buf_addc(&b, '"');
	}
	all = arena_dup(r->life, buf_str(&b));
	buf_done(&b);
	return all;
}

static void no_answer(
	const struct rule *rule, struct request *r, const struct dnsbl *d, const struct subject *s, const char *why, struct verdict *v)
{
	trouble_verdict(rule, r, TROUBLE_DNS, why, v);
	if (trouble_remedy(r->settings, rule->check, TROUBLE_DNS) == REMEDY_OWN)
		v->action = arena_printf(
			r->life, "DEFER_IF_REJECT 4.7.1 %s [%.*s]: %.*s does not answer", s->class, STRF(s->what), STRF(d->domain));
}

static void apply_listing(const struct rule *rule, struct request *r, const struct subject *s, struct str reason, struct verdict *v)
{
	v->result = STR("listed");
	if (rule->check->variant & RBL_PERMIT)
		v->action = STR("OK");
	else
		listed_reply(r, rule->state, s, reason, v);
}

void rbl_eval(const struct rule *rule, struct request *r, struct verdict *v)
{
	const struct dnsbl *d = rule->state;
	struct subject s = subject_of(rule, r);
	struct rbl_answer answer;
	struct buf name = { 0 };

	if (question_name(rule, d, &s, &name)) {
		rbl_list_ask(r, d, arena_lower(r->life, buf_str(&name)), (rule->check->variant & ~RBL_PERMIT) != RBL_CLIENT, &answer);
		if (answer.failed) {
			no_answer(rule, r, d, &s, answer.why, v);
		} else {
			v->why = evidence(r, buf_str(&name), &answer);
			if (listed(d, &answer))
				apply_listing(rule, r, &s, answer.reason, v);
		}
	}
	buf_done(&name);
}
