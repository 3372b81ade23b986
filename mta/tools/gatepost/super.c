/* mta/tools/gatepost/super.c - super, postsuper: changes in postsuper's words, and the queue put in order. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sysexits.h>

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "mta/tools/gatepost/change.h"

#define OPTIONS "c:d:e:f:h:H:pr:sSv"
#define LEFT_BEHIND_S 86400 /* a file that is no message is somebody's who died when it is so old */

/* ---- -s: everything in its place ---- */

static const char *const queues[] = { "maildrop", "incoming", "active", "hold", "corrupt", "deferred" };

/* A directory that is there has its owner and mode from whoever set up the queue; one that is missing gets its parent's owner. */
static void make_directories(void)
{
	struct err e = ERR_INIT;
	struct stat top, own;

	if (queue_make_dirs(".", &e) < 0) {
		tool_complain("%s", e.text);
		return;
	}
	for (size_t i = 0; i < sizeof queues / sizeof *queues; i++)
		if (stat("deferred", &top) == 0 && stat(queues[i], &own) == 0 && own.st_uid != top.st_uid && geteuid() == 0 &&
			chown(queues[i], top.st_uid, own.st_gid) == 0)
			change_say("%s: given to user %u", queues[i], (unsigned)top.st_uid);
}

/* Somebody copied it there, from a backup perhaps: qmgr looks into buckets only. */
static void put_into_bucket(const char *path, const char *name, const struct stat *st)
{
	struct stat dir;
	int error = 0;

	if (geteuid() == 0 && stat("deferred", &dir) == 0)
		error = chown(path, dir.st_uid, dir.st_gid) < 0 ? errno : 0;
	if (error == 0)
		error = change_to_deferred(path, name, st->st_mtime);
	if (error == 0)
		change_say("%s: put where it will be found when it is due", name);
	else if (error != EWOULDBLOCK && error != ENOENT)
		tool_complain("%s: %s", path, strerror(error));
}

static void check_name(const char *queue, const char *name)
{
	bool deferred = strcmp(queue, "deferred") == 0;
	struct buf path = { 0 };
	struct stat st;

	buf_addf(&path, "%s/%s", queue, name);
	if (lstat(buf_z(&path), &st) < 0 || name[0] == '.' || (deferred && S_ISDIR(st.st_mode) && queue_bucket_due(name) >= 0))
		; /* nothing to say */
	else if (!S_ISREG(st.st_mode) || !queue_id_valid(str_z(name)))
		tool_complain("warning: bogus file name: %s", buf_z(&path));
	else if (deferred)
		put_into_bucket(buf_z(&path), name, &st);
	buf_done(&path);
}

static void put_in_order(void)
{
	make_directories();
	for (size_t i = 0; i < sizeof queues / sizeof *queues; i++) {
		DIR *dir = opendir(queues[i]);
		struct dirent *d;

		if (dir == NULL) {
			tool_complain("%s: %s", queues[i], strerror(errno));
			continue;
		}
		while ((d = readdir(dir)) != NULL)
			check_name(queues[i], d->d_name);
		closedir(dir);
	}
}

/* ---- -p: what a crash left behind ---- */

/* A writer that is at work holds the lock. */
static int purge_one(void *ctx, const char *path, const char *id)
{
	unsigned long *purged = ctx;
	int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	struct stat st;

	(void)id; /* part of the path */
	if (fd < 0)
		return 0;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_mtime + LEFT_BEHIND_S < clock_wall_us() / 1000000 && !queue_begun(fd) &&
		flock(fd, LOCK_EX | LOCK_NB) == 0 && unlink(path) == 0) {
		change_say("removed incomplete file %s", path);
		++*purged;
	}
	close(fd);
	return 0;
}

static void purge(void)
{
	unsigned long purged = 0;
	struct err e = ERR_INIT;

	for (size_t i = 0; i < 2; i++) /* where messages are written */
		if (queue_visit(queues[i], purge_one, &purged, &e) < 0)
			tool_complain("%s", e.text);
	if (purged > 0)
		change_say("Purged: %lu file%s", purged, purged == 1 ? "" : "s");
}

/* ---- the command line ---- */

static int change_in(struct tool *t, int option, const char *id, char **names, int count)
{
	struct selection s;
	int status = EX_OK;

	selection_begin(&s);
	for (int i = 0; i < count && status == EX_OK; i++)
		status = selection_option(&s, SELECT_IN, names[i]) ? EX_OK : EX_USAGE;
	if (status == EX_OK) {
		(void)selection_add(&s, id); /* what is no id was told */
		status = change_apply(t, change_find(NULL, (char)(option == 'f' ? 'e' : option)), &s, true);
		if (option == 'f')
			status = change_apply(t, change_find("release", 0), &s, true);
	}
	selection_end(&s);
	return status;
}

/* Options are obeyed in their order; what follows them are the queues to work in. */
static int obey_options(struct tool *t, int argc, char **argv, char **names, int count)
{
	int option, status = EX_OK;
	bool any = false;

	optind = 0;
	while (status == EX_OK && (option = getopt(argc, argv, OPTIONS)) != -1) {
		any |= strchr("cv", option) == NULL;
		if (option == 's' || option == 'S')
			put_in_order();
		else if (option == 'p')
			purge();
		else if (strchr("cv", option) == NULL)
			status = change_in(t, option, optarg, names, count);
	}
	if (!any) {
		put_in_order();
		purge();
	}
	return status;
}

int verb_super(struct tool *t, int argc, char **argv)
{
	int option, status;

	while ((option = getopt(argc, argv, OPTIONS)) != -1) {
		if (option == '?')
			return EX_USAGE;
		if (option == 'c')
			t->conf_dir = optarg;
	}
	if (geteuid() != 0) {
		tool_complain("use of this command is reserved for the superuser");
		return EX_NOPERM;
	}
	change_begin(t, "postsuper");
	status = obey_options(t, argc, argv, argv + optind, argc - optind);
	log_flush();
	return status;
}
