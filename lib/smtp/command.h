/* lib/smtp/command.h - the server's view of a command line: verb, path, ESMTP parameters. RFC 5321 section 4.1.1. */
#ifndef GATEPOST_LIB_SMTP_COMMAND_H
#define GATEPOST_LIB_SMTP_COMMAND_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/arena.h"
#include "lib/base/str.h"
#include "lib/mail/addr.h"

#define SMTP_PARAMS_MAX 32

struct smtp_param {
	struct str name, value;
	bool assigned; /* there was a '=' */
};

struct smtp_path {
	struct str raw; /* the argument as the client wrote it, brackets included: what milters see */
	struct addr addr; /* parsed; source route removed */
	struct smtp_param params[SMTP_PARAMS_MAX];
	size_t param_count;
};

/* Parse "FROM:<path> params" or "TO:<path> params" (keyword in any case, blank after the colon tolerated). 0, or -1 with *why a static
 * phrase; *syntax is true when the command's shape was wrong (501 5.5.4 Syntax), false when the address was (501 5.1.x). */
int smtp_path_parse(struct str args, const char *keyword, unsigned addr_flags, struct smtp_path *out, bool *syntax, const char **why);

#endif
