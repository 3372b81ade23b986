/* milters/dmarc/discover.c - finding the record for a domain: by the Public Suffix List (RFC 7489 section 6.6.3), or by the tree walk of
 * its successor. All names that may have it are asked for at once.
 */
#include "lib/base/clock.h"
#include "milters/common/resolver.h"
#include "milters/dmarc/dmarc.h"

#define WALK_MAX 8 /* names of one tree walk */
#define WALK_LABELS 7 /* of its second name at most */

/* One name and the record there. */
struct step {
	struct str domain;
	enum found found;
	struct str text;
	struct dmarc_record record;
};

/* More than one record is none (section 6.6.3 step 5). */
static void read_records(struct step *s, const struct txt_records *all)
{
	size_t claims = 0;

	for (size_t i = 0; i < all->count; i++) {
		if (!dmarc_record_selects(all->records[i]))
			continue;
		s->text = all->records[i];
		claims++;
	}
	s->found = claims == 1 && dmarc_record_parse(s->text, &s->record) ? FOUND_RECORD : FOUND_NONE;
}

static void ask(struct mail *m, struct step *steps, size_t count)
{
	int64_t deadline = deadline_in(m->set->dns_timeout_ms);
	struct txt_query *queries[WALK_MAX];
	struct str names[WALK_MAX];

	for (size_t i = 0; i < count; i++)
		names[i] = arena_printf(m->life, "_dmarc.%.*s", STRF(steps[i].domain));
	txt_ask(names, count, queries);
	for (size_t i = 0; i < count; i++) {
		struct txt_records all;

		if (txt_wait(queries[i], deadline, m->life, &all) == TXT_TEMPFAIL)
			steps[i].found = FOUND_TEMPERROR;
		else
			read_records(&steps[i], &all);
		txt_done(queries[i]);
	}
}

/* ---- the tree walk ---- */

static size_t label_count(struct str domain)
{
	size_t n = domain.n > 0;

	for (size_t i = 0; i < domain.n; i++)
		n += domain.p[i] == '.';
	return n;
}

static size_t walk_names(struct str domain, struct step steps[WALK_MAX])
{
	size_t labels = label_count(domain), count = 0;

	steps[count++].domain = domain;
	for (; labels > 1 && count < WALK_MAX; labels--) {
		str_cut(&domain, '.');
		if (labels - 1 <= WALK_LABELS)
			steps[count++].domain = domain;
	}
	return count;
}

/* The step whose domain is the organizational one; *temporary: a name on the way to it has no answer. NULL: none has a record. */
static const struct step *walk_choose(const struct step *steps, size_t count, bool *temporary, struct str *org)
{
	const struct step *best = NULL;

	*org = steps[0].domain;
	*temporary = false;
	for (size_t i = 0; i < count; i++) {
		const struct step *s = &steps[i];

		*temporary = *temporary || s->found == FOUND_TEMPERROR;
		if (s->found != FOUND_RECORD)
			continue;
		best = s;
		*org = s->domain;
		if (s->record.psd == 'y' && i > 0)
			*org = steps[i - 1].domain; /* one label below */
		if (s->record.psd == 'n' || (s->record.psd == 'y' && i > 0))
			break;
	}
	return best;
}

/* ---- the record that counts ---- */

static bool nonexistent(struct mail *m, struct str domain)
{
	struct txt_records all;
	struct txt_query *q;

	txt_ask(&domain, 1, &q);
	(void)txt_wait(q, deadline_in(m->set->dns_timeout_ms), m->life, &all);
	txt_done(q);
	return all.nxdomain;
}

static void take(struct mail *m, struct str domain, const struct step *s, struct discovery *out)
{
	out->found = FOUND_RECORD;
	out->text = s->text;
	out->domain = s->domain;
	out->record = s->record;
	out->tag = "p";
	out->policy = s->record.p;
	if (str_eq(domain, s->domain))
		return;
	out->tag = "sp";
	out->policy = s->record.sp;
	if (s->record.has_np && nonexistent(m, domain)) {
		out->tag = "np";
		out->policy = s->record.np;
	}
}

static void discover_by_walk(struct mail *m, struct str domain, struct discovery *out)
{
	struct step steps[WALK_MAX] = { 0 };
	size_t count = walk_names(domain, steps);
	const struct step *chosen;
	bool temporary;

	ask(m, steps, count);
	chosen = walk_choose(steps, count, &temporary, &out->org_domain);
	if (temporary)
		out->found = FOUND_TEMPERROR;
	else if (steps[0].found == FOUND_RECORD)
		take(m, domain, &steps[0], out);
	else if (chosen != NULL)
		take(m, domain, chosen, out);
}

static void discover_by_list(struct mail *m, struct str domain, struct discovery *out)
{
	const struct dmarc_options *o = m->set->own;
	struct str org = suffixes_org_domain(o->suffixes, domain);
	struct step steps[2] = { { .domain = domain }, { .domain = org } };
	size_t count = str_eq(org, domain) ? 1 : 2;

	out->org_domain = org;
	ask(m, steps, count);
	for (size_t i = 0; i < count; i++) {
		if (steps[i].found == FOUND_TEMPERROR)
			out->found = FOUND_TEMPERROR;
		else if (steps[i].found == FOUND_RECORD)
			take(m, domain, &steps[i], out);
		if (steps[i].found != FOUND_NONE)
			return;
	}
}

void discover(struct mail *m, struct str domain, struct discovery *out)
{
	const struct dmarc_options *o = m->set->own;

	*out = (struct discovery){ .found = FOUND_NONE, .text = STR_NONE, .domain = STR_NONE, .tag = "p" };
	(o->tree_walk ? discover_by_walk : discover_by_list)(m, domain, out);
}

static bool is_below(struct str domain, struct str parent)
{
	return str_ends(domain, parent) && domain.n > parent.n && domain.p[domain.n - parent.n - 1] == '.';
}

bool discover_same_org(struct mail *m, struct str domain, struct str org, bool *same)
{
	const struct dmarc_options *o = m->set->own;
	struct step steps[WALK_MAX] = { 0 };
	struct str found;
	bool temporary = false;
	size_t count;

	*same = str_eq(domain, org);
	if (*same || !is_below(domain, org))
		return true;
	if (!o->tree_walk) {
		*same = str_eq(suffixes_org_domain(o->suffixes, domain), org);
		return true;
	}
	count = walk_names(domain, steps);
	ask(m, steps, count);
	(void)walk_choose(steps, count, &temporary, &found);
	*same = str_eq(found, org);
	return !temporary;
}
