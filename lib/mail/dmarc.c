/* lib/mail/dmarc.c - reading DMARC records as leniently as the specification asks for: a broken tag does not spoil the others. */
#include "lib/mail/dmarc.h"

#include <ctype.h>
#include <string.h>

#define PERCENT_MAX 100

/* What the record says so far. */
struct reading {
	struct dmarc_record *r;
	bool has_p, has_sp, bad_policy;
};

bool dmarc_record_selects(struct str text)
{
	struct str rest = text, value = str_cut(&rest, ';'), name = str_cut(&value, '=');

	return str_eqiz(str_trim(name), "v") && str_eqz(str_trim(value), "DMARC1");
}

const char *dmarc_policy_name(enum dmarc_policy p)
{
	static const char *const names[] = { "none", "quarantine", "reject" };

	return names[p];
}

static bool take_policy(struct reading *in, struct str value, enum dmarc_policy *out)
{
	for (enum dmarc_policy p = DMARC_NONE; p <= DMARC_REJECT; p++) {
		if (str_eqiz(value, dmarc_policy_name(p))) {
			*out = p;
			return true;
		}
	}
	in->bad_policy = true;
	return false;
}

static void take_p(struct reading *in, struct str value)
{
	in->has_p = take_policy(in, value, &in->r->p);
}

static void take_sp(struct reading *in, struct str value)
{
	in->has_sp = take_policy(in, value, &in->r->sp);
}

static void take_np(struct reading *in, struct str value)
{
	in->r->has_np = take_policy(in, value, &in->r->np);
}

static void take_adkim(struct reading *in, struct str value)
{
	in->r->strict_dkim = str_eqiz(value, "s");
}

static void take_aspf(struct reading *in, struct str value)
{
	in->r->strict_spf = str_eqiz(value, "s");
}

static void take_pct(struct reading *in, struct str value)
{
	uint64_t n;

	if (str_to_u64(value, PERCENT_MAX, &n))
		in->r->pct = (unsigned)n;
}

static void take_t(struct reading *in, struct str value)
{
	in->r->testing = str_eqiz(value, "y");
}

static void take_psd(struct reading *in, struct str value)
{
	if (value.n == 1 && strchr("ynuYNU", value.p[0]) != NULL)
		in->r->psd = (char)tolower((unsigned char)value.p[0]);
}

static void take_rua(struct reading *in, struct str value)
{
	in->r->rua = value;
}

static void take_fo(struct reading *in, struct str value)
{
	in->r->fo = value;
}

static const struct {
	const char *name;
	void (*take)(struct reading *in, struct str value);
} tags[] = {
	{ "adkim", take_adkim },
	{ "aspf", take_aspf },
	{ "fo", take_fo },
	{ "np", take_np },
	{ "p", take_p },
	{ "pct", take_pct },
	{ "psd", take_psd },
	{ "rua", take_rua },
	{ "sp", take_sp },
	{ "t", take_t },
};

#define TAG_COUNT (sizeof tags / sizeof *tags)

/* The first of a name counts. */
static void take_tag(struct reading *in, struct str part, bool seen[TAG_COUNT])
{
	struct str value = part, name = str_trim(str_cut(&value, '='));

	for (size_t i = 0; i < TAG_COUNT; i++) {
		if (!str_eqiz(name, tags[i].name) || seen[i])
			continue;
		seen[i] = true;
		tags[i].take(in, str_trim(value));
	}
}

bool dmarc_record_parse(struct str text, struct dmarc_record *out)
{
	struct reading in = { .r = out };
	bool seen[TAG_COUNT] = { false };
	struct str rest = text, rua;
	uint64_t limit;

	*out = (struct dmarc_record){ .pct = PERCENT_MAX, .psd = 'u', .rua = STR_NONE, .fo = STR_NONE };
	if (!dmarc_record_selects(text))
		return false;
	str_cut(&rest, ';');
	while (rest.n > 0)
		take_tag(&in, str_cut(&rest, ';'), seen);
	rua = out->rua;
	/* RFC 7489 section 6.6.3: somebody who wants reports, at least. */
	if ((!in.has_p || in.bad_policy) && dmarc_report_address(&rua, &limit).n == 0)
		return false;
	if (!in.has_p || in.bad_policy)
		out->p = out->sp = out->np = DMARC_NONE;
	if (!in.has_sp)
		out->sp = out->p;
	if (!out->has_np)
		out->np = out->sp;
	return true;
}

/* "10m": octets. */
static uint64_t size_of(struct str s)
{
	static const char units[] = "kmgt";
	const char *unit = s.n > 0 ? strchr(units, tolower((unsigned char)s.p[s.n - 1])) : NULL;
	uint64_t n;

	if (unit != NULL && *unit != '\0')
		s.n--;
	else
		unit = NULL;
	if (!str_to_u64(s, UINT32_MAX, &n))
		return 0;
	return unit == NULL ? n : n << (10 * (size_t)(unit - units + 1) > 40 ? 40 : 10 * (size_t)(unit - units + 1));
}

struct str dmarc_report_address(struct str *rua, uint64_t *limit)
{
	while (rua->n > 0) {
		struct str uri = str_trim(str_cut(rua, ','));
		ptrdiff_t at = str_rchr(uri, '!');

		*limit = at < 0 ? 0 : size_of(str_skip(uri, (size_t)at + 1));
		if (at >= 0)
			uri = str_sub(uri, 0, (size_t)at);
		if (str_startsi(uri, STR("mailto:")) && str_chr(uri, '@') > 7)
			return str_skip(uri, 7);
	}
	return STR_NONE;
}
