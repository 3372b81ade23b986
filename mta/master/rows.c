/* mta/master/rows.c - the rows that a Postfix master.cf lacks. */
#include "mta/master/master.h"

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
	ROW("explain", true, "explain"),
	ROW("metrics", false, "metrics"),
};
const size_t default_row_count = sizeof default_rows / sizeof *default_rows;
