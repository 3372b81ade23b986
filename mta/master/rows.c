/* mta/master/rows.c - the commands of master.cf, ours and Postfix's, and the rows that a Postfix master.cf lacks. */
#include "mta/master/master.h"

#include <string.h>

/* Sorted by name. A row with a command that is in no table starts the program of that name in daemon_directory. */
static const struct command commands[] = {
	{ "anvil", NULL, COMMAND_SKIP }, /* policyd counts */
	{ "bounce", NULL, 0 },
	{ "cleanup", NULL, COMMAND_PARALLEL },
	{ "discard", NULL, 0 },
	{ "dnsblog", NULL, COMMAND_SKIP }, /* policyd asks */
	{ "error", NULL, 0 },
	{ "flush", NULL, COMMAND_SKIP },  /* qmgr knows what is deferred */
	{ "fsstone", NULL, COMMAND_SKIP },
	{ "lmtp", "smtp", COMMAND_PARALLEL | COMMAND_LIMITED },
	{ "local", NULL, COMMAND_LIMITED },
	{ "nqmgr", "qmgr", COMMAND_SINGLE | COMMAND_FRONT },
	{ "oqmgr", "qmgr", COMMAND_SINGLE | COMMAND_FRONT },
	{ "pickup", NULL, COMMAND_SINGLE | COMMAND_FRONT },
	{ "pipe", NULL, COMMAND_LIMITED },
	{ "policyd", NULL, COMMAND_PARALLEL },
	{ "postlogd", NULL, COMMAND_SKIP },   /* every process writes its log itself */
	{ "postscreen", "smtpd", COMMAND_PARALLEL | COMMAND_FRONT }, /* smtpd does its tests; its maxproc is always 1 and means nothing */
	{ "proxymap", NULL, COMMAND_SKIP },   /* tables are opened before privileges drop */
	{ "qmgr", NULL, COMMAND_SINGLE | COMMAND_FRONT },
	{ "qmqpd", NULL, COMMAND_REFUSE },
	{ "scache", NULL, COMMAND_SKIP },     /* one process holds all connections */
	{ "showq", NULL, COMMAND_SKIP },      /* mailq reads the queue */
	{ "smtp", NULL, COMMAND_PARALLEL | COMMAND_LIMITED },
	{ "smtpd", NULL, COMMAND_PARALLEL | COMMAND_LIMITED | COMMAND_FRONT },
	{ "spawn", NULL, COMMAND_REFUSE },
	{ "tlsmgr", NULL, COMMAND_SKIP },
	{ "tlsproxy", NULL, COMMAND_SKIP },
	{ "trivial-rewrite", NULL, 0 },
	{ "verify", NULL, COMMAND_SKIP },
	{ "virtual", NULL, COMMAND_LIMITED },
};

const struct command *command_find(const char *name)
{
	for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	}
	return NULL;
}

#define ROW(name_, private_, command_) \
	{ .name = name_, .type = SERVICE_UNIX, .is_private = private_, .unprivileged = true, .max_clients = 0, .command = command_ }

const struct service_row default_rows[] = {
	ROW("pickup", false, "pickup"),
	ROW("cleanup", true, "cleanup"),
	ROW("qmgr", false, "qmgr"),
	ROW("rewrite", true, "trivial-rewrite"),
	ROW("bounce", true, "bounce"),
	ROW("policyd", true, "policyd"),
	ROW("error", true, "error"),
	ROW("retry", true, "error"),
	ROW("discard", true, "discard"),
};
const size_t default_row_count = sizeof default_rows / sizeof *default_rows;
