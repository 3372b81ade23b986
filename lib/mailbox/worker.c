/* lib/mailbox/worker.c - one process for each identity, kept between deliveries.
 * Security: a task crosses only to a process that has given up everything but that identity's rights, and all system calls but a server's; what comes back is a report, read as data.
 */
#include "lib/mailbox/worker.h"

#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "lib/base/clock.h"
#include "lib/base/confine.h"
#include "lib/base/list.h"
#include "lib/base/mem.h"
#include "lib/net/fiber.h"
#include "lib/net/stream.h"

#define IDLE_MS 3000 /* how long one stays without mail */
#define IDLE_MAX 50 /* processes that stay */
#define USES_MAX 1000

static bool confined;

void worker_confine(const struct conf *c)
{
	confined = conf_bool(c, "process_confinement");
}

/* ---- a task on its way: same program, same layout ---- */

struct head {
	void (*work)(const struct worker_input *in, struct report *out);
	bool with_fd;
	size_t fixed_size, count, sizes[WORKER_TEXTS_MAX];
};

/* Behind the head: what is fixed, then each text and a NUL. */
static void print_task(const struct worker_task *t, struct buf *out)
{
	const struct worker_input *in = &t->in;
	struct head h = { 0 };

	h.work = t->work;
	h.with_fd = in->fd >= 0;
	h.fixed_size = in->fixed_size;
	h.count = in->count;
	for (size_t i = 0; i < in->count; i++)
		h.sizes[i] = in->texts[i].n;
	buf_addn(out, &h, sizeof h);
	buf_addn(out, in->fixed, in->fixed_size);
	for (size_t i = 0; i < in->count; i++) {
		buf_add(out, in->texts[i]);
		buf_addc(out, '\0');
	}
}

/* In one piece if it can be: the process wakes up once. */
static int send_task(struct stream *s, const struct worker_task *t)
{
	int64_t deadline = deadline_in(t->time_limit_ms);
	struct buf b = { 0 };
	size_t first;
	int r = 0;

	print_task(t, &b);
	first = b.n < STREAM_OUT_MAX ? b.n : STREAM_OUT_MAX - 1;
	stream_write(s, str_n(b.p, first), deadline);
	if (t->in.fd >= 0)
		r = stream_send_fds(s, &t->in.fd, 1, deadline);
	stream_write(s, str_skip(buf_str(&b), first), deadline);
	buf_done(&b);
	return r == STREAM_OK && stream_flush(s, deadline) == STREAM_OK ? 0 : -1;
}

/* ---- in the process ---- */

/* The head and, where there is one, the descriptor that came with it. False: no more tasks. */
static bool receive_head(int fd, struct head *h, int *passed)
{
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec iov = { h, sizeof *h };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.room, .msg_controllen = sizeof control.room };
	ssize_t got;

	do
		got = recvmsg(fd, &m, MSG_CMSG_CLOEXEC | MSG_WAITALL);
	while (got < 0 && errno == EINTR);
	if (got != (ssize_t)sizeof *h || h->with_fd != (CMSG_FIRSTHDR(&m) != NULL))
		return false;
	if (h->with_fd)
		memcpy(passed, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof *passed);
	return true;
}

static char *receive_octets(int fd, size_t n)
{
	char *room = mem_alloc(n), *at = room;

	while (n > 0) {
		ssize_t got = read(fd, at, n);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			_exit(1); /* whoever asked is gone */
		at += got;
		n -= (size_t)got;
	}
	return room;
}

static char *receive_rest(int fd, const struct head *h, struct worker_input *in)
{
	size_t size = h->fixed_size;
	char *room, *at;

	for (size_t i = 0; i < h->count; i++)
		size += h->sizes[i] + 1;
	room = receive_octets(fd, size);
	in->fixed = room;
	in->fixed_size = h->fixed_size;
	at = room + h->fixed_size;
	for (in->count = 0; in->count < h->count; in->count++) {
		in->texts[in->count] = str_n(at, h->sizes[in->count]);
		at += h->sizes[in->count] + 1;
	}
	return room;
}

static bool serve_task(int fd, const struct err *trouble)
{
	struct worker_input in = { .fd = -1 };
	struct report out = { 0 };
	struct head h;
	char *room;

	if (!receive_head(fd, &h, &in.fd))
		return false;
	room = receive_rest(fd, &h, &in);
	if (trouble != NULL)
		report_set(&out, ERR_TEMP, CODE(0, 4, 3, 0), "%s", trouble->text);
	else
		h.work(&in, &out);
	if (in.fd >= 0)
		close(in.fd);
	report_send(fd, &out);
	mem_free(room);
	buf_done(&out.text);
	return true;
}

/* Nothing is ever started here, whatever a mailbox or a .forward holds: a server's system calls are enough. */
static int give_up_rest(struct err *e)
{
	if (!confined)
		return 0;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return err_errno(e, errno, "cannot give up new privileges");
	return confine_calls(e);
}

static void serve(int fd, const struct err *trouble)
{
	struct err e = ERR_INIT;

	if (trouble == NULL && give_up_rest(&e) < 0)
		trouble = &e;
	while (serve_task(fd, trouble))
		;
}

/* ---- here ---- */

struct worker {
	struct list link; /* among the idle */
	uid_t uid;
	gid_t gid;
	bool root_allowed;
	int64_t file_limit;
	pid_t pid;
	struct stream *io;
	int64_t idle_until;
	unsigned uses;
};

static struct list idle = { &idle, &idle }; /* longest idle first */
static unsigned idle_count;
static bool draining, sweeping;

static void end(struct worker *w)
{
	stream_close(w->io);
	child_reap(w->pid);
	mem_free(w);
}

static struct worker *take_idle(const struct worker_task *t)
{
	for (struct list *i = idle.prev; i != &idle; i = i->prev) {
		struct worker *w = LIST_OWNER(i, struct worker, link);

		if (w->uid != t->who.uid || w->gid != t->who.gid || w->root_allowed != t->root_allowed || w->file_limit != t->file_limit)
			continue;
		list_del(&w->link);
		idle_count--;
		if (stream_idle_ok(w->io))
			return w;
		end(w);
		return NULL;
	}
	return NULL;
}

static struct worker *start(const struct worker_task *t, struct report *out)
{
	struct child c = { .who = t->who, .root_allowed = t->root_allowed, .file_limit = t->file_limit, .serve = serve };
	struct worker *w;
	pid_t pid;
	int fd = child_start(&c, &pid, out);

	if (fd < 0)
		return NULL;
	w = mem_alloc(sizeof *w);
	*w = (struct worker){ .uid = t->who.uid, .gid = t->who.gid, .root_allowed = t->root_allowed, .file_limit = t->file_limit, .pid = pid };
	w->io = stream_new(fd);
	list_init(&w->link);
	return w;
}

/* One fiber ends those whose time is over, while there are any. */
static void sweep(void *arg)
{
	(void)arg; /* there is one list */
	while (!list_empty(&idle)) {
		struct worker *w = LIST_OWNER(idle.next, struct worker, link);
		int64_t left = w->idle_until - clock_mono_ms();

		if (left > 0 && idle_count <= IDLE_MAX && !draining) {
			fiber_sleep(left);
			continue;
		}
		list_del(&w->link);
		idle_count--;
		end(w);
	}
	sweeping = false;
}

static void put(struct worker *w)
{
	if (draining || ++w->uses >= USES_MAX || idle_count >= IDLE_MAX) {
		end(w);
		return;
	}
	w->idle_until = deadline_in(IDLE_MS);
	list_add_tail(&idle, &w->link);
	idle_count++;
	if (sweeping)
		return;
	sweeping = true;
	fiber_start("worker sweep", sweep, NULL);
}

void worker_run(const struct worker_task *t, struct report *out)
{
	struct worker *w = take_idle(t);

	*out = (struct report){ 0 };
	if (w == NULL && (w = start(t, out)) == NULL)
		return;
	if (send_task(w->io, t) == 0 && report_receive(w->io, t->time_limit_ms, out) == 0) {
		put(w);
		return;
	}
	kill(-w->pid, SIGKILL);
	kill(w->pid, SIGKILL);
	buf_clear(&out->text);
	report_set(out, ERR_TEMP, CODE(0, 4, 3, 0), "delivery process failed or took too long");
	end(w);
}

void worker_drain(void)
{
	draining = true;
	while (!list_empty(&idle)) { /* they end by themselves, and nobody waits for them any more */
		struct worker *w = LIST_OWNER(idle.next, struct worker, link);

		list_del(&w->link);
		stream_close(w->io);
		mem_free(w);
	}
	idle_count = 0;
}
