/* lib/table/regexp.c - regexp:file, POSIX regular expressions in order: regexp_table(5). */
#include <regex.h>

#include "lib/base/mem.h"
#include "lib/table/registry.h"
#include "lib/table/rules.h"

static int read_flags(struct str flags, int *out, struct err *e)
{
	int f = REG_EXTENDED | REG_ICASE;

	for (size_t i = 0; i < flags.n; i++) {
		int bit = flags.p[i] == 'i' ? REG_ICASE : flags.p[i] == 'm' ? REG_NEWLINE : flags.p[i] == 'x' ? REG_EXTENDED : 0;

		if (bit == 0)
			return err_perm(e, "unknown flag \"%c\"", flags.p[i]);
		f ^= bit; /* each letter toggles */
	}
	*out = f;
	return 0;
}

static void *compile(struct str pattern, struct str flags, size_t *groups, struct err *e)
{
	regex_t *re;
	struct buf z = { 0 };
	char text[200];
	int f = 0, error;

	if (read_flags(flags, &f, e) < 0)
		return NULL;
	re = mem_alloc(sizeof *re);
	buf_add(&z, pattern);
	error = regcomp(re, buf_z(&z), f);
	buf_done(&z);
	if (error == 0) {
		*groups = re->re_nsub;
		return re;
	}
	(void)regerror(error, re, text, sizeof text);
	(void)err_perm(e, "bad pattern: %s", text);
	mem_free(re);
	return NULL;
}

static int match(const void *compiled, struct rule_subject *s, struct err *e)
{
	const regex_t *re = compiled;
	regmatch_t m[RULE_GROUPS_MAX] = { { .rm_so = 0, .rm_eo = (regoff_t)s->text.n } };
	int error;

	error = regexec(re, s->text.p, RULE_GROUPS_MAX, m, REG_STARTEND);
	if (error == REG_NOMATCH)
		return 0;
	if (error != 0)
		return err_temp(e, "regular expression ran out of memory");
	s->group_count = re->re_nsub + 1 < RULE_GROUPS_MAX ? re->re_nsub + 1 : RULE_GROUPS_MAX;
	for (size_t i = 0; i < s->group_count; i++)
		s->groups[i] = m[i].rm_so < 0 ? STR_NONE : str_sub(s->text, (size_t)m[i].rm_so, (size_t)(m[i].rm_eo - m[i].rm_so));
	return 1;
}

static void release(void *compiled)
{
	regfree(compiled);
	mem_free(compiled);
}

static const struct rule_engine engine = { rules_cut_delimited, compile, NULL, match, release, NULL };

static void *regexp_parse(const char *file, struct buf *text, struct complaints *c)
{
	return rules_parse(&engine, file, buf_str(text), c);
}

static void regexp_free(void *content)
{
	rules_free(content);
}

static int regexp_open(struct table *t, struct str name, struct err *e)
{
	static const struct source_format format = { regexp_parse, regexp_free, true };

	t->state = source_open(t, name, &format, e);
	return t->state == NULL ? -1 : 0;
}

static enum table_answer regexp_lookup(struct table *t, struct str key, struct buf *value, struct err *e)
{
	struct buf text = { 0 };
	enum table_answer answer;

	buf_add(&text, key);
	(void)buf_z(&text); /* regexec() honours REG_STARTEND, but those who watch it read up to a NUL */
	answer = rules_lookup(source_use(t->state), buf_str(&text), value, e);
	source_release(t->state);
	buf_done(&text);
	return answer;
}

static void regexp_close(struct table *t)
{
	source_close(t->state);
}

const struct table_type table_regexp = { "regexp", TABLE_THREAD_OK | TABLE_PATTERN, regexp_open, regexp_lookup, regexp_close };
