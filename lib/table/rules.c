/* lib/table/rules.c - ordered pattern rules with if ... endif. */
#include "lib/table/rules.h"

#include "lib/base/mem.h"
#include "lib/conf/lines.h"
#include "lib/table/registry.h"

#define IF_DEPTH_MAX 32
#define INDEX_FROM 8 /* rules in a run: fewer are tried faster than found */

enum rule_kind { RULE_RESULT, RULE_IF, RULE_ENDIF };

struct rule {
	enum rule_kind kind;
	bool negated;
	void *compiled;
	struct str result;
	unsigned line;
	void *index; /* of the run that begins here, or NULL */
	size_t skip_to; /* RULE_IF: the rule behind its endif; with an index: the rule behind the run */
};

struct rules {
	const struct rule_engine *engine;
	struct arena *life; /* results */
	struct rule *rule;
	size_t count, cap;
};

int rules_cut_delimited(struct str *rest, struct str *pattern, struct str *flags, struct err *e)
{
	size_t n = 1, f = 0;

	if (rest->n == 0 || isalnum((unsigned char)rest->p[0]) || rest->p[0] == '\\')
		return err_perm(e, "\"/pattern/flags result\" expected");
	while (n < rest->n && rest->p[n] != rest->p[0])
		n += rest->p[n] == '\\' && n + 1 < rest->n ? 2 : 1;
	if (n >= rest->n)
		return err_perm(e, "no closing \"%c\" after the pattern", rest->p[0]);
	*pattern = str_sub(*rest, 1, n - 1);
	*rest = str_skip(*rest, n + 1);
	while (f < rest->n && isalpha((unsigned char)rest->p[f]))
		f++;
	*flags = str_sub(*rest, 0, f);
	*rest = str_skip(*rest, f);
	if (rest->n > 0 && rest->p[0] != ' ' && rest->p[0] != '\t')
		return err_perm(e, "unknown flag \"%c\"", rest->p[0]);
	return 0;
}

/* A group number behind '$': "1", "{1}", "(1)". Returns the octets used, 0: none. */
static size_t group_reference(struct str s, size_t *number)
{
	size_t at = 0, first;
	char close = '\0';

	if (s.n > 0 && (s.p[0] == '{' || s.p[0] == '(')) {
		close = s.p[0] == '{' ? '}' : ')';
		at = 1;
	}
	first = at;
	*number = 0;
	while (at < s.n && isdigit((unsigned char)s.p[at]) && at - first < 3)
		*number = *number * 10 + (size_t)(s.p[at++] - '0');
	if (at == first || (close != '\0' && (at >= s.n || s.p[at] != close)))
		return 0;
	return at + (close != '\0');
}

/* Walk a result text; with out, write it for this match. -1 with *e: a reference that cannot be. */
static int write_result(struct str result, const struct rule_subject *s, size_t groups, struct buf *out, struct err *e)
{
	ptrdiff_t at;

	while ((at = str_chr(result, '$')) >= 0) {
		size_t number, used;

		if (out != NULL)
			buf_add(out, str_sub(result, 0, (size_t)at));
		result = str_skip(result, (size_t)at + 1);
		if (result.n > 0 && result.p[0] == '$') {
			if (out != NULL)
				buf_addc(out, '$');
			result = str_skip(result, 1);
			continue;
		}
		used = group_reference(result, &number);
		if (used == 0 || number == 0 || number > groups)
			return err_perm(e, "\"$%.*s\" is no group of the pattern (write \"$$\" for the character)", STRF(result));
		if (out != NULL && number < s->group_count)
			buf_add(out, s->groups[number]);
		result = str_skip(result, used);
	}
	if (out != NULL)
		buf_add(out, result);
	return 0;
}

static struct rule *add_rule(struct rules *r)
{
	if (r->count == r->cap) {
		r->cap = r->cap == 0 ? 64 : r->cap * 2;
		r->rule = mem_grow(r->rule, r->cap, sizeof *r->rule);
	}
	r->rule[r->count] = (struct rule){ .kind = RULE_RESULT };
	return &r->rule[r->count++];
}

static bool cut_keyword(struct str *line, const char *word)
{
	struct str k = str_z(word);

	if (!str_startsi(*line, k) || (line->n > k.n && line->p[k.n] != ' ' && line->p[k.n] != '\t'))
		return false;
	*line = str_trim(str_skip(*line, k.n));
	return true;
}

/* "[!]pattern result" or, for an if, "[!]pattern". */
static int read_pattern(struct rules *r, struct str line, enum rule_kind kind, unsigned number, struct err *e)
{
	struct rule rule = { .kind = kind, .line = number };
	struct str pattern, flags;
	size_t groups = 0;

	if (line.n > 0 && line.p[0] == '!') {
		rule.negated = true;
		line = str_trim(str_skip(line, 1));
	}
	if (r->engine->cut(&line, &pattern, &flags, e) < 0)
		return -1;
	line = str_trim(line);
	if (kind == RULE_IF && line.n > 0)
		return err_perm(e, "unexpected text behind the pattern of an if");
	rule.compiled = r->engine->compile(pattern, flags, &groups, e);
	if (rule.compiled == NULL)
		return -1;
	if (write_result(line, NULL, rule.negated ? 0 : groups, NULL, e) < 0) {
		r->engine->free(rule.compiled);
		return -1;
	}
	rule.result = arena_dup(r->life, line);
	*add_rule(r) = rule;
	return 0;
}

struct open_ifs { /* while reading */
	size_t at[IF_DEPTH_MAX];
	size_t count;
};

static int read_rule(struct rules *r, struct str line, unsigned number, struct open_ifs *ifs, struct err *e)
{
	if (line.p[0] == ' ' || line.p[0] == '\t')
		return err_perm(e, "the first line must not begin with white space");
	if (cut_keyword(&line, "endif")) {
		if (ifs->count == 0)
			return err_perm(e, "endif without if");
		add_rule(r)->kind = RULE_ENDIF;
		r->rule[ifs->at[--ifs->count]].skip_to = r->count;
		return 0;
	}
	if (!cut_keyword(&line, "if"))
		return read_pattern(r, line, RULE_RESULT, number, e);
	if (ifs->count == IF_DEPTH_MAX)
		return err_perm(e, "ifs nested deeper than %d", IF_DEPTH_MAX);
	if (read_pattern(r, line, RULE_IF, number, e) < 0) { /* keep the pairing, never enter */
		*add_rule(r) = (struct rule){ .kind = RULE_IF };
		ifs->at[ifs->count++] = r->count - 1;
		return -1;
	}
	ifs->at[ifs->count++] = r->count - 1;
	return 0;
}

static bool in_run(const struct rule *rule)
{
	return rule->kind == RULE_RESULT && !rule->negated;
}

static void index_runs(struct rules *r)
{
	size_t end;

	for (size_t i = 0; i < r->count; i = end + 1) {
		end = i;
		while (end < r->count && in_run(&r->rule[end]))
			end++;
		if (end - i < INDEX_FROM)
			continue;
		r->rule[i].skip_to = end;
		r->rule[i].index = r->engine->index->new();
		for (size_t k = i; k < end; k++)
			r->engine->index->add(r->rule[i].index, r->rule[k].compiled, k);
	}
}

struct rules *rules_parse(const struct rule_engine *engine, const char *file, struct str text, struct complaints *c)
{
	struct rules *r = mem_alloc(sizeof *r);
	struct open_ifs ifs = { .count = 0 };
	struct lines l = { text, 1 };
	struct buf line = { 0 };
	struct err e = ERR_INIT;
	int number = 1;

	r->engine = engine;
	r->life = arena_new("pattern table");
	while (lines_next(&l, &line, &number))
		if (read_rule(r, buf_str(&line), (unsigned)number, &ifs, &e) < 0)
			complain_line(c, true, file, number, (err_context(&e, "ignoring this rule"), e.text));
	if (ifs.count > 0)
		complain_line(c, true, file, number, "if without endif");
	while (ifs.count > 0)
		r->rule[ifs.at[--ifs.count]].skip_to = r->count;
	buf_done(&line);
	if (engine->index != NULL)
		index_runs(r);
	return r;
}

static void rule_done(const struct rules *r, struct rule *rule)
{
	if (rule->compiled != NULL)
		r->engine->free(rule->compiled);
	if (rule->index != NULL)
		r->engine->index->free(rule->index);
}

void rules_free(struct rules *r)
{
	for (size_t i = 0; i < r->count; i++)
		rule_done(r, &r->rule[i]);
	mem_free(r->rule);
	arena_free(r->life);
	mem_free(r);
}

/* 1: the rule applies, 0: it does not, -1 with *e. */
static int applies(const struct rules *r, const struct rule *rule, struct rule_subject *s, struct err *e)
{
	int m;

	if (rule->compiled == NULL)
		return 0;
	m = r->engine->match(rule->compiled, s, e);
	return m < 0 ? -1 : m != RULE_NEITHER && m != rule->negated;
}

/* 1: *i is now the rule whose result counts; 0: none yet, *i is the last rule that need not be tried any more; -1 with *e. */
static int try_rule(const struct rules *r, size_t *i, struct rule_subject *s, struct err *e)
{
	const struct rule *rule = &r->rule[*i];
	int m;

	if (rule->index != NULL) {
		size_t found = r->engine->index->find(rule->index, s);

		*i = found == SIZE_MAX ? rule->skip_to - 1 : found;
		return found != SIZE_MAX;
	}
	if (rule->kind == RULE_ENDIF)
		return 0;
	m = applies(r, rule, s, e);
	if (rule->kind == RULE_IF && m == 0)
		*i = rule->skip_to - 1;
	return rule->kind == RULE_RESULT || m < 0 ? m : 0;
}

enum table_answer rules_lookup(const struct rules *r, struct str key, struct buf *value, struct err *e)
{
	struct rule_subject s = { .text = key };

	if (r->engine->prepare != NULL && !r->engine->prepare(&s))
		return TABLE_MISSING;
	for (size_t i = 0; i < r->count; i++) {
		int m = try_rule(r, &i, &s, e);

		if (m < 0)
			return TABLE_FAILED;
		if (m == 1) {
			table_found_at(r->rule[i].line);
			return write_result(r->rule[i].result, &s, RULE_GROUPS_MAX, value, e) == 0 ? TABLE_FOUND : TABLE_FAILED;
		}
	}
	return TABLE_MISSING;
}
