/* milters/dmarc/evaluate.c - does the message pass for an author domain, and if not, what does that domain want? RFC 7489 section 6.6.2. */
#include "lib/base/rand.h"
#include "milters/dmarc/dmarc.h"

const char *dmarc_result_name(enum dmarc_result r)
{
	static const char *const names[] = { "none", "pass", "fail", "temperror" };

	return names[r];
}

/* Section 3.1. An organizational domain that cannot be found out now makes the answer temporary. */
static bool aligned(struct mail *m, const struct evaluation *v, const struct identity *i, bool strict, bool *temporary)
{
	bool same = false;

	if (i->domain.n == 0)
		return false;
	if (str_eq(i->domain, v->domain))
		return true;
	if (strict)
		return false;
	if (!discover_same_org(m, i->domain, v->d.org_domain, &same))
		*temporary = true;
	return same;
}

/* Notes a pass; an aligned identity whose check had no answer may yet turn out to be one. */
static void weigh(struct mail *m, struct evaluation *v, const struct identity *i, bool strict, bool *passes, bool *temporary)
{
	bool unknown = false, same;

	if (i->result != AUTH_PASS && i->result != AUTH_TEMPERROR)
		return;
	same = aligned(m, v, i, strict, &unknown);
	if (i->result == AUTH_PASS && same)
		*passes = true;
	if (unknown || (i->result == AUTH_TEMPERROR && same))
		*temporary = true;
}

/* The next milder policy for mail outside pct and for domains that only test. */
static void soften(struct evaluation *v)
{
	if (v->disposition == DMARC_NONE || (rand_below(100) < v->d.record.pct && !v->d.record.testing))
		return;
	v->disposition--;
	v->softened = v->d.record.testing ? "policy_test_mode" : "sampled_out";
}

void evaluate(struct mail *m, const struct identities *known, struct str domain, struct evaluation *out)
{
	bool temporary = false;

	*out = (struct evaluation){ .domain = domain };
	discover(m, domain, &out->d);
	if (out->d.found != FOUND_RECORD) {
		out->result = out->d.found == FOUND_TEMPERROR ? RESULT_TEMPERROR : RESULT_NONE;
		return;
	}
	for (size_t i = 0; i < known->dkim_count; i++)
		weigh(m, out, &known->dkim[i], out->d.record.strict_dkim, &out->dkim_aligned, &temporary);
	weigh(m, out, &known->spf, out->d.record.strict_spf, &out->spf_aligned, &temporary);
	if (out->dkim_aligned || out->spf_aligned) {
		out->result = RESULT_PASS;
		return;
	}
	out->result = temporary ? RESULT_TEMPERROR : RESULT_FAIL;
	if (temporary)
		return;
	out->disposition = out->d.policy;
	soften(out);
}
