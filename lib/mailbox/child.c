/* lib/mailbox/child.c - fork, become the recipient, work, report; the parent's fiber waits meanwhile.
 * Security: the only place where a delivery agent changes identity. Root forks; the child gives up root for good, verified, before it
 * opens anything that belongs to a user. Its report is read as data: bounded, and never trusted for more than the delivery's outcome.
 */
#include "lib/mailbox/child.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "lib/base/clock.h"
#include "lib/net/fiber.h"
#include "lib/net/stream.h"

#define GRACE_MS 20000 /* beyond its own time limit, before we kill it */

struct head { /* what a report begins with on its way to the parent: same program, same layout */
	enum err_kind kind;
	struct code code;
	uint32_t size;
};

void report_set(struct report *out, enum err_kind kind, struct code code, const char *fmt, ...)
{
	va_list ap;

	out->kind = kind;
	out->code = code;
	buf_clear(&out->text);
	va_start(ap, fmt);
	buf_addfv(&out->text, fmt, ap);
	va_end(ap);
}

/* ---- in the child ---- */

static void reset_signals(void)
{
	static const int handled[] = { SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2, SIGCHLD, SIGALRM };
	sigset_t none;

	for (size_t i = 0; i < sizeof handled / sizeof *handled; i++)
		signal(handled[i], SIG_DFL);
	signal(SIGPIPE, SIG_IGN); /* seen as EPIPE, SIGXFSZ as EFBIG */
	signal(SIGXFSZ, SIG_IGN);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static int by_number(const void *a, const void *b)
{
	const int *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

/* Listeners, other deliveries, the log: nothing of it is the recipient's business. */
static void close_others(const struct child *c, int report_fd)
{
	int keep[CHILD_FDS_MAX + 1];
	size_t n = 0;
	unsigned from = 3;

	for (size_t i = 0; i < c->keep_count; i++)
		keep[n++] = c->keep[i];
	keep[n++] = report_fd;
	qsort(keep, n, sizeof *keep, by_number);
	for (size_t i = 0; i < n; i++) {
		if ((unsigned)keep[i] > from)
			close_range(from, (unsigned)keep[i] - 1, 0);
		from = (unsigned)keep[i] + 1;
	}
	close_range(from, ~0U, 0);
}

/* All ids, no supplementary groups, no way back. */
static int become(const struct identity *who, struct err *e)
{
	uid_t r, f, s;
	gid_t gr, gf, gs;

	if (setgroups(1, &who->gid) < 0 || setresgid(who->gid, who->gid, who->gid) < 0 || setresuid(who->uid, who->uid, who->uid) < 0)
		return err_errno(e, errno, "cannot become user %lu", (unsigned long)who->uid);
	if (getresuid(&r, &f, &s) < 0 || r != who->uid || f != who->uid || s != who->uid || getresgid(&gr, &gf, &gs) < 0 ||
		gr != who->gid || gf != who->gid || gs != who->gid || (who->uid != 0 && setuid(0) == 0))
		return err_temp(e, "ids are still mixed after becoming user %lu", (unsigned long)who->uid);
	return 0;
}

static int prepare(const struct child *c, struct err *e)
{
	struct rlimit limit = { (rlim_t)c->file_limit, (rlim_t)c->file_limit };

	if (c->file_limit > 0 && setrlimit(RLIMIT_FSIZE, &limit) < 0)
		return err_errno(e, errno, "cannot limit file sizes");
	if (c->chroot_dir != NULL && (chroot(c->chroot_dir) < 0 || chdir("/") < 0))
		return err_errno(e, errno, "cannot chroot to %s", c->chroot_dir);
	if (!identity_can_switch())
		return 0;
	if (c->who.uid == 0 && !c->root_allowed)
		return err_temp(e, "delivery as root is refused");
	return become(&c->who, e);
}

static void send_all(int fd, const void *p, size_t n)
{
	const char *at = p;

	while (n > 0) {
		ssize_t put = write(fd, at, n);

		if (put < 0 && errno == EINTR)
			continue;
		if (put <= 0)
			_exit(1); /* nobody listens: the parent calls that temporary */
		at += put;
		n -= (size_t)put;
	}
}

void report_send(int fd, const struct report *r)
{
	struct head head = { 0 }; /* no stray bytes of this process */

	head.kind = r->kind;
	head.code = r->code;
	head.size = (uint32_t)r->text.n;
	send_all(fd, &head, sizeof head);
	send_all(fd, r->text.p, r->text.n);
}

static void run_in_child(const struct child *c, int report_fd) __attribute__((noreturn));
static void run_in_child(const struct child *c, int report_fd)
{
	struct report out = { 0 };
	struct err e = ERR_INIT;
	bool ready;

	setpgid(0, 0); /* a signal to the daemon's group is not meant for a delivery under way */
	reset_signals();
	close_others(c, report_fd);
	umask(077);
	ready = prepare(c, &e) == 0;
	if (c->serve != NULL) {
		c->serve(report_fd, ready ? NULL : &e);
		_exit(0);
	}
	if (ready)
		c->work(c->arg, &out);
	else
		report_set(&out, ERR_TEMP, CODE(0, 4, 3, 0), "%s", e.text);
	report_send(report_fd, &out);
	_exit(0);
}

/* ---- in the parent ---- */

int report_receive(struct stream *s, int64_t limit_ms, struct report *out)
{
	int64_t deadline = deadline_in(limit_ms + GRACE_MS);
	struct head head;

	if (stream_read_full(s, &head, sizeof head, deadline) != STREAM_OK || head.size > CHILD_REPORT_MAX || head.kind > ERR_PERM)
		return -1;
	if (head.size > 0 && stream_read_full(s, buf_reserve(&out->text, head.size), head.size, deadline) != STREAM_OK)
		return -1;
	out->text.n = head.size;
	out->kind = head.kind;
	out->code = head.code;
	return 0;
}

static void reap(void *arg)
{
	const pid_t *pid = arg;

	while (waitpid(*pid, NULL, 0) < 0 && errno == EINTR)
		;
}

void child_reap(pid_t pid)
{
	offload(reap, &pid);
}

static void wait_for(const struct child *c, pid_t pid, int fd, struct report *out)
{
	struct stream *s = stream_new(fd);

	if (report_receive(s, c->time_limit_ms, out) < 0) {
		kill(-pid, SIGKILL);
		kill(pid, SIGKILL);
		report_set(out, ERR_TEMP, CODE(0, 4, 3, 0), "delivery process failed or took too long");
	}
	stream_close(s);
	child_reap(pid);
}

int child_start(const struct child *c, pid_t *pid, struct report *out)
{
	int ends[2];

	*out = (struct report){ 0 };
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0) {
		report_set(out, ERR_TEMP, CODE(0, 4, 3, 0), "cannot create a socket pair: %s", strerror(errno));
		return -1;
	}
	*pid = fork();
	if (*pid == 0) {
		close(ends[0]);
		run_in_child(c, ends[1]);
	}
	close(ends[1]);
	if (*pid > 0)
		return ends[0];
	close(ends[0]);
	report_set(out, ERR_TEMP, CODE(0, 4, 3, 0), "cannot create a process: %s", strerror(errno));
	return -1;
}

void child_run(const struct child *c, struct report *out)
{
	pid_t pid;
	int fd = child_start(c, &pid, out);

	if (fd >= 0)
		wait_for(c, pid, fd, out);
}
