/* lib/table/pcre.c - pcre:file, Perl regular expressions in order: pcre_table(5). Matching is limited in steps and memory, so that no
 * subject a stranger sends can hold up a process; a match that hits the limit fails the lookup.
 */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "lib/base/mem.h"
#include "lib/table/registry.h"
#include "lib/table/rules.h"

#define MATCH_STEPS_MAX 200000 /* a few milliseconds */
#define MATCH_HEAP_KIB 8192

struct pattern {
	pcre2_code *code;
	pcre2_match_data *data;
	pcre2_match_context *limits;
};

static const struct {
	char letter;
	uint32_t option;
} flag_table[] = {
	{ 'i', PCRE2_CASELESS },
	{ 'm', PCRE2_MULTILINE },
	{ 's', PCRE2_DOTALL },
	{ 'x', PCRE2_EXTENDED },
	{ 'A', PCRE2_ANCHORED },
	{ 'E', PCRE2_DOLLAR_ENDONLY },
	{ 'U', PCRE2_UNGREEDY },
};

static int read_flags(struct str flags, uint32_t *out, struct err *e)
{
	uint32_t options = PCRE2_CASELESS | PCRE2_DOTALL;

	for (size_t i = 0; i < flags.n; i++) {
		size_t k = 0;

		while (k < sizeof flag_table / sizeof *flag_table && flag_table[k].letter != flags.p[i])
			k++;
		if (flags.p[i] == 'X')
			continue; /* what it asked for is how PCRE2 always is */
		if (k == sizeof flag_table / sizeof *flag_table)
			return err_perm(e, "unknown flag \"%c\"", flags.p[i]);
		options ^= flag_table[k].option; /* each letter toggles */
	}
	*out = options;
	return 0;
}

static void release(void *compiled)
{
	struct pattern *p = compiled;

	pcre2_match_context_free(p->limits);
	pcre2_match_data_free(p->data);
	pcre2_code_free(p->code);
	mem_free(p);
}

static void *compile(struct str pattern, struct str flags, size_t *groups, struct err *e)
{
	struct pattern *p;
	uint32_t options, count = 0;
	int error;
	PCRE2_SIZE at;
	unsigned char text[200] = "";

	if (read_flags(flags, &options, e) < 0)
		return NULL;
	p = mem_alloc(sizeof *p);
	p->code = pcre2_compile((PCRE2_SPTR)pattern.p, pattern.n, options, &error, &at, NULL);
	if (p->code == NULL) {
		(void)pcre2_get_error_message(error, text, sizeof text);
		(void)err_perm(e, "bad pattern at offset %zu: %s", at, (const char *)text);
		mem_free(p);
		return NULL;
	}
	(void)pcre2_jit_compile(p->code, PCRE2_JIT_COMPLETE); /* where it cannot be had the pattern is interpreted */
	p->data = pcre2_match_data_create_from_pattern(p->code, NULL);
	p->limits = pcre2_match_context_create(NULL);
	check(p->data != NULL && p->limits != NULL); /* memory exhaustion ends the process */
	pcre2_set_match_limit(p->limits, MATCH_STEPS_MAX);
	pcre2_set_heap_limit(p->limits, MATCH_HEAP_KIB);
	(void)pcre2_pattern_info(p->code, PCRE2_INFO_CAPTURECOUNT, &count);
	*groups = count;
	return p;
}

static int match(const void *compiled, struct rule_subject *s, struct err *e)
{
	const struct pattern *p = compiled;
	int n = pcre2_match(p->code, (PCRE2_SPTR)s->text.p, s->text.n, 0, 0, p->data, p->limits);
	const PCRE2_SIZE *at;
	unsigned char text[200] = "";

	if (n == PCRE2_ERROR_JIT_STACKLIMIT) /* compiled code has 32 KiB; the interpreter has MATCH_HEAP_KIB */
		n = pcre2_match(p->code, (PCRE2_SPTR)s->text.p, s->text.n, 0, PCRE2_NO_JIT, p->data, p->limits);
	if (n == PCRE2_ERROR_NOMATCH)
		return 0;
	if (n < 0) {
		(void)pcre2_get_error_message(n, text, sizeof text);
		return err_temp(e, "%s", (const char *)text);
	}
	at = pcre2_get_ovector_pointer(p->data);
	s->group_count = (size_t)n < RULE_GROUPS_MAX ? (size_t)n : RULE_GROUPS_MAX;
	for (size_t i = 0; i < s->group_count; i++) {
		bool took_part = at[2 * i] != PCRE2_UNSET && at[2 * i] <= at[2 * i + 1];

		s->groups[i] = took_part ? str_sub(s->text, at[2 * i], at[2 * i + 1] - at[2 * i]) : STR_NONE;
	}
	return 1;
}

static const struct rule_engine engine = { rules_cut_delimited, compile, NULL, match, release, NULL };

static void *pcre_parse(const char *file, struct buf *text, struct complaints *c)
{
	return rules_parse(&engine, file, buf_str(text), c);
}

static void pcre_free(void *content)
{
	rules_free(content);
}

static int pcre_open(struct table *t, struct str name, struct err *e)
{
	static const struct source_format format = { pcre_parse, pcre_free, true };

	t->state = source_open(t, name, &format, e);
	return t->state == NULL ? -1 : 0;
}

static enum table_answer pcre_lookup(struct table *t, struct str key, struct buf *value, struct err *e)
{
	enum table_answer answer = rules_lookup(source_use(t->state), key, value, e);

	source_release(t->state);
	return answer;
}

static void pcre_close(struct table *t)
{
	source_close(t->state);
}

const struct table_type table_pcre = { "pcre", TABLE_THREAD_OK | TABLE_PATTERN, pcre_open, pcre_lookup, pcre_close };
