/* mta/tools/sendmail/submit.c - a message becomes a file in maildrop/: content and envelope first, the superblock that makes it a message
 * last, then fsync. Until that returned the caller may not believe that it is sent.
 */
#include "mta/tools/sendmail/sendmail.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sysexits.h>

#include "lib/base/clock.h"
#include "lib/base/fs.h"
#include "lib/base/hash.h"
#include "lib/queue/queue.h"

#define CREATE_TRIES 10

static char file[sizeof "maildrop/" + QUEUE_ID_MAX]; /* for the signal handler */
static volatile sig_atomic_t unfinished;

static void remove_and_leave(int signum)
{
	if (unfinished)
		(void)unlink(file);
	_exit(128 + signum);
}

static void catch_signals(void)
{
	static const int signals[] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM };
	struct sigaction sa = { .sa_handler = remove_and_leave };

	for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) {
		struct sigaction old;

		if (sigaction(signals[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN) /* nohup stays nohup */
			(void)sigaction(signals[i], &sa, NULL);
	}
}

static void failed(const char *what, const char *why) __attribute__((noreturn));

static void failed(const char *what, const char *why)
{
	(void)unlink(file);
	fatal(EX_TEMPFAIL, "%s %s: %s", what, file, why);
}

static int create(struct queue_message *m)
{
	for (int i = 0; i < CREATE_TRIES; i++) {
		int fd;

		queue_id_new(m->id);
		snprintf(file, sizeof file, "maildrop/%s", m->id);
		fd = open(file, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
		if (fd >= 0)
			return fd;
		if (errno != EEXIST)
			break;
	}
	fatal(EX_TEMPFAIL, "cannot create %s: %s", file, strerror(errno));
}

static void describe_content(struct queue_message *m, struct str content)
{
	size_t line = 0;

	for (size_t i = 0; i < content.n; i++) {
		if ((unsigned char)content.p[i] > 127)
			m->flags |= QUEUE_8BIT;
		if (content.p[i] == '.' && line == 0)
			m->flags |= QUEUE_DOTS;
		line = content.p[i] == '\n' ? 0 : line + 1;
		if (line > 999) /* 998 and the CR */
			m->flags |= QUEUE_LONG_LINES;
	}
}

struct str request_sender(const struct request *r)
{
	return str_z(r->sender != NULL ? r->sender : r->login);
}

static void fill_envelope(struct queue_message *m, const struct message *from, const struct request *r, struct queue_rcpt *rcpts)
{
	m->flags = QUEUE_LOCAL | (r->body_8bit ? QUEUE_BODY_8BITMIME : 0u);
	m->arrival_us = clock_wall_us();
	m->sender = request_sender(r);
	m->flags |= (r->mode == MODE_PROBE ? QUEUE_PROBE : 0u) | (r->report ? QUEUE_TRACE : 0u) | (r->gateway ? QUEUE_COMPLETE : 0u);
	m->envid = str_z(r->envid);
	m->ret = r->ret;
	m->verp = str_z(r->verp);
	for (size_t i = 0; i < from->recipient_count; i++) {
		rcpts[i].addr = from->recipients[i];
		rcpts[i].notify = r->notify;
	}
	m->rcpts = rcpts;
	m->rcpt_count = from->recipient_count;
}

static void write_file(int fd, struct queue_message *m, struct str content, size_t header_size)
{
	struct buf super = { 0 }, envelope = { 0 };
	struct err e = ERR_INIT;

	m->header_at = QUEUE_SUPER_SIZE;
	m->header_size = header_size;
	m->body_at = m->header_at + header_size;
	m->body_size = content.n - header_size;
	m->envelope_at = m->body_at + m->body_size;
	queue_encode(m, hash_crc32c(0, content.p, content.n), &super, &envelope);
	if (fs_pwrite_all(fd, content.p, content.n, QUEUE_SUPER_SIZE, &e) < 0 ||
		fs_pwrite_all(fd, envelope.p, envelope.n, (off_t)m->envelope_at, &e) < 0)
		failed("cannot write", e.text);
	if (fchmod(fd, 0644) < 0) /* pickup reads it as another user; the directory keeps everybody else out */
		failed("cannot set the mode of", strerror(errno));
	if (fs_pwrite_all(fd, super.p, super.n, 0, &e) < 0)
		failed("cannot write", e.text);
	if (fsync(fd) < 0 || close(fd) < 0)
		failed("cannot save", strerror(errno));
	buf_done(&super);
	buf_done(&envelope);
}

/* A directory that we may write but not read cannot be synced by its name; then the file system's own order has to do. */
static void sync_directory(void)
{
	struct err e;

	(void)fs_sync_dir("maildrop", &e);
}

void submit(const struct message *from, const struct request *r)
{
	struct arena *a = arena_new("submission");
	struct queue_message m = { 0 };
	struct str content = buf_str(&from->content);
	int fd;

	fill_envelope(&m, from, r, arena_alloc(a, (from->recipient_count + 1) * sizeof(struct queue_rcpt)));
	describe_content(&m, content);
	catch_signals();
	fd = create(&m);
	unfinished = 1;
	write_file(fd, &m, content, from->header_size);
	unfinished = 0;
	sync_directory();
	queue_wake_pickup();
	arena_free(a);
}
