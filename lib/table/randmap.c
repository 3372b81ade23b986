/* lib/table/randmap.c - randmap:{ a, b, c } answers every key with one of the values, chosen anew each time: to share out load. */
#include "lib/base/mem.h"
#include "lib/base/rand.h"
#include "lib/table/registry.h"

struct choice {
	struct arena *life;
	struct str *values;
	size_t count;
};

static void randmap_close(struct table *t)
{
	struct choice *c = t->state;

	arena_free(c->life);
	mem_free(c);
}

static int randmap_open(struct table *t, struct str name, struct err *e)
{
	struct choice *c;
	struct str rest, word;

	if (name.n < 2 || name.p[0] != '{' || name.p[name.n - 1] != '}')
		return err_perm(e, "\"randmap:{ value, ... }\" expected");
	c = t->state = mem_alloc(sizeof *c);
	c->life = arena_new("randmap table");
	rest = arena_dup(c->life, str_sub(name, 1, name.n - 2));
	c->values = arena_alloc(c->life, name.n * sizeof *c->values); /* more than there can be */
	while ((word = str_word_braced(&rest)).n > 0) {
		if (word.n >= 2 && word.p[0] == '{' && word.p[word.n - 1] == '}')
			word = str_trim(str_sub(word, 1, word.n - 2));
		c->values[c->count++] = word;
	}
	if (c->count > 0)
		return 0;
	randmap_close(t);
	return err_perm(e, "\"randmap:{ value, ... }\" names no value");
}

static enum table_answer randmap_lookup(struct table *t, struct str key, struct buf *value, struct err *e)
{
	const struct choice *c = t->state;

	(void)key; /* all are the same */
	(void)e; /* memory lookups cannot fail */
	buf_add(value, c->values[rand_below(c->count)]);
	return TABLE_FOUND;
}

const struct table_type table_randmap = { "randmap", TABLE_THREAD_OK, randmap_open, randmap_lookup, randmap_close };
