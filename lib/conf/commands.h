/* lib/conf/commands.h - the commands that the last column of master.cf may name: Gatepost's own daemons, and those of Postfix. */
#ifndef GATEPOST_LIB_CONF_COMMANDS_H
#define GATEPOST_LIB_CONF_COMMANDS_H

enum { /* command.flags */
	COMMAND_PARALLEL = 1, /* as many workers as cores unless told otherwise */
	COMMAND_SINGLE = 2,   /* exactly one */
	COMMAND_LIMITED = 4,  /* the maxproc column limits its clients */
	COMMAND_SKIP = 8,     /* nothing to run: Gatepost has no need for it */
	COMMAND_REFUSE = 16,  /* the same, but the user should know */
	COMMAND_FRONT = 32,   /* brings work in: stopped before the others */
	COMMAND_TOGETHER = 64 /* its workers count clients together: each is told the limit of all */
};

struct command {
	const char *name;
	const char *program; /* file in daemon_directory; NULL: name */
	unsigned flags;
	const char *why; /* what stands in for it; NULL: it is what it is in Postfix */
};

const struct command *command_find(const char *name); /* NULL: a daemon of the user's own */

#endif
