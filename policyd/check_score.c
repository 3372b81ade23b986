/* policyd/check_score.c - check_score { reject=8 defer=5 prepend=2, { restriction } weights, ... }: findings that would not do alone,
 * summed up. Weights of a restriction: one number for any finding, or result=number pairs ("fail=4 softfail=1.5 pass=-1"), or both. A
 * finding is an action other than DUNNO, or one of the pairs' results. All restrictions are evaluated, and none of them is obeyed.
 */
#include <stdlib.h>

#include "lib/base/log.h"
#include "policyd/evaluate.h"
#include "policyd/text.h"

#define MEMBERS_MAX 50
#define WEIGHTS_MAX 10
#define SCALE 1000 /* scores have three decimals */
#define SCORE_MAX 1000000

struct weight {
	struct str result; /* empty: any finding */
	int64_t points;
};

struct member {
	struct weight weights[WEIGHTS_MAX];
	size_t count;
};

enum { AT_REJECT, AT_DEFER, AT_PREPEND, THRESHOLDS };
static const char *const threshold_names[THRESHOLDS] = { "reject", "defer", "prepend" };

struct score {
	struct ruleset *rules;
	struct member members[MEMBERS_MAX]; /* in the order of rules */
	size_t count;
	int64_t at[THRESHOLDS]; /* INT64_MAX: never */
};

/* ---- the argument ---- */

/* "4", "-1.5". */
static bool parse_points(struct str s, int64_t *out)
{
	bool negative = s.n > 1 && s.p[0] == '-';
	struct str fraction = str_skip(s, negative ? 1 : 0), whole = str_cut(&fraction, '.');
	uint64_t n, parts = 0, unit = SCALE;

	if (!str_to_u64(whole, SCORE_MAX, &n) || fraction.n > 3 || (fraction.n > 0 && !str_to_u64(fraction, SCALE, &parts)))
		return false;
	for (size_t i = 0; i < fraction.n; i++)
		unit /= 10;
	*out = (int64_t)(n * SCALE + parts * unit) * (negative ? -1 : 1);
	return true;
}

static bool set_threshold(struct score *s, struct str name, int64_t points)
{
	for (int i = 0; i < THRESHOLDS; i++)
		if (str_eqz(name, threshold_names[i])) {
			s->at[i] = points;
			return true;
		}
	return false;
}

static int parse_number(struct score *s, struct str word, struct err *e)
{
	struct str rest = word, name = str_cut(&rest, '=');
	bool pair = name.n < word.n;
	struct member *m = s->count > 0 ? &s->members[s->count - 1] : NULL;
	int64_t points;

	if (!parse_points(pair ? rest : word, &points))
		return err_temp(e, "\"%.*s\" is no weight", STRF(word));
	if (m == NULL && pair && set_threshold(s, name, points))
		return 0;
	if (m == NULL || m->count == WEIGHTS_MAX)
		return err_temp(e, "\"%.*s\": reject=, defer= and prepend= come first, then { restriction } and its weights", STRF(word));
	m->weights[m->count++] = (struct weight){ pair ? name : STR_NONE, points };
	return 0;
}

/* { restriction } becomes a rule; their texts are parsed together. */
static int add_member(struct score *s, struct str group, struct buf *text, struct err *e)
{
	if (s->count == MEMBERS_MAX)
		return err_temp(e, "more than %d restrictions", MEMBERS_MAX);
	buf_add(text, str_sub(group, 1, group.n - 2));
	buf_addz(text, ", ");
	s->count++;
	return 0;
}

static void unref_rules(void *rules)
{
	ruleset_unref(rules);
}

static int parse_members(const struct rule *rule, struct score *s, struct str text, struct arena *a, struct err *e)
{
	s->rules = ruleset_parse(rule->settings, text, e);
	if (s->rules == NULL)
		return -1;
	arena_defer(a, unref_rules, s->rules);
	if (s->rules->count != s->count)
		return err_temp(e, "each { } holds one restriction");
	for (size_t i = 0; i < s->count; i++)
		if (s->members[i].count == 0)
			return err_temp(e, "%s has no weight", s->rules->rules[i].check->name);
	return s->count == 0 ? err_temp(e, "no restriction given") : 0;
}

int score_prepare(struct rule *rule, struct arena *a, struct err *e)
{
	struct score *s = arena_alloc(a, sizeof *s);
	struct str rest = rule->argument, word;
	struct buf text = { 0 };
	int rc = 0;

	for (int i = 0; i < THRESHOLDS; i++)
		s->at[i] = INT64_MAX;
	if (rest.n >= 2 && rest.p[0] == '{')
		rest = str_sub(rest, 1, rest.n - 2);
	while (rc == 0 && (word = str_word_braced(&rest)).n > 0)
		rc = word.p[0] == '{' ? add_member(s, word, &text, e) : parse_number(s, word, e);
	if (rc == 0)
		rc = parse_members(rule, s, arena_dup(a, buf_str(&text)), a, e);
	buf_done(&text);
	rule->state = s;
	rule->ahead = rc == 0 && s->rules->ahead;
	return rc;
}

/* ---- the sum ---- */

static int64_t points_for(const struct member *m, const struct verdict *v)
{
	bool found = v->action.n > 0 && !str_eqiz(v->action, "DUNNO") && !str_eqz(v->result, "error");
	int64_t any = 0;

	for (size_t i = 0; i < m->count; i++) {
		if (m->weights[i].result.n == 0)
			any = m->weights[i].points;
		else if (str_eqi(m->weights[i].result, v->result))
			return m->weights[i].points;
	}
	return found ? any : 0;
}

static struct str points_text(struct arena *a, int64_t points)
{
	struct str s =
		arena_printf(a, "%s%lld.%03lld", points < 0 ? "-" : "", (long long)llabs(points) / SCALE, (long long)llabs(points) % SCALE);

	while (s.p[s.n - 1] == '0')
		s.n--;
	if (s.p[s.n - 1] == '.')
		s.n--;
	return s;
}

/* "reject_rbl_client zen.test 4, check_spf softfail 1.5" */
static void add_part(struct arena *a, struct buf *parts, const struct rule *rule, const struct verdict *v, int64_t points)
{
	struct str what = str_sub(rule->argument.n > 0 ? rule->argument : v->result, 0, 60), number = points_text(a, points);

	buf_addf(parts, "%s%s%s%.*s %.*s", parts->n > 0 ? ", " : "", rule->check->name, what.n > 0 ? " " : "", STRF(what), STRF(number));
}

static void apply(struct request *r, const struct score *s, int64_t sum, struct str parts, struct verdict *v)
{
	static const char *const actions[] = { "score_reject_action", "score_defer_action" };
	struct text_var vars[] = { { "score", points_text(r->life, sum) }, { "score_parts", parts } };
	struct str header = STR_NONE;
	struct err e = ERR_INIT;

	v->why = arena_printf(r->life, "score %.*s%s%.*s", STRF(vars[0].value), parts.n > 0 ? ": " : "", STRF(parts));
	for (int i = AT_REJECT; i <= AT_DEFER; i++)
		if (sum >= s->at[i]) {
			v->action = text_action(r, actions[i], vars, 2);
			v->result = str_z(threshold_names[i]);
			return;
		}
	if (sum < s->at[AT_PREPEND])
		return;
	v->result = STR("prepend");
	if (!text_expand(r, str_z(conf_raw(r->settings->conf, "score_header")), vars, 2, &header, &e))
		log_warn("parameter score_header: %s", e.text);
	if (header.n > 0)
		v->header = v->header.n > 0 ? arena_printf(r->life, "%.*s\n%.*s", STRF(v->header), STRF(header)) : header;
}

void score_eval(const struct rule *rule, struct request *r, struct verdict *v)
{
	const struct score *s = rule->state;
	struct verdict *found = arena_alloc(r->life, s->count * sizeof *found);
	struct buf parts = { 0 };
	int64_t sum = 0;

	evaluate_all(r, s->rules, found);
	for (size_t i = 0; i < s->count; i++) {
		int64_t points = points_for(&s->members[i], &found[i]);

		sum += points;
		if (points != 0)
			add_part(r->life, &parts, &s->rules->rules[i], &found[i], points);
		if (found[i].header.n > 0)
			v->header = v->header.n > 0 ? arena_printf(r->life, "%.*s\n%.*s", STRF(v->header), STRF(found[i].header))
						    : found[i].header;
	}
	apply(r, s, sum, arena_dup(r->life, buf_str(&parts)), v);
	buf_done(&parts);
}
