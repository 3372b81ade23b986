/* lib/conf/commands.c - the commands of master.cf, ours and Postfix's. */
#include "lib/conf/commands.h"

#include <string.h>

/* Sorted by name. A row with a command that is in no table starts the program of that name in daemon_directory. */
static const struct command commands[] = {
	{ "anvil", NULL, COMMAND_SKIP, "policyd and the SMTP server count by themselves" },
	{ "bounce", NULL, 0, NULL },
	{ "cleanup", NULL, COMMAND_PARALLEL, NULL },
	{ "discard", NULL, 0, NULL },
	{ "dnsblog", NULL, COMMAND_SKIP, "policyd asks DNS lists" },
	{ "error", NULL, 0, NULL },
	{ "explain", NULL, COMMAND_SINGLE, NULL },
	{ "flush", NULL, COMMAND_SKIP, "the queue manager knows what is deferred" },
	{ "fsstone", NULL, COMMAND_SKIP, "a benchmark" },
	{ "lmtp", "smtp", COMMAND_PARALLEL | COMMAND_LIMITED, NULL },
	{ "local", NULL, COMMAND_LIMITED, NULL },
	{ "metrics", NULL, COMMAND_LIMITED, NULL },
	{ "nqmgr", "qmgr", COMMAND_SINGLE | COMMAND_FRONT, NULL },
	{ "oqmgr", "qmgr", COMMAND_SINGLE | COMMAND_FRONT, NULL },
	{ "pickup", NULL, COMMAND_SINGLE | COMMAND_FRONT, NULL },
	{ "pipe", NULL, COMMAND_LIMITED, NULL },
	{ "policyd", NULL, COMMAND_PARALLEL, NULL },
	{ "postlogd", NULL, COMMAND_SKIP, "every process writes its log itself" },
	{ "postscreen", "smtpd", COMMAND_PARALLEL | COMMAND_LIMITED | COMMAND_TOGETHER | COMMAND_FRONT,
		"the SMTP server does its early checks itself" },
	{ "proxymap", NULL, COMMAND_SKIP, "tables are opened before privileges are dropped" },
	{ "qmgr", NULL, COMMAND_SINGLE | COMMAND_FRONT, NULL },
	{ "qmqpd", NULL, COMMAND_REFUSE, "QMQP is not spoken" },
	{ "scache", NULL, COMMAND_SKIP, "one process holds all connections" },
	{ "showq", NULL, COMMAND_SKIP, "mailq reads the queue" },
	{ "smtp", NULL, COMMAND_PARALLEL | COMMAND_LIMITED, NULL },
	{ "smtpd", NULL, COMMAND_PARALLEL | COMMAND_LIMITED | COMMAND_TOGETHER | COMMAND_FRONT, NULL },
	{ "spawn", NULL, COMMAND_REFUSE, "run the program by itself (a systemd socket, inetd)" },
	{ "tlsmgr", NULL, COMMAND_SKIP, "workers share TLS state" },
	{ "tlsproxy", NULL, COMMAND_SKIP, "the SMTP server does TLS itself" },
	{ "trivial-rewrite", NULL, 0, NULL },
	{ "verify", NULL, COMMAND_SKIP, "address probes are the SMTP server's" },
	{ "virtual", NULL, COMMAND_LIMITED, NULL },
};

const struct command *command_find(const char *name)
{
	for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	}
	return NULL;
}
