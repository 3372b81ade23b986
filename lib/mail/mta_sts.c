/* lib/mail/mta_sts.c - MTA-STS records and policies. */
#include "lib/mail/mta_sts.h"

#include <ctype.h>

#define ID_MAX 32

static bool is_id(struct str id)
{
	for (size_t i = 0; i < id.n; i++) {
		if (!isalnum((unsigned char)id.p[i]))
			return false;
	}
	return id.n > 0 && id.n <= ID_MAX;
}

bool mta_sts_record(struct str txt, struct str *id)
{
	struct str rest = txt, version = str_trim(str_cut(&rest, ';'));
	bool found = false;

	if (!str_eqz(version, "v=STSv1"))
		return false;
	while (rest.n > 0) {
		struct str value = str_trim(str_cut(&rest, ';')), name = str_trim(str_cut(&value, '='));

		if (!str_eqz(name, "id") || found)
			continue;
		*id = str_trim(value);
		found = is_id(*id);
	}
	return found;
}

/* ---- policies ---- */

struct reading {
	struct mta_sts *out;
	struct str *mx;
	bool version, mode, age;
};

static bool is_pattern(struct str s)
{
	struct str name = str_starts(s, STR("*.")) ? str_skip(s, 2) : s;

	for (size_t i = 0; i < name.n; i++) {
		if (!isalnum((unsigned char)name.p[i]) && name.p[i] != '-' && name.p[i] != '.' && name.p[i] != '_')
			return false;
	}
	return name.n > 0 && name.n <= 253 && name.p[0] != '.';
}

static bool take_version(struct reading *r, struct str value)
{
	r->version = str_eqz(value, "STSv1");
	return r->version;
}

static bool take_mode(struct reading *r, struct str value)
{
	static const char *const words[] = { [MTA_STS_NONE] = "none", [MTA_STS_TESTING] = "testing", [MTA_STS_ENFORCE] = "enforce" };

	for (int i = MTA_STS_NONE; i <= MTA_STS_ENFORCE && !r->mode; i++) {
		if (!str_eqz(value, words[i]))
			continue;
		r->out->mode = (enum mta_sts_mode)i;
		r->mode = true;
	}
	return r->mode;
}

static bool take_age(struct reading *r, struct str value)
{
	if (r->age)
		return true;
	r->age = str_to_u64(value, UINT64_MAX, &r->out->max_age);
	if (r->out->max_age > MTA_STS_AGE_MAX)
		r->out->max_age = MTA_STS_AGE_MAX;
	return r->age;
}

static bool take_mx(struct reading *r, struct str value)
{
	if (!is_pattern(value) || r->out->mx_count == MTA_STS_MX_MAX)
		return false;
	r->mx[r->out->mx_count++] = value;
	return true;
}

static const struct {
	const char *name, *bad;
	bool (*take)(struct reading *r, struct str value);
} fields[] = {
	{ "version", "unknown version", take_version },
	{ "mode", "unknown mode", take_mode },
	{ "max_age", "bad max_age", take_age },
	{ "mx", "bad or too many mx patterns", take_mx },
};

bool mta_sts_policy(struct arena *a, struct str text, struct mta_sts *out, const char **why)
{
	struct reading r = { .out = out, .mx = arena_alloc(a, MTA_STS_MX_MAX * sizeof *r.mx) };

	*out = (struct mta_sts){ .mx = r.mx };
	while (text.n > 0) {
		struct str value = str_trim(str_cut(&text, '\n')), name = str_trim(str_cut(&value, ':'));

		for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
			if (!str_eqz(name, fields[i].name) || fields[i].take(&r, str_trim(value)))
				continue;
			*why = fields[i].bad;
			return false;
		}
	}
	*why = !r.version ? "no version" : !r.mode ? "no mode" : !r.age ? "no max_age" : "no mx";
	return r.version && r.mode && r.age && (out->mx_count > 0 || out->mode == MTA_STS_NONE);
}

/* "*.example.org" stands for one label more (section 4.1). */
bool mta_sts_lists(const struct mta_sts *p, struct str host)
{
	ptrdiff_t dot = str_chr(host, '.');

	for (size_t i = 0; i < p->mx_count; i++) {
		if (str_eqi(p->mx[i], host))
			return true;
		if (dot > 0 && str_starts(p->mx[i], STR("*.")) && str_eqi(str_skip(p->mx[i], 1), str_skip(host, (size_t)dot)))
			return true;
	}
	return false;
}
