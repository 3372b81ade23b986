/* policyd/ruleset.c - restriction text to rules. Texts are few (one for each list in main.cf and each way it can be cut), requests are
 * many: parsed rules are kept by their text, tables by their names.
 */
#include "policyd/ruleset.h"

#include "lib/base/log.h"
#include "lib/base/map.h"
#include "lib/base/mem.h"

#define RULES_MAX 200 /* restrictions in one text */
#define RULESETS_KEPT 1000 /* texts; more than a configuration can have */
#define TABLES_MAX 1000
#define CLASS_DEPTH_MAX 10 /* of classes inside each other */

struct rulesets { /* parsed texts */
	struct map *by_text;
};

/* The process's open tables. */
static struct map *tables;

struct rulesets *rulesets_new(void)
{
	struct rulesets *all = mem_alloc(sizeof *all);

	all->by_text = map_new();
	return all;
}

void ruleset_unref(struct ruleset *s)
{
	if (--s->refs == 0)
		arena_free(s->life);
}

struct table *ruleset_table(struct str spec, struct err *e)
{
	struct table *t;

	if (tables == NULL)
		tables = map_new();
	t = map_get(tables, spec);
	if (t != NULL)
		return t;
	if (map_count(tables) >= TABLES_MAX) {
		err_temp(e, "more than %d tables", TABLES_MAX);
		return NULL;
	}
	t = table_open(spec, conf_dir(settings.conf), e);
	if (t != NULL)
		map_put(tables, spec, t);
	return t;
}

/* "type:name" with a type we have. */
static bool is_table(struct str word)
{
	ptrdiff_t colon = str_chr(word, ':');

	return colon > 0 && table_type_find(str_sub(word, 0, (size_t)colon)) != NULL;
}

const char *ruleset_class(const struct settings *from, struct arena *a, struct str word)
{
	struct str classes = from->classes, name;

	if (word.n >= 2 && word.p[0] == '{' && word.p[word.n - 1] == '}')
		return arena_z(a, str_sub(word, 1, word.n - 2));
	while ((name = str_word(&classes, ", \t\r\n")).n > 0)
		if (str_eq(name, word))
			return conf_lookup(from->conf, word);
	return NULL;
}

static int parse_text(struct ruleset *s, struct str text, int depth, struct err *e);

static int parse_class(struct ruleset *s, struct str word, int depth, struct err *e)
{
	const char *text = word.p[0] == '{' ? NULL : ruleset_class(s->settings, s->life, word);

	if (text == NULL)
		return err_temp(e, "unknown smtpd restriction: \"%.*s\"", STRF(word));
	return parse_text(s, str_z(text), depth + 1, e) < 0 ? err_context(e, "class %.*s", STRF(word)) : 0;
}

/* One restriction and its argument off the front of *rest. 0, 1 at the end, -1 with *e. */
static int parse_rule(struct ruleset *s, struct str *rest, int depth, struct err *e)
{
	struct str word = str_word_braced(rest);
	struct rule *rule = &s->rules[s->count];

	if (word.n == 0)
		return 1;
	if (s->count == RULES_MAX || depth > CLASS_DEPTH_MAX)
		return err_temp(e, "more than %d restrictions, or classes of themselves", RULES_MAX);
	rule->settings = s->settings;
	rule->check = check_find(word);
	if (rule->check == NULL)
		return parse_class(s, word, depth, e);
	rule->ahead = rule->check->ahead;
	if (rule->check->argument == ARG_ONE)
		rule->argument = arena_dup(s->life, str_word_braced(rest));
	if (rule->check->argument == ARG_ONE && rule->argument.n == 0)
		return err_temp(e, "restriction \"%s\" needs an argument", rule->check->name);
	if (rule->check->prepare != NULL && rule->check->prepare(rule, s->life, e) < 0)
		return err_context(e, "restriction \"%s\"", rule->check->name);
	s->ahead = s->ahead && rule->ahead;
	s->count++;
	return 0;
}

static int parse_text(struct ruleset *s, struct str text, int depth, struct err *e)
{
	int rc = 0;

	while (rc == 0)
		rc = parse_rule(s, &text, depth, e);
	return rc < 0 ? -1 : 0;
}

static struct ruleset *ruleset_new(const struct settings *from)
{
	struct arena *life = arena_new("policyd rules");
	struct ruleset *s = arena_alloc(life, sizeof *s);

	*s = (struct ruleset){ .settings = from, .life = life, .refs = 1, .ahead = true };
	s->rules = arena_alloc(life, (RULES_MAX + 1) * sizeof *s->rules);
	return s;
}

struct ruleset *ruleset_parse(const struct settings *from, struct str text, struct err *e)
{
	struct ruleset *s = ruleset_new(from);

	if (parse_text(s, text, 0, e) == 0)
		return s;
	ruleset_unref(s);
	return NULL;
}

static struct ruleset *parse_rules(const struct settings *from, struct str text)
{
	struct err e = ERR_INIT;
	struct ruleset *s = ruleset_parse(from, text, &e);

	if (s != NULL)
		return s;
	log_warn("%s", e.text);
	s = ruleset_new(from);
	s->broken = true;
	return s;
}

bool ruleset_is_list(const struct settings *from, struct str text)
{
	struct str word;
	bool any = false;

	while ((word = str_word_braced(&text)).n > 0) {
		const struct check *c = check_find(word);
		struct str classes = from->classes, name = STR_NONE;

		while (c == NULL && (name = str_word(&classes, ", \t\r\n")).n > 0 && !str_eq(name, word))
			;
		if (c == NULL && name.n == 0)
			return false;
		if (c != NULL && c->argument == ARG_ONE)
			(void)str_word_braced(&text);
		any = true;
	}
	return any;
}

static void drop_ruleset(void *s)
{
	ruleset_unref(s);
}

struct ruleset *ruleset_get(const struct settings *from, struct str text)
{
	struct rulesets *all = from->rulesets;
	struct ruleset *s = map_get(all->by_text, text);

	if (s == NULL && map_count(all->by_text) >= RULESETS_KEPT) {
		map_free(all->by_text, drop_ruleset);
		all->by_text = map_new();
	}
	if (s == NULL) {
		s = parse_rules(from, text);
		if (s->broken)
			return s;
		map_put(all->by_text, text, s);
	}
	s->refs++;
	return s;
}

/* ---- all of the configuration ---- */

static const char *const own_lists[] = { "policyd_restrictions" };
static const char *const smtpd_lists[] = { "smtpd_client_restrictions", "smtpd_helo_restrictions", "smtpd_sender_restrictions",
	"smtpd_relay_restrictions", "smtpd_recipient_restrictions", "smtpd_data_restrictions", "smtpd_end_of_data_restrictions",
	"smtpd_etrn_restrictions" };

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* Every table a text names, inside { } groups too. What cannot be opened is told when the rules are parsed. */
static void open_tables_in(struct str text)
{
	struct str word;

	while ((word = str_word_braced(&text)).n > 0) {
		struct err e = ERR_INIT;

		if (is_table(word))
			(void)ruleset_table(word, &e);
		else if (word.n > 2 && word.p[0] == '{')
			open_tables_in(str_sub(word, 1, word.n - 2));
	}
}

static void for_each_class(const struct conf *c, const char *parameter, void (*use)(const char *name, struct str text, void *ctx), void *ctx)
{
	struct arena *a = arena_new("policyd classes");
	struct str classes = str_z(conf_str(c, parameter)), name;

	while ((name = str_word(&classes, ", \t\r\n")).n > 0)
		use(arena_z(a, name), str_z(conf_lookup(c, name)), ctx);
	arena_free(a);
}

static void open_class(const char *name, struct str text, void *ctx)
{
	(void)name; /* any */
	(void)ctx;
	open_tables_in(text);
}

void ruleset_open_tables(const struct settings *from)
{
	const struct conf *c = from->conf;

	for (size_t i = 0; i < COUNT(own_lists); i++)
		open_tables_in(str_z(conf_str(c, own_lists[i])));
	for (size_t i = 0; i < COUNT(smtpd_lists); i++)
		open_tables_in(str_z(conf_str(c, smtpd_lists[i])));
	for_each_class(c, "smtpd_restriction_classes", open_class, NULL);
	for_each_class(c, "policyd_restriction_classes", open_class, NULL);
}

struct trial {
	const struct settings *from;
	ruleset_bad_fn *bad;
};

static void try_own(const char *name, struct str text, void *ctx)
{
	const struct trial *t = ctx;
	struct err e = ERR_INIT;
	struct ruleset *s = ruleset_parse(t->from, text, &e);

	if (s == NULL)
		t->bad(t->from, name, &e);
	else
		ruleset_unref(s);
}

/* smtpd knows the other words. */
static void try_ours(const char *name, struct str text, void *ctx)
{
	struct str word;

	while ((word = str_word_braced(&text)).n > 0) {
		const struct check *c = check_find(word);

		if (c != NULL && c->argument == ARG_ONE)
			(void)str_word_braced(&text);
		if (c != NULL)
			try_own(name, str_n(word.p, (size_t)(text.p - word.p)), ctx);
	}
}

void ruleset_try_all(const struct settings *from, ruleset_bad_fn *bad)
{
	const struct conf *c = from->conf;
	struct trial t = { from, bad };

	for (size_t i = 0; i < COUNT(own_lists); i++)
		try_own(own_lists[i], str_z(conf_str(c, own_lists[i])), &t);
	for (size_t i = 0; i < COUNT(smtpd_lists); i++)
		try_ours(smtpd_lists[i], str_z(conf_str(c, smtpd_lists[i])), &t);
	for_each_class(c, "policyd_restriction_classes", try_own, &t);
	for_each_class(c, "smtpd_restriction_classes", try_ours, &t);
}
