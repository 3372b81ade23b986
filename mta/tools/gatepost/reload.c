/* mta/tools/gatepost/reload.c - reload: refuse a configuration that master would refuse, else tell it to read it. */
#include <errno.h>
#include <sysexits.h>

#include "lib/conf/master_cf.h"
#include "mta/tools/gatepost/gatepost.h"

int verb_reload(struct tool *t, int argc, char **argv)
{
	struct arena *a = arena_new("reload");
	struct service_row *rows;
	size_t count;
	struct err e = ERR_INIT;
	pid_t pid;

	(void)argc; /* takes no arguments */
	(void)argv;
	t->loud = true;
	pid = running_master(t);
	if (pid == 0) {
		tool_complain("not running");
		return 1;
	}
	if (master_cf_load(t->conf_dir, a, &rows, &count, &e) < 0) {
		tool_complain("%s; the old configuration stays", e.text);
		return EX_CONFIG;
	}
	arena_free(a);
	if (kill(pid, SIGHUP) == 0)
		return EX_OK;
	tool_complain("cannot signal process %ld: %s", (long)pid, strerror(errno));
	return EX_NOPERM;
}
