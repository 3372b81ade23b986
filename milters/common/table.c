/* milters/common/table.c - tables in a program without fibers: the plain types only. Linked in front of the library, this keeps
 * lib/table/registry.c and what it needs out of milters.
 */
#include "lib/table/registry.h"

struct table *table_open(struct str spec, const char *conf_dir, struct err *e)
{
	return table_open_plain(spec, conf_dir, e);
}

void table_offload(void (*fn)(void *), void *arg)
{
	fn(arg); /* this thread may block */
}
