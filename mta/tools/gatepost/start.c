/* mta/tools/gatepost/start.c - start: check the configuration aloud, then become master, which returns when everything is ready. */
#include <errno.h>
#include <sysexits.h>

#include "lib/conf/master_cf.h"
#include "mta/tools/gatepost/gatepost.h"

#define DYING_MS 300 /* a master that was killed a moment ago is still there for an instant */

int verb_start(struct tool *t, int argc, char **argv)
{
	struct arena *a = arena_new("start");
	bool foreground = strcmp(argv[0], "start-fg") == 0;
	struct service_row *rows;
	size_t count;
	struct err e = ERR_INIT;
	const char *path;
	pid_t pid;

	t->loud = true;
	(void)tool_conf(t);
	if (argc > 1) {
		tool_complain("%s takes no arguments", argv[0]);
		return EX_USAGE;
	}
	if (master_cf_load(t->conf_dir, a, &rows, &count, &e) < 0) {
		tool_complain("%s", e.text);
		return EX_CONFIG;
	}
	pid = running_master(t);
	if (pid != 0 && !running_wait_end(t, DYING_MS)) {
		tool_complain("already running, process %ld", (long)pid);
		return EX_TEMPFAIL;
	}
	path = tool_daemon(t, a, "master");
	execl(path, "master", "-c", t->conf_dir, foreground ? "-d" : (char *)NULL, (char *)NULL);
	tool_complain("cannot run %s: %s", path, strerror(errno));
	return EX_OSFILE;
}
