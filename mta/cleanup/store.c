/* mta/cleanup/store.c - the queue file. A small message: one open, one write, one fsync; a large one was written as it came. Only after
 * fsync said 0 does anybody hear "250"; after any failure the file is removed, and an fsync that failed is never tried again. The file is
 * locked from the start, so that qmgr does not take up what is not yet durable; the lock goes to qmgr with the descriptor.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include "lib/base/clock.h"
#include "lib/base/fs.h"
#include "lib/base/hash.h"
#include "lib/base/log.h"
#include "lib/base/metrics.h"
#include "lib/net/fiber.h"
#include "lib/net/pool.h"
#include "lib/proto/notify.h"
#include "mta/cleanup/cleanup.h"
#include "mta/cleanup/settings.h"

#define FILE_MODE 0600
#define PATH_SIZE (sizeof "incoming/" + QUEUE_ID_MAX)
#define NOTIFY_MS 10000 /* qmgr's scan makes good what it does not take in time */
#define POOL_IDLE_MS 60000

static struct pool *qmgr;
static bool sync_directories;

void store_init(void)
{
	int fd = open("incoming", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	qmgr = pool_new("unix:public/qmgr", 4, POOL_IDLE_MS, -1);
	sync_directories = fd < 0 || !fs_name_follows_file(fd);
	if (fd >= 0)
		close(fd);
}

static void file_path(const struct mail *x, bool hold, char path[PATH_SIZE])
{
	snprintf(path, PATH_SIZE, "%s/%s", hold ? "hold" : "incoming", x->m.id);
}

/* A new, locked file; -1 with errno. */
static int create_locked(const char *path)
{
	int fd = open(path, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC | O_NOFOLLOW, FILE_MODE);
	int error;

	if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) == 0)
		return fd;
	error = errno;
	unlink(path);
	close(fd);
	errno = error;
	return -1;
}

/* ---- large messages ---- */

struct begin_job {
	const char *path;
	int fd, errnum;
};

static void begin_run(void *arg)
{
	struct begin_job *j = arg;

	j->fd = create_locked(j->path);
	j->errnum = errno;
}

int store_begin(struct mail *x, struct err *e)
{
	char path[PATH_SIZE];
	struct begin_job j = { .path = path };

	file_path(x, false, path);
	offload(begin_run, &j);
	if (j.fd < 0)
		return err_errno(e, j.errnum, "create %s", path);
	x->content.fd = j.fd;
	return 0;
}

struct append_job {
	int fd, result;
	struct str bytes;
	off_t at;
	struct err e;
};

static void append_run(void *arg)
{
	struct append_job *j = arg;

	j->result = fs_pwrite_all(j->fd, j->bytes.p, j->bytes.n, j->at, &j->e);
}

int store_append(struct mail *x, struct str bytes, struct err *e)
{
	uint64_t in_file = x->content.size - bytes.n; /* what was counted before these */
	struct append_job j = { .fd = x->content.fd, .bytes = bytes, .at = (off_t)(QUEUE_SUPER_SIZE + in_file), .e = ERR_INIT };

	offload(append_run, &j);
	if (j.result < 0)
		*e = j.e;
	return j.result;
}

/* ---- commit ---- */

struct commit_job {
	char temporary[PATH_SIZE], path[PATH_SIZE]; /* where a streamed file is; where the message goes */
	int fd; /* -1: to be created */
	struct iovec iov[4]; /* superblock, header, body, envelope */
	struct str header, body, envelope, super;
	uint64_t header_at, body_at, envelope_at;
	bool body_in_file;
	const char *step;
	int errnum; /* 0: durable */
};

static bool failed(struct commit_job *j, const char *step)
{
	j->step = step;
	j->errnum = errno != 0 ? errno : EIO;
	return false;
}

/* All of iov at offset 0: one call unless the kernel takes less. */
static bool write_all(struct commit_job *j)
{
	struct iovec *iov = j->iov;
	int count = 4;
	off_t at = 0;

	while (count > 0) {
		ssize_t n = pwritev(j->fd, iov, count, at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return failed(j, "write");
		at += n;
		for (; count > 0 && (size_t)n >= iov->iov_len; iov++, count--)
			n -= (ssize_t)iov->iov_len;
		if (count > 0) {
			iov->iov_base = (char *)iov->iov_base + n;
			iov->iov_len -= (size_t)n;
		}
	}
	return true;
}

static bool write_new(struct commit_job *j)
{
	j->fd = create_locked(j->path);
	if (j->fd < 0)
		return failed(j, "create");
	return write_all(j);
}

static bool write_at(struct commit_job *j, struct str s, uint64_t at)
{
	struct err e = ERR_INIT;

	errno = 0;
	return fs_pwrite_all(j->fd, s.p, s.n, (off_t)at, &e) == 0 || failed(j, "write");
}

/* The superblock goes last: until it is there the file is no message. */
static bool finish_streamed(struct commit_job *j)
{
	if (!write_at(j, j->header, j->header_at) || (!j->body_in_file && !write_at(j, j->body, j->body_at)))
		return false;
	if (!write_at(j, j->envelope, j->envelope_at) || !write_at(j, j->super, 0))
		return false;
	if (strcmp(j->temporary, j->path) != 0 && rename(j->temporary, j->path) < 0) {
		memcpy(j->path, j->temporary, sizeof j->path);
		return failed(j, "rename");
	}
	return true;
}

static bool sync_name(struct commit_job *j)
{
	struct err e = ERR_INIT;
	char directory[PATH_SIZE];

	if (!sync_directories)
		return true;
	memcpy(directory, j->path, sizeof directory);
	*strchr(directory, '/') = '\0';
	errno = 0;
	return fs_sync_dir(directory, &e) == 0 || failed(j, "sync directory");
}

/* Nobody removed it: the sweep of abandoned files could when this process had stood still for long. */
static bool still_there(struct commit_job *j)
{
	struct stat st;

	errno = ENOENT;
	return (fstat(j->fd, &st) == 0 && st.st_nlink > 0) || failed(j, "find");
}

static void commit_run(void *arg)
{
	struct commit_job *j = arg;
	bool fresh = j->fd < 0;
	bool ok = fresh ? write_new(j) : finish_streamed(j);

	if (ok && fsync(j->fd) < 0)
		ok = failed(j, "fsync");
	if (ok)
		ok = sync_name(j);
	if (ok)
		ok = still_there(j);
	if (ok || j->fd < 0)
		return;
	if (unlink(j->path) < 0 && ftruncate(j->fd, 0) < 0)
		j->step = "remove after an error"; /* it may be delivered, too: better than lost */
	close(j->fd);
	j->fd = -1;
}

static struct iovec io(struct str s)
{
	return (struct iovec){ (void *)(uintptr_t)s.p, s.n };
}

/* Where everything lies: header, body, envelope in this order; or behind the content that is in the file already. */
static void place(struct mail *x, struct str header)
{
	struct queue_message *m = &x->m;
	bool streamed = x->content.fd >= 0;
	uint64_t end = streamed ? QUEUE_SUPER_SIZE + x->content.size : QUEUE_SUPER_SIZE;

	m->header_at = end;
	m->header_size = header.n;
	end += header.n;
	m->body_size = x->body.n;
	if (streamed && !x->body_edited) {
		m->body_at = (uint64_t)(x->body.p - x->content.mapped);
		if (x->body.n == 0)
			m->body_at = QUEUE_SUPER_SIZE;
	} else {
		m->body_at = end;
		end += x->body.n;
	}
	m->envelope_at = end;
}

static unsigned line_flags(struct str s)
{
	unsigned flags = 0;

	while (s.n > 0) {
		struct str line = str_cut(&s, '\n');

		if (line.n > 0 && line.p[0] == '.')
			flags |= QUEUE_DOTS;
		if (line.n > 999)
			flags |= QUEUE_LONG_LINES;
		for (size_t i = 0; i < line.n && (flags & QUEUE_8BIT) == 0; i++)
			if ((unsigned char)line.p[i] > 127)
				flags |= QUEUE_8BIT;
	}
	return flags;
}

static void fill_job(struct mail *x, struct commit_job *j, const struct buf *header, const struct buf *super, const struct buf *envelope)
{
	file_path(x, (x->m.flags & QUEUE_HOLD) != 0, j->path);
	file_path(x, false, j->temporary);
	j->fd = x->content.fd;
	j->header = buf_str(header);
	j->body = x->body;
	j->envelope = buf_str(envelope);
	j->super = buf_str(super);
	j->header_at = x->m.header_at;
	j->body_at = x->m.body_at;
	j->envelope_at = x->m.envelope_at;
	j->body_in_file = !x->body_edited;
	j->iov[0] = io(j->super);
	j->iov[1] = io(j->header);
	j->iov[2] = io(j->body);
	j->iov[3] = io(j->envelope);
}

int store_commit(struct mail *x, struct err *e)
{
	struct buf header = { 0 }, super = { 0 }, envelope = { 0 };
	struct commit_job *j = arena_alloc(x->life, sizeof *j);
	int64_t began_us;
	uint32_t crc;

	header_print(&x->header, &header);
	if (x->content.size > 0 || x->body.n > 0) /* of nothing, not even the empty line is kept: so it arrives elsewhere */
		buf_addn(&header, "\r\n", 2);
	x->m.flags |= x->content.flags & (QUEUE_8BIT | QUEUE_DOTS | QUEUE_LONG_LINES);
	x->m.flags |= line_flags(buf_str(&header));
	if (x->body_edited)
		x->m.flags |= line_flags(x->body);
	place(x, buf_str(&header));
	began_us = clock_mono_us();
	crc = hash_crc32c(hash_crc32c(0, header.p, header.n), x->body.p, x->body.n);
	queue_encode(&x->m, crc, &super, &envelope);
	fill_job(x, j, &header, &super, &envelope);
	if (set->flow_delay_ms > 0 && fs_exists(QUEUE_BEHIND))
		fiber_sleep(set->flow_delay_ms); /* qmgr gets a chance to catch up */
	offload(commit_run, j);
	metric_observe(METRIC_COMMIT_SECONDS, (uint64_t)(clock_mono_us() - began_us), NULL, NULL);
	x->content.fd = j->fd;
	x->content.committed = j->errnum == 0;
	buf_done(&header);
	buf_done(&super);
	buf_done(&envelope);
	return j->errnum == 0 ? 0 : err_errno(e, j->errnum, "%s %s", j->step, j->path);
}

/* ---- afterwards ---- */

static void remove_run(void *arg)
{
	unlink(arg);
}

void store_remove(struct mail *x)
{
	char path[PATH_SIZE];

	if (x->content.fd < 0)
		return;
	file_path(x, false, path);
	if (!x->content.committed)
		offload(remove_run, path);
	close(x->content.fd);
	x->content.fd = -1;
}

void store_withdraw(struct mail *x)
{
	char path[PATH_SIZE];

	if (!x->content.committed)
		return;
	file_path(x, (x->m.flags & QUEUE_HOLD) != 0, path);
	offload(remove_run, path);
}

void store_notify(struct mail *x)
{
	struct err e = ERR_INIT;
	bool reused = true;

	if ((x->m.flags & QUEUE_HOLD) != 0)
		return;
	while (reused) { /* a kept connection may have died with its qmgr */
		int64_t deadline = deadline_in(NOTIFY_MS);
		struct stream *s = pool_get(qmgr, deadline, &reused, &e);

		if (s == NULL)
			break;
		if (notify_send(s, &x->m, x->content.fd, deadline, &e) == 0) {
			pool_put(qmgr, s);
			return;
		}
		pool_drop(qmgr, s);
	}
	log_debug("%s: qmgr will find it by itself: %s", x->m.id, e.text);
}
