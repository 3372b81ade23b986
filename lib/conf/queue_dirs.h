/* lib/conf/queue_dirs.h - what is below queue_directory: the one list, for who makes the directories, who owns them, and who may not look inside. */
#ifndef GATEPOST_LIB_CONF_QUEUE_DIRS_H
#define GATEPOST_LIB_CONF_QUEUE_DIRS_H

#include <stdbool.h>
#include <sys/types.h>

enum queue_owner {
	QUEUE_BY_MAIL, /* mail_owner and its group */
	QUEUE_BY_DROP, /* mail_owner, and setgid_group, whose command local users submit with */
	QUEUE_BY_ROOT
};

struct queue_dir {
	const char *name;
	mode_t mode;
	enum queue_owner owner; /* when master is root; else all belong to who started it */
	bool mail; /* holds messages or names their recipients: closed to a process that does not name it as its own */
};

#define QUEUE_DIRS 10

extern const struct queue_dir queue_dirs[QUEUE_DIRS];
/* The names of those with mail, NULL behind the last. */
void queue_mail_dirs(const char *out[QUEUE_DIRS + 1]);

#endif
