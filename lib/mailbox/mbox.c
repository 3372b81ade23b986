/* lib/mailbox/mbox.c - appends to an mbox file: locks, writes, syncs; a failed delivery leaves the file as it was.
 * Security: runs as the mailbox's owner. The directory may be writable by others: no links are followed, and only a plain file with one
 * name is written.
 */
#include "lib/mailbox/mailbox.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

static const struct {
	int errnum;
	struct code code;
} codes[] = {
	{ EDQUOT, { 0, 4, 2, 2 } },
	{ EFBIG, { 0, 4, 2, 2 } },
	{ ENOSPC, { 0, 4, 3, 1 } },
	{ EMFILE, { 0, 4, 3, 0 } },
	{ ENFILE, { 0, 4, 3, 0 } },
	{ ENOMEM, { 0, 4, 3, 0 } },
};

void mailbox_trouble(struct report *out, int errnum, const char *what, const char *doing)
{
	struct code code = CODE(0, 4, 2, 0);

	for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
		if (codes[i].errnum == errnum)
			code = codes[i].code;
	}
	report_set(out, code.c == 5 ? ERR_PERM : ERR_TEMP, code, "cannot update %s. %s: %s", what, doing, strerror(errnum));
}

void mailbox_not_written(struct report *out, int errnum, bool unreadable, const char *what)
{
	if (unreadable)
		report_set(out, ERR_TEMP, CODE(0, 4, 3, 0), "cannot read the message");
	else
		mailbox_trouble(out, errnum, what, "error writing message");
}

unsigned mbox_lock_flags(const char *words)
{
	static const struct {
		const char *word;
		unsigned flag;
	} locks[] = { { "dotlock", MBOX_DOTLOCK }, { "fcntl", MBOX_FCNTL }, { "flock", MBOX_FLOCK } };
	struct str rest = str_z(words), word;
	unsigned flags = 0;

	while ((word = str_word(&rest, ", \t\r\n")).n > 0) {
		for (size_t i = 0; i < sizeof locks / sizeof *locks; i++) {
			if (str_eqiz(word, locks[i].word))
				flags |= locks[i].flag;
		}
	}
	return flags;
}

static void pause_ms(int64_t ms)
{
	struct timespec t = { .tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000 };

	nanosleep(&t, NULL);
}

/* ---- path.lock ---- */

/* A crashed writer's lock does not hold for ever. */
static void remove_stale(const char *lock, int64_t stale_ms)
{
	struct stat st;
	struct timespec now;

	if (lstat(lock, &st) < 0)
		return;
	clock_gettime(CLOCK_REALTIME, &now);
	if ((int64_t)(now.tv_sec - st.st_mtim.tv_sec) * 1000 > stale_ms)
		unlink(lock);
}

static int dotlock(const struct mbox *m, const char *lock)
{
	for (int i = 0; i < m->lock_attempts; i++) {
		int fd = open(lock, O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW | O_CLOEXEC, 0600);

		if (fd >= 0)
			return close(fd);
		if (errno != EEXIST)
			return -1;
		remove_stale(lock, m->stale_ms);
		if (i + 1 < m->lock_attempts)
			pause_ms(m->lock_delay_ms);
	}
	errno = EEXIST;
	return -1;
}

/* 1: locked, 0: done without, -1: no. */
static int take_dotlock(const struct mbox *m, const char *lock)
{
	if (!(m->flags & MBOX_DOTLOCK))
		return 0;
	if (dotlock(m, lock) == 0)
		return 1;
	return (m->flags & MBOX_DOTLOCK_OPTIONAL) && (errno == EACCES || errno == EPERM || errno == EROFS) ? 0 : -1;
}

/* ---- locks on the open file ---- */

static int try_locks(int fd, unsigned flags)
{
	struct flock whole = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

	if ((flags & MBOX_FCNTL) && fcntl(fd, F_SETLK, &whole) < 0)
		return -1;
	return (flags & MBOX_FLOCK) ? flock(fd, LOCK_EX | LOCK_NB) : 0;
}

static int lock_file(const struct mbox *m, int fd)
{
	for (int i = 0; i < m->lock_attempts; i++) {
		if (try_locks(fd, m->flags) == 0)
			return 0;
		if (errno != EAGAIN && errno != EACCES && errno != EINTR)
			return -1;
		if (i + 1 < m->lock_attempts)
			pause_ms(m->lock_delay_ms);
	}
	errno = EAGAIN;
	return -1;
}

/* ---- the file ---- */

static bool acceptable(const struct mbox *m, int fd, struct stat *st, struct report *out)
{
	if (fstat(fd, st) < 0)
		mailbox_trouble(out, errno, m->what, "cannot look at it");
	else if (!S_ISREG(st->st_mode) && !(m->flags & MBOX_ANY_FILE))
		report_set(out, ERR_PERM, CODE(0, 5, 2, 0), "cannot update %s. destination %s is not a regular file", m->what, m->path);
	else if (S_ISREG(st->st_mode) && st->st_nlink != 1)
		report_set(out, ERR_TEMP, CODE(0, 4, 2, 0), "cannot update %s. destination %s has %lu hard links", m->what, m->path,
			(unsigned long)st->st_nlink);
	else if (S_ISREG(st->st_mode) && (m->flags & MBOX_OWNER) && st->st_uid != geteuid())
		report_set(out, ERR_TEMP, CODE(0, 4, 2, 0), "cannot update %s. destination %s is not owned by recipient", m->what, m->path);
	else
		return true;
	return false;
}

static void append(const struct mbox *m, int fd, bool regular, const struct content *c, struct report *out)
{
	off_t end = regular ? lseek(fd, 0, SEEK_END) : 0;
	bool unreadable = false;
	int errnum;

	if (content_write(c, fd, &unreadable) == 0 && (!regular || fsync(fd) == 0)) {
		out->kind = ERR_NONE;
		return;
	}
	errnum = errno;
	if (regular && ftruncate(fd, end) < 0)
		errnum = errno; /* the rest of a message stays behind: the operator reads about the file either way */
	mailbox_not_written(out, errnum, unreadable, m->what);
}

/* A link that root made, where nobody else can put one: a mailbox that was moved. */
static bool roots_link(const char *path)
{
	const char *slash = strrchr(path, '/');
	struct buf dir = { 0 };
	struct stat link, parent;
	bool is;

	if (slash == NULL)
		return false;
	buf_add(&dir, str_n(path, (size_t)(slash - path) + 1));
	is = lstat(path, &link) == 0 && link.st_uid == 0 && stat(buf_z(&dir), &parent) == 0 && parent.st_uid == 0 &&
		!(parent.st_mode & (S_IWGRP | S_IWOTH));
	buf_done(&dir);
	return is;
}

static int open_mailbox(const char *path)
{
	const int flags = O_CREAT | O_RDWR | O_APPEND | O_NONBLOCK | O_CLOEXEC;
	int fd = open(path, flags | O_NOFOLLOW, 0600);

	if (fd >= 0 || errno != ELOOP)
		return fd;
	if (roots_link(path))
		return open(path, flags, 0600);
	errno = ELOOP;
	return -1;
}

static void deliver_locked(const struct mbox *m, const struct content *c, struct report *out)
{
	int fd = open_mailbox(m->path);
	struct stat st;

	if (fd < 0) {
		if (errno == ELOOP)
			report_set(out, ERR_TEMP, CODE(0, 4, 2, 0), "cannot update %s. destination %s is a symbolic link", m->what, m->path);
		else
			mailbox_trouble(out, errno, m->what, "cannot open file");
		return;
	}
	if (acceptable(m, fd, &st, out)) {
		if (S_ISREG(st.st_mode) && lock_file(m, fd) < 0)
			mailbox_trouble(out, errno, m->what, "unable to lock for exclusive access");
		else
			append(m, fd, S_ISREG(st.st_mode), c, out);
	}
	close(fd);
}

void mbox_deliver(const struct mbox *m, const struct content *c, struct report *out)
{
	struct stat st;
	struct buf lock = { 0 };
	struct mbox plain = *m;
	int locked;

	if ((m->flags & MBOX_ANY_FILE) && stat(m->path, &st) == 0 && !S_ISREG(st.st_mode))
		plain.flags &= ~(unsigned)MBOX_DOTLOCK; /* /dev/null.lock is nobody's wish */
	buf_addf(&lock, "%s.lock", m->path);
	locked = take_dotlock(&plain, buf_z(&lock));
	if (locked < 0)
		mailbox_trouble(out, errno, m->what, "unable to create lock file");
	else
		deliver_locked(m, c, out);
	if (locked > 0)
		unlink(buf_z(&lock));
	buf_done(&lock);
}
