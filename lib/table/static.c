/* lib/table/static.c - static:value answers every key with the same value; "static:{ a b }" for a value with blanks. */
#include "lib/base/mem.h"
#include "lib/table/registry.h"

static int static_open(struct table *t, struct str name, struct err *e)
{
	(void)e; /* any text will do */
	if (name.n >= 2 && name.p[0] == '{' && name.p[name.n - 1] == '}')
		name = str_trim(str_sub(name, 1, name.n - 2));
	t->state = mem_alloc(name.n + 1);
	memcpy(t->state, name.p, name.n);
	return 0;
}

static enum table_answer static_lookup(struct table *t, struct str key, struct buf *value, struct err *e)
{
	(void)key; /* all are the same */
	(void)e;
	buf_addz(value, t->state);
	return TABLE_FOUND;
}

static void static_close(struct table *t)
{
	mem_free(t->state);
}

const struct table_type table_static = { "static", TABLE_THREAD_OK, static_open, static_lookup, static_close };
