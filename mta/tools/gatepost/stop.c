/* mta/tools/gatepost/stop.c - stop: ask master to leave and wait until it has. */
#include <errno.h>
#include <sysexits.h>

#include "mta/tools/gatepost/gatepost.h"

#define EXTRA_MS 30000 /* beyond shutdown_grace_time: master has its own last resorts */

int verb_stop(struct tool *t, int argc, char **argv)
{
	pid_t pid = running_master(t);
	int64_t grace = conf_time_ms(tool_conf(t), "shutdown_grace_time");

	(void)argc; /* takes no arguments */
	(void)argv;
	if (pid == 0) {
		tool_complain("not running");
		return 1;
	}
	if (kill(pid, SIGTERM) < 0) {
		tool_complain("cannot stop process %ld: %s", (long)pid, strerror(errno));
		return EX_NOPERM;
	}
	if (running_wait_end(t, grace + EXTRA_MS))
		return EX_OK;
	tool_complain("process %ld does not leave", (long)pid);
	return EX_TEMPFAIL;
}
