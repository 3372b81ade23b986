/* mta/tools/gatepost/sendmail.c - gatepost sendmail ...: the sendmail program among the daemons (where another mail system owns the name in
 * the PATH), else beside this one.
 */
#include <errno.h>
#include <sysexits.h>

#include "lib/base/fs.h"
#include "mta/tools/gatepost/gatepost.h"

int verb_sendmail(struct tool *t, int argc, char **argv)
{
	struct arena *a = arena_new("sendmail");
	const char *installed = tool_daemon(t, a, "sendmail");
	const char *path = fs_exists(installed) ? installed : arena_printf(a, "%s/sendmail", t->self_dir).p;
	char **args = arena_alloc(a, ((size_t)argc + 3) * sizeof *args);
	char option[] = "-C", name[] = "sendmail";

	args[0] = name;
	args[1] = option;
	args[2] = arena_z(a, str_z(t->conf_dir));
	for (int i = 1; i < argc; i++)
		args[i + 2] = argv[i];
	execv(path, args);
	tool_complain("cannot run %s: %s", path, strerror(errno));
	return EX_OSFILE;
}
