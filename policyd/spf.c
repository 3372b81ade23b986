/* policyd/spf.c - check_host(): find the record, walk its terms, follow include and redirect, keep the limits (RFC 7208 section 4). */
#include "policyd/spf.h"

#include <string.h>

#include "lib/mail/addr.h"
#include "lib/mail/ip.h"
#include "policyd/spf_macro.h"
#include "policyd/spf_match.h"
#include "policyd/spf_record.h"

#define TERMS_MAX 10 /* terms that cause lookups, section 4.6.4 */
#define EXPLANATION_SOURCE_MAX 1024 /* octets of an explanation before macros are filled in */
#define EXPLANATION_MAX 400 /* octets of an explanation that are passed on */
#define RECORDS_MAX 400 /* octets of records that a story shows */
#define TTL_MAX 3600 /* a verdict is not believed for longer, whatever the records say */

/* One check in progress. */
struct walk {
	struct arena *a;
	struct spf_dns dns;
	struct spf_values values;
	struct spf_matcher *matcher;
	unsigned terms;
	struct spf_answer *out;
};

const char *spf_result_name(enum spf_result r)
{
	static const char *const names[] = { "none", "neutral", "pass", "fail", "softfail", "temperror", "permerror" };

	return names[r];
}

static enum spf_result check_host(struct walk *w, struct str domain, bool top);

static enum spf_result problem(struct walk *w, enum spf_result r, const char *text)
{
	w->out->problem = text;
	return r;
}

static bool within_limits(struct walk *w)
{
	return w->terms <= TERMS_MAX && w->dns.voids <= SPF_VOID_MAX;
}

/* Names that have a record can only be names of several labels (section 4.3). */
static bool domain_checkable(struct str domain)
{
	if (domain.n > 0 && domain.p[domain.n - 1] == '.')
		domain.n--;
	if (domain.n == 0 || domain.n > 253 || domain.p[0] == '[' || str_chr(domain, '.') < 0)
		return false;
	while (domain.n > 0) {
		struct str label = str_cut(&domain, '.');

		if (label.n == 0 || label.n > 63)
			return false;
	}
	return true;
}

/* For who asks why. */
static void note_record(struct walk *w, struct str domain, struct str text)
{
	struct str so_far = w->out->records;
	struct buf b = { 0 };

	if (so_far.n >= RECORDS_MAX)
		return;
	buf_addf(&b, "%.*s%s%.*s \"", STRF(so_far), so_far.n > 0 ? ", " : "", STRF(domain));
	buf_add_safe(&b, str_sub(text, 0, RECORDS_MAX));
	buf_addc(&b, '"');
	w->out->records = arena_dup(w->a, buf_str(&b));
	buf_done(&b);
}

/* The domain's one record. NONE when there is none, NEUTRAL when *record has it. */
static enum spf_result fetch_record(struct walk *w, struct str domain, struct spf_record *record)
{
	struct dns_answer answer;
	const struct dns_record *found = NULL;
	const char *why;

	spf_dns_ask(&w->dns, domain, DNS_TXT, &answer);
	if (answer.result == DNS_TEMPFAIL)
		return problem(w, SPF_TEMPERROR, "no answer to the question for the SPF record");
	for (size_t i = 0; i < answer.count; i++) {
		if (!spf_record_selects(answer.records[i].data))
			continue;
		if (found != NULL)
			return problem(w, SPF_PERMERROR, "more than one SPF record");
		found = &answer.records[i];
	}
	if (found == NULL)
		return SPF_NONE;
	note_record(w, domain, found->data);
	return spf_record_parse(w->a, found->data, record, &why) ? SPF_NEUTRAL : problem(w, SPF_PERMERROR, why);
}

static bool match_network(struct walk *w, const struct spf_term *t)
{
	struct ip_net net = { .bits = t->mechanism == SPF_MECH_IP4 ? t->bits4 : t->bits6 };

	if (!ip_parse(t->spec, &net.base) || w->dns.client.v4 != (t->mechanism == SPF_MECH_IP4))
		return false;
	net.base.v4 = w->dns.client.v4;
	net.base = ip_mask(&net.base, net.bits);
	return ip_in_net(&w->dns.client, &net);
}

/* The domain a term is about: its spec with macros filled in, or the current domain. */
static struct str target_of(struct walk *w, struct str domain, struct str spec)
{
	struct str target = domain;

	if (spec.n > 0)
		spf_macro_expand(w->a, &w->values, domain, spec, true, &target);
	return target;
}

/* Some validated name of the client is the target or below it. A lookup that failed only means that it does not match (section 5.5). */
static enum spf_match match_ptr(struct walk *w, struct str target)
{
	spf_dns_client_names(&w->dns);
	for (size_t i = 0; i < w->dns.name_count; i++) {
		struct str name = w->dns.names[i];

		if (str_endsi(name, target) && (name.n == target.n || name.p[name.n - target.n - 1] == '.'))
			return SPF_MATCH;
	}
	return SPF_NO_MATCH;
}

static enum spf_match match_include(struct walk *w, struct str domain, const struct spf_term *t)
{
	switch (check_host(w, target_of(w, domain, t->spec), false)) {
	case SPF_PASS:
		return SPF_MATCH;
	case SPF_FAIL:
	case SPF_SOFTFAIL:
	case SPF_NEUTRAL:
		return SPF_NO_MATCH;
	case SPF_TEMPERROR:
		return SPF_MATCH_TEMPERROR;
	case SPF_NONE:
		w->out->problem = "include of a domain without an SPF record";
		break;
	case SPF_PERMERROR:
		break;
	}
	return SPF_MATCH_PERMERROR;
}

static enum spf_match match_term(struct walk *w, struct str domain, const struct spf_term *t)
{
	enum spf_match match;
	struct str target;

	if (t->mechanism == SPF_MECH_ALL)
		return SPF_MATCH;
	if (t->mechanism == SPF_MECH_IP4 || t->mechanism == SPF_MECH_IP6)
		return match_network(w, t) ? SPF_MATCH : SPF_NO_MATCH;
	w->terms++;
	if (!within_limits(w)) {
		w->out->problem = "too many DNS lookups";
		return SPF_MATCH_PERMERROR;
	}
	if (t->mechanism == SPF_MECH_INCLUDE)
		return match_include(w, domain, t);
	target = target_of(w, domain, t->spec);
	w->dns.tempfail = false;
	match = t->mechanism == SPF_MECH_PTR ? match_ptr(w, target) : spf_matcher_ask(w->matcher, t, target);
	if (w->dns.voids > SPF_VOID_MAX) {
		w->out->problem = "too many DNS lookups without an answer";
		return SPF_MATCH_PERMERROR;
	}
	if (match != SPF_MATCH && w->dns.tempfail && t->mechanism != SPF_MECH_PTR)
		return SPF_MATCH_TEMPERROR;
	return match;
}

static enum spf_result result_of(char qualifier)
{
	return qualifier == '-' ? SPF_FAIL : qualifier == '~' ? SPF_SOFTFAIL : qualifier == '?' ? SPF_NEUTRAL : SPF_PASS;
}

static bool printable(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] < 0x20 || s.p[i] > 0x7e)
			return false;
	return true;
}

/* What the owner of domain says about a fail (section 6.2). Anything wrong with it means: nothing. */
static void explain(struct walk *w, struct str domain, struct str spec)
{
	struct dns_answer answer;
	struct str text;

	spf_dns_ask(&w->dns, target_of(w, domain, spec), DNS_TXT, &answer);
	if (answer.result != DNS_OK || answer.count != 1)
		return;
	text = answer.records[0].data;
	if (text.n > EXPLANATION_SOURCE_MAX || !spf_explanation_valid(text))
		return;
	spf_macro_expand(w->a, &w->values, domain, text, false, &text);
	if (printable(text))
		w->out->explanation = str_sub(text, 0, EXPLANATION_MAX);
}

static enum spf_result follow_redirect(struct walk *w, struct str domain, struct str spec, bool top)
{
	enum spf_result r;

	w->terms++;
	if (!within_limits(w))
		return problem(w, SPF_PERMERROR, "too many DNS lookups");
	r = check_host(w, target_of(w, domain, spec), top);
	return r == SPF_NONE ? problem(w, SPF_PERMERROR, "redirect to a domain without an SPF record") : r;
}

static enum spf_result walk_terms(struct walk *w, struct str domain, const struct spf_record *record, bool top)
{
	for (size_t i = 0; i < record->count; i++) {
		const struct spf_term *t = &record->terms[i];
		enum spf_result r = result_of(t->qualifier);

		switch (match_term(w, domain, t)) {
		case SPF_NO_MATCH:
			continue;
		case SPF_MATCH_TEMPERROR:
			return problem(w, SPF_TEMPERROR, "no answer to a question of the SPF record");
		case SPF_MATCH_PERMERROR:
			return problem(
				w, SPF_PERMERROR, w->out->problem != NULL ? w->out->problem : "a term of the SPF record makes no sense");
		case SPF_MATCH:
			break;
		}
		if (top)
			w->out->mechanism = t->text;
		if (top && r == SPF_FAIL && record->exp.n > 0)
			explain(w, domain, record->exp);
		return r;
	}
	return record->redirect.n > 0 ? follow_redirect(w, domain, record->redirect, top) : SPF_NEUTRAL;
}

/* top: the domain asked about, or one it redirects to: its explanation counts. Recursion is bounded by the count of terms. */
static enum spf_result check_host(struct walk *w, struct str domain, bool top)
{
	struct spf_record record;
	enum spf_result r;

	if (!domain_checkable(domain))
		return SPF_NONE;
	r = fetch_record(w, domain, &record);
	return r == SPF_NEUTRAL ? walk_terms(w, domain, &record, top) : r;
}

void spf_check(struct arena *a, const struct spf_question *q, struct spf_answer *out)
{
	struct walk w = { .a = a, .dns = { .a = a, .deadline = q->deadline, .ttl = TTL_MAX }, .out = out };
	struct addr sender = addr_split(q->sender);

	if (q->sender.n == 0)
		sender.domain = q->helo;
	w.values = (struct spf_values){
		.sender_local = sender.local, .sender_domain = sender.domain, .helo = q->helo, .receiver = q->receiver, .dns = &w.dns
	};
	if (sender.local.n == 0)
		w.values.sender_local = STR("postmaster");
	*out = (struct spf_answer){ .result = SPF_NONE, .domain = sender.domain, .mechanism = STR("default"), .explanation = STR_NONE };
	if (!ip_parse(q->client_address, &w.dns.client) || sender.domain.n == 0)
		return;
	w.matcher = spf_matcher_new(&w.dns);
	if (w.matcher == NULL)
		out->result = problem(&w, SPF_TEMPERROR, "the SPF library refused the question");
	else
		out->result = check_host(&w, sender.domain, true);
	out->ttl = w.dns.ttl;
}
