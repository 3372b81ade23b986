/* lib/mailbox/maildir.c - one file per message: written in tmp/, then given its name in new/, and durable before it counts.
 * Security: runs as the Maildir's owner; creates files by O_EXCL, follows no link at the last step of a name.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
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

/* A name that is taken is never replaced. */
static int move(const char *tmp, const char *final)
{
	if (renameat2(AT_FDCWD, tmp, AT_FDCWD, final, RENAME_NOREPLACE) == 0)
		return 0;
	if (errno != EINVAL && errno != ENOSYS)
		return -1;
	if (link(tmp, final) == 0)
		return unlink(tmp);
	return errno == EPERM || errno == EXDEV || errno == ENOTSUP ? rename(tmp, final) : -1;
}

struct file { /* on its way from tmp to new */
	const char *path; /* the Maildir */
	int fd;
	bool moved;
	struct buf tmp, final;
};

static int move_to_new(struct file *f)
{
	int r = move(buf_z(&f->tmp), buf_z(&f->final));

	if (r < 0 && errno == ENOENT && make_dirs(f->path) == 0)
		r = move(buf_z(&f->tmp), buf_z(&f->final));
	f->moved = r == 0;
	return r;
}

/* Content first, then the name. Where a file's own fsync makes its new name durable, too, one is enough: the content is on its way to the disk
 * before the name is, and nothing is reported before both are there. */
static int make_durable(struct file *f)
{
	struct buf dir = { 0 };
	struct err e = ERR_INIT;
	int r;

	if (fs_name_follows_file(f->fd)) {
		const unsigned all = SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER;

		return sync_file_range(f->fd, 0, 0, all) < 0 || move_to_new(f) < 0 ? -1 : fsync(f->fd);
	}
	buf_addf(&dir, "%snew", f->path);
	r = fsync(f->fd) < 0 || move_to_new(f) < 0 ? -1 : fs_sync_dir(buf_z(&dir), &e);
	buf_done(&dir);
	return r;
}

static int name_it(struct file *f, const char *hostname, const struct timespec *now)
{
	struct stat st;

	if (fstat(f->fd, &st) < 0)
		return -1;
	buf_addf(&f->final, "%snew/%lld.V%llxI%llxM%ld.", f->path, (long long)now->tv_sec, (unsigned long long)st.st_dev,
		(unsigned long long)st.st_ino, now->tv_nsec / 1000);
	add_host(&f->final, hostname);
	return 0;
}

void maildir_deliver(const char *path, const char *hostname, const char *what, const struct content *c, struct report *out)
{
	struct timespec now;
	struct file f = { .path = path };
	bool unreadable = false;

	clock_gettime(CLOCK_REALTIME, &now);
	buf_addf(&f.tmp, "%stmp/%lld.M%ldP%ld.", path, (long long)now.tv_sec, now.tv_nsec / 1000, (long)getpid());
	add_host(&f.tmp, hostname);
	f.fd = open_tmp(path, buf_z(&f.tmp));
	if (f.fd < 0) {
		mailbox_trouble(out, errno, what, "cannot create file");
	} else if (content_write(c, f.fd, &unreadable) < 0 || name_it(&f, hostname, &now) < 0 || make_durable(&f) < 0) {
		int errnum = errno;

		unlink(f.moved ? buf_z(&f.final) : buf_z(&f.tmp));
		mailbox_not_written(out, errnum, unreadable, what);
	} else {
		out->kind = ERR_NONE;
	}
	if (f.fd >= 0)
		close(f.fd);
	buf_done(&f.tmp);
	buf_done(&f.final);
}
