/* lib/conf/queue_dirs.c - the directories below queue_directory. */
#include "lib/conf/queue_dirs.h"

#include <stddef.h>

const struct queue_dir queue_dirs[QUEUE_DIRS] = {
	{ "pid", 0755, QUEUE_BY_ROOT, false },
	{ "incoming", 0700, QUEUE_BY_MAIL, true },
	{ "active", 0700, QUEUE_BY_MAIL, true },
	{ "deferred", 0700, QUEUE_BY_MAIL, true },
	{ "hold", 0700, QUEUE_BY_MAIL, true },
	{ "corrupt", 0700, QUEUE_BY_MAIL, true },
	{ "flush", 0700, QUEUE_BY_MAIL, true },
	{ "private", 0700, QUEUE_BY_MAIL, false },
	{ "public", 02710, QUEUE_BY_DROP, false }, /* local commands connect to sockets in it by name */
	{ "maildrop", 0730, QUEUE_BY_DROP, true }, /* the same commands put files there; nobody lists them */
};

void queue_mail_dirs(const char *out[QUEUE_DIRS + 1])
{
	for (size_t i = 0; i < QUEUE_DIRS; i++)
		if (queue_dirs[i].mail)
			*out++ = queue_dirs[i].name;
	*out = NULL;
}
