/* lib/table/fail.c - fail:name fails every lookup: what does the rest of the system do then? */
#include "lib/table/registry.h"

static int fail_open(struct table *t, struct str name, struct err *e)
{
	(void)t;
	(void)name; /* only for messages */
	(void)e;
	return 0;
}

static enum table_answer fail_lookup(struct table *t, struct str key, struct buf *value, struct err *e)
{
	(void)t;
	(void)key;
	(void)value;
	(void)err_temp(e, "this table always fails");
	return TABLE_FAILED;
}

const struct table_type table_fail = { "fail", TABLE_THREAD_OK, fail_open, fail_lookup, NULL };
