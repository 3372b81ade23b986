/* lib/mailbox/command.h - running a command that gets the message on its standard input. Blocking, in a child that is the user already. */
#ifndef GATEPOST_LIB_MAILBOX_COMMAND_H
#define GATEPOST_LIB_MAILBOX_COMMAND_H

#include "lib/mailbox/child.h"
#include "lib/mailbox/content.h"

#define COMMAND_OUTPUT_MAX 4096 /* octets of output that are kept for log and notification */

struct command {
	const char *const *argv; /* NULL at the end */
	const char *const *env; /* "NAME=value", NULL at the end */
	const char *directory; /* NULL: as it is */
	const char *shown; /* in reasons */
	int64_t time_limit_ms;
	struct content content;
};

/* ERR_NONE: exit status 0, text is its output (one line, printable); else kind, code and reason by sysexits(3) or by the code its output
 * begins with. */
void command_run(const struct command *c, struct report *out);

/* argv for a command line: split at blanks when it is simple, else for a shell. shell: local_command_shell, empty: /bin/sh when needed.
 * Lives in a. */
const char *const *command_argv(struct arena *a, struct str line, const char *shell);

/* Environment under construction. */
struct environment {
	const char **v;
	size_t count, cap;
	struct arena *a;
};

void environment_init(struct environment *env, struct arena *a);
void environment_set(struct environment *env, const char *name, struct str value); /* replaces */
/* export_environment: names taken from ours, or "name=value". */
void environment_export(struct environment *env, const char *words);
const char *const *environment_list(const struct environment *env);

/* What a wait status and the output mean; for command_run(). */
void command_verdict(const char *shown, int wait_status, struct str output, struct report *out);
void command_timed_out(const char *shown, struct str output, struct report *out);

#endif
