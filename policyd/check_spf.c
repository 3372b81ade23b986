/* policyd/check_spf.c - check_spf: the verdict of SPF on the sender (or HELO, for a null sender), turned into the configured action and a
 * Received-SPF field. Verdicts are cached by everything that went into them.
 */
#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/mail/authres.h"
#include "policyd/checks.h"
#include "policyd/spf.h"
#include "policyd/store.h"
#include "policyd/text.h"

#define ADDRESS_MAX 320 /* octets of one in a header field */

static const char *const actions[] = {
	[SPF_FAIL] = "spf_fail_action",
	[SPF_SOFTFAIL] = "spf_softfail_action",
	[SPF_TEMPERROR] = "spf_temperror_action",
	[SPF_PERMERROR] = "spf_permerror_action",
};

static struct str cache_key(struct request *r, struct str sender)
{
	struct str domain = request_domain(sender), local = str_sub(sender, 0, sender.n - domain.n);
	struct str lower = arena_lower(r->life, domain), helo = arena_lower(r->life, r->helo);

	/* The number changes with what is kept: gateways of two releases may share one Redis. */
	return arena_printf(r->life, "spf2:%.*s:%.*s%.*s:%.*s", STRF(r->client_address), STRF(local), STRF(lower), STRF(helo));
}

/* Cached form: result, domain, mechanism, records, explanation, one a line. */
static bool unpack(struct str text, struct spf_answer *out)
{
	struct str result = str_cut(&text, '\n'), domain = str_cut(&text, '\n'), mechanism = str_cut(&text, '\n');
	struct str records = str_cut(&text, '\n');

	*out = (struct spf_answer){ .domain = domain, .mechanism = mechanism, .records = records, .explanation = text };
	for (enum spf_result i = SPF_NONE; i <= SPF_PERMERROR; i++)
		if (i != SPF_TEMPERROR && str_eqz(result, spf_result_name(i))) {
			out->result = i;
			out->problem = i == SPF_PERMERROR ? "broken SPF record" : NULL;
			return true;
		}
	return false;
}

static void remember(struct request *r, struct str key, const struct spf_answer *s)
{
	if (s->result != SPF_TEMPERROR)
		store_cache_put(r->life, key,
			arena_printf(r->life, "%s\n%.*s\n%.*s\n%.*s\n%.*s", spf_result_name(s->result), STRF(s->domain), STRF(s->mechanism),
				STRF(s->records), STRF(s->explanation)),
			s->ttl);
}

/* sender empty: about the HELO name. */
static void ask_spf(struct request *r, struct str sender, struct spf_answer *out)
{
	struct spf_question q = {
		.client_address = r->client_address,
		.helo = r->helo,
		.sender = sender,
		.receiver = str_z(r->settings->myhostname),
		.deadline = deadline_min(r->deadline, deadline_in(conf_time_ms(r->settings->conf, "spf_timeout"))),
	};
	struct str key = cache_key(r, sender), cached;

	if (store_cache_get(r->life, key, &cached) && unpack(cached, out))
		return;
	spf_check(r->life, &q, out);
	remember(r, key, out);
}

static bool exempt(const struct request *r)
{
	struct err e = ERR_INIT;

	return r->sasl_username.n > 0 || (r->sender.n == 0 && !conf_bool(r->settings->conf, "spf_helo_check")) ||
	       matchlist_addr(r->settings->spf_exempt, r->client_address, &e) == TABLE_FOUND;
}

bool spf_passes(struct request *r, struct str *domain)
{
	struct spf_answer s;

	if (r->sender.n == 0 || exempt(r))
		return false;
	ask_spf(r, r->sender, &s);
	*domain = arena_lower(r->life, s.domain);
	return s.result == SPF_PASS;
}

/* A word of the field: as it is when that is a dot-atom, else quoted (RFC 5322 section 3.2). */
static void add_value(struct buf *out, const char *key, struct str value)
{
	static const char atom[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$%&'*+-/=?^_`{|}~.";
	struct buf safe = { 0 };
	bool plain = value.n > 0;

	buf_add_safe(&safe, str_sub(value, 0, ADDRESS_MAX));
	for (size_t i = 0; i < safe.n; i++)
		plain = plain && strchr(atom, safe.p[i]) != NULL;
	buf_addf(out, " %s=%s", key, plain ? "" : "\"");
	for (size_t i = 0; i < safe.n; i++) {
		if (safe.p[i] == '"' || safe.p[i] == '\\')
			buf_addc(out, '\\');
		buf_addc(out, safe.p[i]);
	}
	buf_addz(out, plain ? ";" : "\";");
	buf_done(&safe);
}

/* The sentence in the field's comment, without the brackets and backslashes that would end it. */
static void add_comment(struct buf *out, const struct request *r, const struct spf_answer *s)
{
	static const char *const says[] = {
		[SPF_NONE] = "publishes no SPF policy",
		[SPF_NEUTRAL] = "says nothing about",
		[SPF_PASS] = "designates as permitted sender:",
		[SPF_FAIL] = "does not designate as permitted sender:",
		[SPF_SOFTFAIL] = "probably does not mean to permit:",
		[SPF_TEMPERROR] = "could not be checked for",
		[SPF_PERMERROR] = "has a broken SPF policy:",
	};
	struct buf text = { 0 };

	buf_addf(&text, "%s: domain of %.*s %s", r->settings->myhostname, STRF(s->domain), says[s->result]);
	if (s->result == SPF_PERMERROR)
		buf_addf(&text, " %s", s->problem);
	else if (s->result != SPF_NONE)
		buf_addf(&text, " %.*s", STRF(r->client_address));
	buf_addz(out, " (");
	for (size_t i = 0; i < text.n; i++)
		buf_addc(out, strchr("()\\", text.p[i]) != NULL || text.p[i] < ' ' || text.p[i] > '~' ? '?' : text.p[i]);
	buf_addc(out, ')');
	buf_done(&text);
}

static struct str identity_of(struct str sender)
{
	return sender.n > 0 ? STR("mailfrom") : STR("helo");
}

/* RFC 8601, for those who look for results there: "Authentication-Results: mx.here; spf=pass smtp.mailfrom=a@b". */
static struct str authentication_results(struct request *r, struct str sender, const struct spf_answer *s)
{
	struct buf b = { 0 };
	struct str field;

	buf_addz(&b, AUTHRES ": ");
	authres_add_value(&b, str_z(conf_str(r->settings->conf, "authserv_id")));
	buf_addf(&b, "; spf=%s smtp.%s=", spf_result_name(s->result), sender.n > 0 ? "mailfrom" : "helo");
	authres_add_address(&b, str_sub(sender.n > 0 ? sender : r->helo, 0, ADDRESS_MAX));
	field = arena_dup(r->life, buf_str(&b));
	buf_done(&b);
	return field;
}

/* RFC 7208 section 9.1. */
static struct str received_spf(struct request *r, struct str sender, const struct spf_answer *s)
{
	struct buf b = { 0 };
	struct str field;

	buf_addf(&b, "Received-SPF: %s", spf_result_name(s->result));
	add_comment(&b, r, s);
	add_value(&b, "receiver", str_z(r->settings->myhostname));
	add_value(&b, "identity", identity_of(sender));
	add_value(&b, "envelope-from", r->sender);
	add_value(&b, "helo", r->helo);
	add_value(&b, "client-ip", r->client_address);
	if (s->problem != NULL)
		add_value(&b, "problem", str_z(s->problem));
	else if (s->result != SPF_NONE)
		add_value(&b, "mechanism", s->mechanism);
	field = arena_dup(r->life, str_sub(buf_str(&b), 0, b.n - 1));
	buf_done(&b);
	return field;
}

static struct str action_for(struct request *r, const char *parameter, struct str sender, const struct spf_answer *s)
{
	struct text_var vars[] = {
		{ "client_address", r->client_address },
		{ "spf_domain", s->domain },
		{ "spf_explanation", s->explanation },
		{ "spf_identity", identity_of(sender) },
		{ "spf_problem", str_z(s->problem) },
	};

	return text_action(r, parameter, vars, sizeof vars / sizeof *vars);
}

static void apply(const struct rule *rule, struct request *r, const struct spf_answer *s, struct verdict *v)
{
	if (s->result == SPF_TEMPERROR && trouble_remedy(r->settings, rule->check, TROUBLE_DNS) != REMEDY_OWN)
		trouble_verdict(rule, r, TROUBLE_DNS, s->problem, v);
	else if (actions[s->result] != NULL)
		v->action = action_for(r, actions[s->result], r->sender, s);
}

static void tell(struct request *r, struct str sender, const struct spf_answer *s, struct verdict *v)
{
	struct str received = conf_bool(r->settings->conf, "spf_header") ? received_spf(r, sender, s) : STR_NONE;
	struct str results = conf_bool(r->settings->conf, "spf_authentication_results") ? authentication_results(r, sender, s) : STR_NONE;

	v->result = str_z(spf_result_name(s->result));
	v->why = arena_printf(r->life, "%s of %.*s%s%.*s%s%.*s", spf_result_name(s->result), STRF(s->domain), s->mechanism.n > 0 ? " by " : "",
		STRF(s->mechanism), s->records.n > 0 ? "; TXT " : "", STRF(s->records));
	v->header = received.n == 0  ? results
		    : results.n == 0 ? received
				     : arena_printf(r->life, "%.*s\n%.*s", STRF(received), STRF(results));
}

/* With spf_helo_fail_action the HELO name is looked at whoever the sender is, and first (RFC 7208 section 2.3). True: that is the verdict. */
static bool helo_fails(struct request *r, struct verdict *v)
{
	struct str wanted = str_z(conf_raw(r->settings->conf, "spf_helo_fail_action"));
	struct spf_answer s;

	if (r->sender.n == 0 || r->helo.n == 0 || wanted.n == 0 || str_eqiz(wanted, "none") || str_eqiz(wanted, "DUNNO"))
		return false;
	ask_spf(r, STR_NONE, &s);
	if (s.result != SPF_FAIL)
		return false;
	v->action = action_for(r, "spf_helo_fail_action", STR_NONE, &s);
	tell(r, STR_NONE, &s, v);
	return true;
}

void spf_eval(const struct rule *rule, struct request *r, struct verdict *v)
{
	struct spf_answer s;

	if (exempt(r)) {
		v->why = STR("exempt");
		return;
	}
	if (helo_fails(r, v))
		return;
	ask_spf(r, r->sender, &s);
	apply(rule, r, &s, v);
	tell(r, r->sender, &s, v);
}
