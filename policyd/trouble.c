/* policyd/trouble.c - what a check does when it gets no answer: as its registry row says, or as policyd_trouble_actions does:
 * "check_greylist:redis=local, reject_rbl_client:dns=defer, *:timeout=skip". The last entry that fits counts.
 */
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "policyd/checks.h"

static const char *const trouble_names[TROUBLES] = { "timeout", "dns", "redis" };
static const char *const remedy_names[] = {
	[REMEDY_SKIP] = "skip",
	[REMEDY_PASS] = "pass",
	[REMEDY_DEFER] = "defer",
	[REMEDY_REJECT] = "reject",
	[REMEDY_LOCAL] = "local",
};

const char *trouble_name(enum trouble what)
{
	return trouble_names[what];
}

const char *remedy_name(enum remedy remedy)
{
	return remedy == REMEDY_OWN ? "its own" : remedy_names[remedy];
}

struct remedies { /* by check, as the table is */
	enum remedy of[TROUBLES];
};

static int find_name(const char *const *names, size_t count, struct str name)
{
	for (size_t i = 0; i < count; i++)
		if (names[i] != NULL && str_eqz(name, names[i]))
			return (int)i;
	return -1;
}

/* Only who remembers something can remember it for himself. */
static bool can_be_local(const struct check *c)
{
	return c->trouble[TROUBLE_REDIS] != REMEDY_NONE && !c->ahead;
}

static int set_remedy(struct remedies *to, struct str name, int what, enum remedy remedy, struct err *e)
{
	bool all = str_eqz(name, "*"), found = false;

	for (size_t i = 0; i < check_count; i++) {
		if (!all && !str_eqiz(name, checks[i].name))
			continue;
		if (!all && (checks[i].trouble[what] == REMEDY_NONE || (remedy == REMEDY_LOCAL && !can_be_local(&checks[i]))))
			return err_perm(e, "%s: %s=%s makes no sense", checks[i].name, trouble_names[what], remedy_names[remedy]);
		if (checks[i].trouble[what] != REMEDY_NONE && (remedy != REMEDY_LOCAL || can_be_local(&checks[i])))
			to[i].of[what] = remedy;
		found = true;
	}
	return found ? 0 : err_perm(e, "\"%.*s\" is none of policyd's restrictions", STRF(name));
}

static int parse_entry(struct remedies *to, struct str entry, struct err *e)
{
	struct str rest = entry, name = str_cut(&rest, ':'), what = str_cut(&rest, '=');
	int trouble = find_name(trouble_names, TROUBLES, what);
	int remedy = find_name(remedy_names, sizeof remedy_names / sizeof *remedy_names, rest);

	if (trouble < 0 || remedy < 0)
		return err_perm(e, "\"%.*s\" is not restriction:timeout|dns|redis=skip|pass|defer|reject|local", STRF(entry));
	return set_remedy(to, name, trouble, (enum remedy)remedy, e);
}

int trouble_prepare(const char *actions, struct remedies **out, struct err *e)
{
	struct remedies *to = mem_array(check_count, sizeof *to); /* for the life of the process */
	struct str rest = str_z(actions), entry;

	*out = to;
	for (size_t i = 0; i < check_count; i++)
		for (int k = 0; k < TROUBLES; k++)
			to[i].of[k] = checks[i].trouble[k];
	while ((entry = str_word(&rest, ", \t\r\n")).n > 0)
		if (parse_entry(to, entry, e) < 0)
			return -1;
	return 0;
}

enum remedy trouble_remedy(const struct settings *s, const struct check *c, enum trouble what)
{
	return s->remedies == NULL ? c->trouble[what] : s->remedies[c - checks].of[what];
}

void trouble_verdict(const struct rule *rule, struct request *r, enum trouble what, const char *why, struct verdict *v)
{
	*v = VERDICT_GO_ON;
	v->result = STR("error");
	v->why = arena_printf(r->life, "%s: %s", trouble_names[what], why);
	switch (trouble_remedy(r->settings, rule->check, what)) {
	case REMEDY_PASS:
		v->action = STR("OK");
		break;
	case REMEDY_DEFER:
		v->action = STR("DEFER_IF_PERMIT 4.3.0 Temporary lookup failure");
		break;
	case REMEDY_REJECT:
		v->action = STR("550 5.7.1 Policy check failed");
		break;
	case REMEDY_NONE:
	case REMEDY_SKIP:
	case REMEDY_LOCAL:
	case REMEDY_OWN:
		break;
	}
}
