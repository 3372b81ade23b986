/* lib/table/environ.c - environ:anything, the environment variables of the process. Keys are folded to lower case, as Postfix does: ask for lower-case names.
 */
#include "lib/table/registry.h"

static int environ_open(struct table *t, struct str name, struct err *e)
{
	(void)t; /* there is but one environment */
	(void)name;
	(void)e;
	return 0;
}

static enum table_answer environ_lookup(struct table *t, struct str key, struct buf *value, struct err *e)
{
	struct buf name = { 0 };
	const char *found;

	(void)e; /* cannot fail */
	if (memchr(key.p, '\0', key.n) != NULL || memchr(key.p, '=', key.n) != NULL)
		return TABLE_MISSING;
	if (t->flags & TABLE_KEEP_CASE)
		buf_add(&name, key);
	else
		buf_add_lower(&name, key);
	found = getenv(buf_z(&name));
	buf_done(&name);
	if (found == NULL)
		return TABLE_MISSING;
	buf_addz(value, found);
	return TABLE_FOUND;
}

const struct table_type table_environ = { "environ", TABLE_THREAD_OK, environ_open, environ_lookup, NULL };
