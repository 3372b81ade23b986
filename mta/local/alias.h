/* mta/local/alias.h - the right-hand side of an alias, a line of a .forward or :include: file: what mail is to be delivered to.
 * Grammar: aliases(5). Nothing here suspends, logs, or looks anything up.
 */
#ifndef GATEPOST_MTA_LOCAL_ALIAS_H
#define GATEPOST_MTA_LOCAL_ALIAS_H

#include "lib/base/arena.h"
#include "lib/base/err.h"
#include "lib/base/str.h"

enum target_kind {
	TARGET_ADDRESS, /* "joe", "joe@example.com", "Joe <joe@example.com>": internal form */
	TARGET_USER, /* "\joe": the mailbox, no alias and no .forward */
	TARGET_FILE, /* "/file" */
	TARGET_COMMAND, /* "|command": without the bar */
	TARGET_INCLUDE /* ":include:/file": the file */
};

struct target {
	enum target_kind kind;
	struct str text;
};

#define ALIAS_TARGETS_MAX 50000 /* of one alias or file */

/* Targets separated by commas. 0; -1 with *e when a quote or comment does not end, or there are too many. Lives in a. */
int alias_parse(struct arena *a, struct str value, struct target **out, size_t *count, struct err *e);
/* The same for a file: every line is a list, lines that begin with "#" are comments. */
int alias_parse_file(struct arena *a, struct str text, struct target **out, size_t *count, struct err *e);

#endif
