/* lib/table/table.c - open, ask and close one table or a list of tables. */
#include "lib/table/table.h"

#include "lib/base/mem.h"
#include "lib/base/utf8.h"
#include "lib/mail/casefold.h"
#include "lib/table/registry.h"

#define TABLES_MAX 64 /* tables in one parameter */

/* Like errno: who wants to know asks at once. */
static _Thread_local struct found {
	const char *name; /* of the table */
	unsigned line, answers;
} found;

struct table *table_open_type(const struct table_type *type, struct str spec, struct str name, const char *conf_dir, struct err *e)
{
	struct table *t = mem_alloc(sizeof *t);
	char *spec_z = mem_alloc(spec.n + 1);

	memcpy(spec_z, spec.p, spec.n);
	*t = (struct table){ .type = type, .flags = type->flags, .name = spec_z, .conf_dir = mem_strdup(conf_dir) };
	if (type->open(t, name, e) == 0)
		return t;
	(void)err_context(e, "table %.*s", STRF(spec));
	mem_free((char *)t->name);
	mem_free((char *)t->conf_dir);
	mem_free(t);
	return NULL;
}

void table_close(struct table *t)
{
	if (t == NULL)
		return;
	if (t->type->close != NULL)
		t->type->close(t);
	mem_free((char *)t->name);
	mem_free((char *)t->conf_dir);
	mem_free(t);
}

void table_found_at(unsigned line)
{
	found.line = line;
}

void table_place(struct buf *out)
{
	if (found.name == NULL || str_startsi(str_z(found.name), STR("inline:")))
		return;
	buf_addz(out, found.name);
	if (found.line > 0)
		buf_addf(out, ":%u", found.line);
}

enum table_answer table_lookup(struct table *t, struct str key, struct buf *value, struct err *e)
{
	size_t before = value->n;
	unsigned answers = found.answers;
	enum table_answer answer;

	found.line = 0;
	answer = t->type->lookup(t, key, value, e);
	if (answer == TABLE_FOUND && found.answers == answers) /* a table made of others: theirs is the place */
		found = (struct found){ t->name, found.line, answers + 1 };

	if (answer == TABLE_FAILED)
		(void)err_context(e, "table %s: lookup failed", t->name);
	if (answer != TABLE_FOUND)
		buf_truncate(value, before);
	return answer;
}

void table_fold(struct buf *out, struct str key)
{
	struct arena *a;

	if (utf8_ascii(key)) {
		buf_add_lower(out, key);
		return;
	}
	a = arena_new("key");
	buf_add(out, casefold(a, key));
	arena_free(a);
}

struct str table_key(const struct table *t, struct str key, struct buf *folded)
{
	if (t->flags & TABLE_KEEP_CASE)
		return key;
	table_fold(folded, key);
	return buf_str(folded);
}

char *table_path(const struct table *t, struct str name, const char *suffix)
{
	struct buf path = { 0 };
	char *z;

	if (name.n > 0 && name.p[0] != '/')
		buf_addf(&path, "%s/", t->conf_dir);
	buf_add(&path, name);
	buf_addz(&path, suffix);
	z = mem_strdup(buf_z(&path));
	buf_done(&path);
	return z;
}

bool table_is_pattern(const struct table *t)
{
	return (t->flags & TABLE_PATTERN) != 0;
}

int tables_open(struct arena *a, const char *value, const char *conf_dir, struct tables *out, struct err *e)
{
	struct str rest = str_z(value), word;

	*out = (struct tables){ .t = arena_alloc(a, TABLES_MAX * sizeof(struct table *)) };
	while ((word = str_word_braced(&rest)).n > 0) {
		struct table *t = NULL;

		if (out->count == TABLES_MAX)
			(void)err_perm(e, "more than %d tables in one parameter", TABLES_MAX);
		else
			t = table_open(word, conf_dir, e);
		if (t == NULL) {
			tables_close(out);
			return -1;
		}
		out->t[out->count++] = t;
	}
	return 0;
}

void tables_close(struct tables *ts)
{
	for (size_t i = 0; i < ts->count; i++)
		table_close(ts->t[i]);
	ts->count = 0;
}

enum table_answer tables_lookup(const struct tables *ts, struct str key, struct buf *value, struct err *e)
{
	for (size_t i = 0; i < ts->count; i++) {
		enum table_answer answer = table_lookup(ts->t[i], key, value, e);

		if (answer != TABLE_MISSING)
			return answer;
	}
	return TABLE_MISSING;
}
