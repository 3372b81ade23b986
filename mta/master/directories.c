/* mta/master/directories.c - the queue directory and what belongs below it, with the owners that keep others out. */
#include "mta/master/master.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/base/fs.h"
#include "lib/base/log.h"
#include "lib/conf/queue_dirs.h"
#include "lib/queue/queue.h"

struct ids {
	uid_t mail;
	gid_t mail_group, drop_group;
};

static int look_up(const struct conf *c, struct ids *ids, struct err *e)
{
	const struct passwd *pw = getpwnam(conf_str(c, "mail_owner"));
	const struct group *gr;

	if (pw == NULL)
		return err_perm(e, "mail_owner: no such user: %s", conf_str(c, "mail_owner"));
	if (pw->pw_uid == 0)
		return err_perm(e, "mail_owner: %s is root", conf_str(c, "mail_owner"));
	ids->mail = pw->pw_uid;
	ids->mail_group = ids->drop_group = pw->pw_gid;
	gr = getgrnam(conf_str(c, "setgid_group"));
	if (gr != NULL)
		ids->drop_group = gr->gr_gid;
	else
		log_warn("setgid_group: no such group: %s; local users other than root cannot submit mail", conf_str(c, "setgid_group"));
	return 0;
}

/* No symbolic link is followed: a directory of another owner could hide behind it. */
static int own(const char *name, uid_t uid, gid_t gid, mode_t mode, struct err *e)
{
	int fd = open(name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;
	int result = 0;

	if (fd < 0)
		return err_errno(e, errno, "cannot open directory %s", name);
	if (fstat(fd, &st) < 0)
		result = err_errno(e, errno, "cannot examine directory %s", name);
	else if ((st.st_uid != uid || st.st_gid != gid) && fchown(fd, uid, gid) < 0)
		result = err_errno(e, errno, "cannot change the owner of %s", name);
	else if ((st.st_mode & 07777) != mode && fchmod(fd, mode) < 0)
		result = err_errno(e, errno, "cannot change the mode of %s", name);
	close(fd);
	return result;
}

static int own_all(const struct conf *c, struct err *e)
{
	struct ids ids = { 0 };

	if (geteuid() != 0)
		return 0;
	if (look_up(c, &ids, e) < 0)
		return -1;
	if (own(".", 0, 0, 0755, e) < 0)
		return -1;
	for (size_t i = 0; i < QUEUE_DIRS; i++) {
		const struct queue_dir *d = &queue_dirs[i];
		bool root = d->owner == QUEUE_BY_ROOT;
		gid_t gid = root ? 0 : d->owner == QUEUE_BY_DROP ? ids.drop_group : ids.mail_group;

		if (own(d->name, root ? 0 : ids.mail, gid, d->mode, e) < 0)
			return -1;
	}
	return 0;
}

/* Best effort: whoever needs it complains if it is not there. */
static void make_data_directory(const struct conf *c)
{
	const char *dir = conf_str(c, "data_directory");
	ptrdiff_t slash = str_rchr(str_z(dir), '/');
	const struct passwd *pw;
	struct buf above = { 0 };
	struct err e = ERR_INIT;

	if (slash > 0) {
		buf_add(&above, str_sub(str_z(dir), 0, (size_t)slash));
		if (fs_make_dirs(buf_z(&above), 0755, &e) < 0)
			log_warn("data_directory: %s", e.text);
		buf_done(&above);
	}
	if (*dir == '\0' || mkdir(dir, 0700) < 0 || geteuid() != 0)
		return;
	pw = getpwnam(conf_str(c, "mail_owner"));
	if (pw != NULL && lchown(dir, pw->pw_uid, pw->pw_gid) < 0)
		log_warn("cannot change the owner of %s: %s", dir, strerror(errno));
}

int directories_prepare(const struct conf *c, struct err *e)
{
	const char *dir = conf_str(c, "queue_directory");

	if (queue_make_dirs(dir, e) < 0)
		return -1;
	if (chdir(dir) < 0)
		return err_errno(e, errno, "cannot change to queue_directory %s", dir);
	make_data_directory(c);
	return own_all(c, e);
}

/* Daemons reopen the log after rotation, when they are root no more. */
void directories_own_log(const struct conf *c)
{
	const char *file = conf_str(c, "maillog_file");
	const struct passwd *pw = geteuid() == 0 ? getpwnam(conf_str(c, "mail_owner")) : NULL;
	struct stat st;

	if (pw == NULL || *file == '\0' || lstat(file, &st) < 0 || !S_ISREG(st.st_mode) || st.st_uid == pw->pw_uid)
		return;
	if (lchown(file, pw->pw_uid, (gid_t)-1) < 0)
		log_warn("cannot change the owner of %s: %s", file, strerror(errno));
}
