/* lib/mailbox/maildir.c - one file per message: written and synced in tmp/, then given its name in new/.
 * Security: runs as the Maildir's owner; creates files by O_EXCL, follows no link at the last step of a name.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "lib/base/fs.h"
#include "lib/mailbox/mailbox.h"

static const char *const parts[] = { "tmp", "new", "cur" };

/* "/" and ":" mean something in file names of Maildirs. */
static void add_host(struct buf *b, const char *hostname)
{
	for (const char *p = hostname; *p != '\0'; p++) {
		if (*p == '/')
			buf_addz(b, "\\057");
		else if (*p == ':')
			buf_addz(b, "\\072");
		else
			buf_addc(b, *p);
	}
}

static int make_dirs(const char *path)
{
	struct err e = ERR_INIT;

	for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
		struct buf dir = { 0 };
		int r;

		buf_addf(&dir, "%s%s", path, parts[i]);
		r = fs_make_dirs(buf_z(&dir), 0700, &e);
		buf_done(&dir);
		if (r < 0)
			return -1;
	}
	return 0;
}

static int open_once(const char *tmp)
{
	return open(tmp, O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW | O_CLOEXEC, 0600);
}

static int open_tmp(const char *path, const char *tmp)
{
	int fd = open_once(tmp);

	if (fd >= 0 || errno != ENOENT || make_dirs(path) < 0)
		return fd;
	return open_once(tmp);
}

/* link() never replaces a file; where it is not to be had rename() is all there is. */
static int move(const char *tmp, const char *final)
{
	if (link(tmp, final) == 0)
		return unlink(tmp);
	return errno == EPERM || errno == EXDEV || errno == ENOTSUP ? rename(tmp, final) : -1;
}

static int finish(const char *path, const char *hostname, const char *tmp, int fd, const struct timespec *now)
{
	struct buf final = { 0 }, dir = { 0 };
	struct err e = ERR_INIT;
	struct stat st;
	int r;

	if (fstat(fd, &st) < 0)
		return -1;
	buf_addf(&final, "%snew/%lld.V%llxI%llxM%ld.", path, (long long)now->tv_sec, (unsigned long long)st.st_dev,
		(unsigned long long)st.st_ino, now->tv_nsec / 1000);
	add_host(&final, hostname);
	buf_addf(&dir, "%snew", path);
	r = move(tmp, buf_z(&final));
	if (r < 0 && errno == ENOENT && make_dirs(path) == 0)
		r = move(tmp, buf_z(&final));
	if (r == 0)
		r = fs_sync_dir(buf_z(&dir), &e);
	buf_done(&final);
	buf_done(&dir);
	return r;
}

void maildir_deliver(const char *path, const char *hostname, const char *what, const struct content *c, struct report *out)
{
	struct timespec now;
	struct buf tmp = { 0 };
	bool unreadable = false;
	int fd, errnum;

	clock_gettime(CLOCK_REALTIME, &now);
	buf_addf(&tmp, "%stmp/%lld.P%ld.", path, (long long)now.tv_sec, (long)getpid());
	add_host(&tmp, hostname);
	fd = open_tmp(path, buf_z(&tmp));
	if (fd < 0) {
		mailbox_trouble(out, errno, what, "cannot create file");
	} else if (content_write(c, fd, &unreadable) < 0 || fsync(fd) < 0 || finish(path, hostname, buf_z(&tmp), fd, &now) < 0) {
		errnum = errno;
		unlink(buf_z(&tmp));
		mailbox_trouble(out, errnum, what, unreadable ? "cannot read the message" : "error writing message");
	} else {
		out->kind = ERR_NONE;
	}
	if (fd >= 0)
		close(fd);
	buf_done(&tmp);
}
