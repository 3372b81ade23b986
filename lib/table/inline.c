/* lib/table/inline.c - inline:{ key=value, { key = value with blanks } }: a table in main.cf itself. */
#include "lib/base/map.h"
#include "lib/base/mem.h"
#include "lib/mail/casefold.h"
#include "lib/table/registry.h"
#include "lib/table/store.h"

struct pairs {
	struct arena *life;
	struct map *values; /* key -> struct str */
};

static int add_pair(struct pairs *p, struct str word, struct err *e)
{
	ptrdiff_t at;
	struct str key, *value;

	if (word.n >= 2 && word.p[0] == '{' && word.p[word.n - 1] == '}')
		word = str_trim(str_sub(word, 1, word.n - 2));
	at = str_chr(word, '=');
	if (at < 0)
		return err_perm(e, "\"key=value\" expected, found \"%.*s\"", STRF(word));
	key = casefold(p->life, str_trim(str_sub(word, 0, (size_t)at)));
	value = arena_alloc(p->life, sizeof *value);
	*value = arena_dup(p->life, str_trim(str_skip(word, (size_t)at + 1)));
	(void)map_put(p->values, key, value);
	return 0;
}

static void inline_close(struct table *t)
{
	struct pairs *p = t->state;

	map_free(p->values, NULL);
	arena_free(p->life);
	mem_free(p);
}

static int inline_open(struct table *t, struct str name, struct err *e)
{
	struct pairs *p;
	struct str rest, word;
	int r = 0;

	if (name.n < 2 || name.p[0] != '{' || name.p[name.n - 1] != '}')
		return err_perm(e, "\"inline:{ key=value, ... }\" expected");
	p = t->state = mem_alloc(sizeof *p);
	p->life = arena_new("inline table");
	p->values = map_new();
	rest = str_sub(name, 1, name.n - 2);
	while (r == 0 && (word = str_word_braced(&rest)).n > 0)
		r = add_pair(p, word, e);
	if (r < 0)
		inline_close(t);
	return r;
}

static enum table_answer inline_lookup(struct table *t, struct str key, struct buf *value, struct err *e)
{
	const struct pairs *p = t->state;
	struct buf folded = { 0 };
	const struct str *found;

	(void)e; /* memory lookups cannot fail */
	found = map_get(p->values, table_key(t, key, &folded));
	buf_done(&folded);
	if (found == NULL)
		return TABLE_MISSING;
	buf_add(value, *found);
	return TABLE_FOUND;
}

const struct table_type table_inline = { "inline", TABLE_THREAD_OK, inline_open, inline_lookup, inline_close };

static int inline_each(struct table *t, table_each_fn *fn, void *ctx, struct err *e)
{
	const struct pairs *p = t->state;
	struct str key;
	void *value;
	size_t at = 0;

	(void)e; /* cannot fail */
	while (map_next(p->values, &at, &key, &value))
		fn(ctx, key, *(const struct str *)value);
	return 0;
}

const struct table_store table_inline_store = { &table_inline, "", inline_each, NULL, false };
