/* mta/tools/sendmail/others.c - mailq, newaliases, sendmail -q: the gatepost command does these, with the caller's own rights. */
#include "mta/tools/sendmail/sendmail.h"

#include <errno.h>
#include <limits.h>
#include <sysexits.h>

#include "lib/base/fs.h"

/* In our own directory, however we were called, else in the installed place. */
static const char *gatepost_path(struct arena *a)
{
	char path[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
	const char *beside;
	char *slash;

	if (n <= 0)
		return GATEPOST_SBIN_DIR "/gatepost";
	path[n] = '\0';
	slash = strrchr(path, '/');
	*slash = '\0';
	beside = arena_printf(a, "%s/gatepost", path).p;
	return fs_exists(beside) ? beside : GATEPOST_SBIN_DIR "/gatepost";
}

static void run(const struct request *r, const char *verb, const char *option, const char *value) __attribute__((noreturn));

static void run(const struct request *r, const char *verb, const char *option, const char *value)
{
	const char *path = gatepost_path(arena_new("path"));

	give_up_group();
	execl(path, "gatepost", "-c", r->conf_dir, verb, option, value, (char *)NULL);
	fatal(EX_OSFILE, "cannot run %s: %s", path, strerror(errno));
}

void run_list(const struct request *r)
{
	run(r, "queue", NULL, NULL);
}

void run_flush(const struct request *r)
{
	if (r->mode == MODE_FLUSH)
		run(r, "queue", "-f", NULL);
	else
		run(r, "queue", r->mode == MODE_FLUSH_ID ? "-i" : "-s", r->flush_what);
}

void run_aliases(const struct request *r)
{
	run(r, "alias", NULL, NULL);
}
