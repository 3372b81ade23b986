/* lib/base/fs.c - whole files, directories and lock files. Everything here blocks. */
#include "lib/base/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statfs.h>

#define READ_PIECE 65536

/* Append all of fd to out. */
static int read_all(int fd, const char *path, size_t max, struct buf *out, struct err *e)
{
	size_t start = out->n;

	for (;;) {
		char *at = buf_reserve(out, READ_PIECE);
		ssize_t n = read(fd, at, READ_PIECE);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_errno(e, errno, "cannot read %s", path);
		if (n == 0)
			return 0;
		out->n += (size_t)n;
		if (out->n - start > max)
			return err_temp(e, "%s: file is larger than %zu bytes", path, max);
	}
}

int fs_read_file(const char *path, size_t max, struct buf *out, struct err *e)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t start = out->n;
	int result;

	if (fd < 0)
		return err_errno(e, errno, "cannot open %s", path);
	result = read_all(fd, path, max, out, e);
	close(fd);
	if (result < 0)
		buf_truncate(out, start);
	buf_z(out);
	return result;
}

int fs_write_all(int fd, const void *p, size_t n, struct err *e)
{
	const char *at = p;

	while (n > 0) {
		ssize_t done = write(fd, at, n);

		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
			return err_errno(e, errno, "write");
		at += done;
		n -= (size_t)done;
	}
	return 0;
}

int fs_pread_all(int fd, void *p, size_t n, off_t at, struct err *e)
{
	char *to = p;

	while (n > 0) {
		ssize_t done = pread(fd, to, n, at);

		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
			return err_errno(e, errno, "read");
		if (done == 0)
			return err_temp(e, "read: file is shorter than expected");
		to += done;
		at += done;
		n -= (size_t)done;
	}
	return 0;
}

int fs_pwrite_all(int fd, const void *p, size_t n, off_t at, struct err *e)
{
	const char *from = p;

	while (n > 0) {
		ssize_t done = pwrite(fd, from, n, at);

		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
			return err_errno(e, errno, "write");
		from += done;
		at += done;
		n -= (size_t)done;
	}
	return 0;
}

static int fill_and_rename(int fd, const char *temp, const char *path, struct str content, mode_t mode, struct err *e)
{
	if (fs_write_all(fd, content.p, content.n, e) < 0)
		return err_context(e, "%s", temp);
	if (fchmod(fd, mode) < 0 || fsync(fd) < 0)
		return err_errno(e, errno, "cannot write %s", temp);
	if (rename(temp, path) < 0)
		return err_errno(e, errno, "cannot rename %s to %s", temp, path);
	return 0;
}

/* The directory that path lies in: "." for a bare name. */
static struct str parent_of(struct str path)
{
	ptrdiff_t slash = str_rchr(path, '/');

	if (slash < 0)
		return STR(".");
	return slash == 0 ? STR("/") : str_sub(path, 0, (size_t)slash);
}

int fs_write_file(const char *path, struct str content, mode_t mode, struct err *e)
{
	struct buf name = { 0 };
	int fd, result;

	buf_addf(&name, "%s.%ld.tmp", path, (long)getpid());
	unlink(buf_z(&name)); /* left by a process of the same id that was killed here */
	fd = open(buf_z(&name), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0) {
		result = err_errno(e, errno, "cannot create %s", buf_z(&name));
	} else {
		result = fill_and_rename(fd, buf_z(&name), path, content, mode, e);
		close(fd);
		if (result < 0)
			unlink(buf_z(&name));
	}
	if (result == 0) {
		buf_clear(&name);
		buf_add(&name, parent_of(str_z(path)));
		result = fs_sync_dir(buf_z(&name), e);
	}
	buf_done(&name);
	return result;
}

/* errno in any case. */
static int make_dir(const char *path, mode_t mode)
{
	struct stat st;

	if (mkdir(path, mode) == 0)
		return 0;
	if (errno != EEXIST || stat(path, &st) < 0)
		return -1;
	errno = ENOTDIR;
	return S_ISDIR(st.st_mode) ? 0 : -1;
}

/* Up to the first that is there or can be made, then down again: what exists is mostly all but the last. */
int fs_make_dirs(const char *path, mode_t mode, struct err *e)
{
	struct buf b = { 0 };
	char *p, *slash;
	int r;

	buf_addz(&b, path);
	p = (char *)(size_t)buf_z(&b);
	while ((r = make_dir(p, mode)) < 0 && errno == ENOENT && (slash = strrchr(p, '/')) != NULL && slash > p)
		*slash = '\0';
	while (r == 0 && strlen(p) < b.n) {
		p[strlen(p)] = '/';
		r = make_dir(p, mode);
	}
	if (r < 0)
		err_errno(e, errno, "cannot create directory %s", p);
	buf_done(&b);
	return r;
}

int fs_sync_dir(const char *path, struct err *e)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int result = 0;

	if (fd < 0)
		return err_errno(e, errno, "cannot open directory %s", path);
	if (fsync(fd) < 0)
		result = err_errno(e, errno, "cannot sync directory %s", path);
	close(fd);
	return result;
}

bool fs_name_follows_file(int fd)
{
	static const unsigned long known[] = { 0xef53 /* ext */, 0x58465342 /* xfs */, 0x9123683e /* btrfs */, 0x01021994 /* tmpfs */ };
	struct statfs s;

	if (fstatfs(fd, &s) < 0)
		return false;
	for (size_t i = 0; i < sizeof known / sizeof *known; i++)
		if ((unsigned long)s.f_type == known[i])
			return true;
	return false;
}

/* Who holds the lock on fd, as the file says: holders write their pid into it. */
static int lock_held(int fd, const char *path, struct err *e)
{
	char text[32];
	ssize_t n = pread(fd, text, sizeof text, 0);
	struct str pid = str_trim(str_n(text, n > 0 ? (size_t)n : 0));
	uint64_t number;

	if (!str_to_u64(pid, INT32_MAX, &number))
		return err_temp(e, "%s is locked by another process", path);
	return err_temp(e, "%s is locked by process %lu", path, (unsigned long)number);
}

int fs_lock_file(const char *path, struct err *e)
{
	int fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (fd < 0)
		return err_errno(e, errno, "cannot open lock file %s", path);
	if (flock(fd, LOCK_EX | LOCK_NB) == 0)
		return fd;
	if (errno == EWOULDBLOCK)
		lock_held(fd, path, e);
	else
		err_errno(e, errno, "cannot lock %s", path);
	close(fd);
	return -1;
}

bool fs_exists(const char *path)
{
	return access(path, F_OK) == 0;
}
