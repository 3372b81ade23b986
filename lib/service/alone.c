/* lib/service/alone.c - a daemon without master: a small process that holds the sockets and keeps workers running, as master would.
 * It reads nothing from outside. SIGHUP starts a new generation of workers from the configuration as it is then; the old one finishes what it
 * has when the new one is ready, and goes on when that cannot start. SIGTERM ends all.
 */
#include "lib/service/parts.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/metrics.h"

#define WORKERS_MAX 128
#define BACKLOG 1024
#define RESTART_MS 1000 /* before a worker that died is replaced */
#define FD_ABOVE 300 /* descriptors out of the way of a worker's: 3 and up */

struct worker {
	pid_t pid;
	int control;
	bool ready, old;
	bool quiet; /* has closed its end: it is about to leave */
};

static struct {
	const struct service_options *o;
	const struct service *s;
	unsigned listener_count, wanted; /* workers */
	int listeners[SERVICE_LISTENERS_MAX];
	int metrics; /* memory of the counters */
	struct worker workers[2 * WORKERS_MAX];
	size_t count;
	int64_t restart_at; /* 0: nothing is missing */
	bool begun, stopping;
	int status;
	char program[4096]; /* our own path */
} alone;

static volatile sig_atomic_t signals[NSIG];

static void on_signal(int number)
{
	signals[number] = 1;
}

static bool taken(int number)
{
	bool was = signals[number];

	signals[number] = 0;
	return was;
}

/* ---- sockets ---- */

static int parse_endpoint(struct str text, struct sock_addr *out, struct err *e)
{
	struct str rest = text, kind = str_cut(&rest, ':');
	ptrdiff_t colon = str_rchr(rest, ':');
	uint64_t port;

	if (str_eqz(kind, "unix"))
		return sock_parse_unix(rest, out, e);
	if (!str_eqz(kind, "inet") || colon < 0 || !str_to_u64(str_skip(rest, (size_t)colon + 1), UINT16_MAX, &port))
		return err_perm(e, "\"%.*s\" is neither inet:address:port nor unix:path", STRF(text));
	return sock_parse_ip(str_sub(rest, 0, (size_t)colon), (uint16_t)port, out, e);
}

/* Out of the way of a worker's descriptors. */
static int moved_up(int fd)
{
	int up;

	if (fd < 0)
		return -1;
	up = fcntl(fd, F_DUPFD_CLOEXEC, FD_ABOVE);
	close(fd);
	return up;
}

static int open_listeners(const char *list, struct err *e)
{
	struct str rest = str_z(list), word;

	while ((word = str_word(&rest, ", \t\r\n")).n > 0) {
		struct sock_addr at;
		int fd = -1;

		if (alone.listener_count == SERVICE_LISTENERS_MAX)
			return err_perm(e, "more than %d sockets", SERVICE_LISTENERS_MAX);
		if (parse_endpoint(word, &at, e) == 0)
			fd = sock_listen(&at, BACKLOG, e);
		if (fd < 0)
			return -1;
		alone.listeners[alone.listener_count++] = moved_up(fd);
	}
	return alone.listener_count > 0 ? 0 : err_perm(e, "names no socket");
}

/* ---- workers ---- */

/* In the child: descriptors as master hands them over, then the same program again. */
static void become_worker(int control, const char *const *words)
{
	dup2(control, SERVICE_CONTROL_FD);
	for (unsigned i = 0; i < alone.listener_count; i++)
		dup2(alone.listeners[i], SERVICE_LISTEN_FD + (int)i);
	dup2(alone.metrics, SERVICE_LISTEN_FD + (int)alone.listener_count);
	execv(alone.program, (char *const *)(uintptr_t)words);
	_exit(1);
}

static const char **worker_words(struct arena *a)
{
	const struct service_options *o = alone.o;
	const char **words = arena_alloc(a, (10 + 2 * o->override_count) * sizeof *words);
	size_t n = 0;

	words[n++] = alone.s->command;
	words[n++] = "-c";
	words[n++] = o->conf_dir;
	words[n++] = "-n";
	words[n++] = o->name;
	words[n++] = "-s";
	words[n++] = arena_printf(a, "%u", alone.listener_count).p;
	for (size_t i = 2; i < o->override_count; i++) { /* the first two are not from the command line */
		words[n++] = "-o";
		words[n++] = o->overrides[i];
	}
	if (o->verbose)
		words[n++] = "-v";
	return words;
}

static void start_worker(void)
{
	struct arena *a = arena_new("worker");
	const char **words = worker_words(a);
	int ends[2];
	pid_t pid = -1;

	if (alone.count < 2 * WORKERS_MAX && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0) {
		int theirs = fcntl(ends[1], F_DUPFD, FD_ABOVE); /* goes over exec only as descriptor 3 */

		log_flush();
		pid = fork();
		if (pid == 0) {
			fcntl(theirs, F_SETFD, FD_CLOEXEC);
			become_worker(theirs, words);
		}
		close(theirs);
		close(ends[1]);
		if (pid > 0)
			alone.workers[alone.count++] = (struct worker){ .pid = pid, .control = ends[0] };
		else
			close(ends[0]);
	}
	if (pid < 0) {
		log_warn("cannot start a worker: %s", strerror(errno));
		alone.restart_at = deadline_in(RESTART_MS);
	}
	arena_free(a);
}

static unsigned workers_wanted(const struct conf *c)
{
	int64_t n = conf_workers(c, alone.o->name, 1);

	return n < 1 ? 1 : n > WORKERS_MAX ? WORKERS_MAX : (unsigned)n;
}

static void fill_up(void)
{
	unsigned running = 0;

	alone.restart_at = 0;
	for (size_t i = 0; i < alone.count; i++)
		running += !alone.workers[i].old;
	for (; running < alone.wanted && alone.restart_at == 0; running++)
		start_worker();
}

/* Old ones finish what they have and leave. */
static void retire_if_ready(void)
{
	for (size_t i = 0; i < alone.count; i++)
		if (!alone.workers[i].old && !alone.workers[i].ready)
			return;
	alone.begun = true;
	for (size_t i = 0; i < alone.count; i++)
		if (alone.workers[i].old && send(alone.workers[i].control, "L", 1, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
			kill(alone.workers[i].pid, SIGTERM);
}

static bool reloading(void)
{
	bool old = false, fresh = false;

	for (size_t i = 0; i < alone.count; i++) {
		old |= alone.workers[i].old && alone.workers[i].ready;
		fresh |= !alone.workers[i].old && !alone.workers[i].ready;
	}
	return old && fresh;
}

static void reload(void)
{
	struct err e = ERR_INIT;
	struct conf *c;

	if (reloading())
		return; /* the last one is on its way */
	c = conf_load_own(alone.o->conf_dir, alone.s->own_file, alone.o->overrides, alone.o->override_count, NULL, NULL, &e);
	if (c == NULL) {
		log_error("%s: going on with the configuration from before", e.text);
		return;
	}
	log_info("reload");
	alone.wanted = workers_wanted(c);
	conf_free(c);
	for (size_t i = 0; i < alone.count; i++)
		alone.workers[i].old = true;
	fill_up();
}

/* The new generation cannot start: the old one is the current one again. */
static void give_reload_up(void)
{
	log_error("the new configuration cannot be used: going on with the one from before");
	for (size_t i = 0; i < alone.count; i++) {
		struct worker *w = &alone.workers[i];

		if (!w->old)
			kill(w->pid, SIGTERM);
		w->old = !w->old;
	}
}

static void worker_gone(size_t i, int status)
{
	struct worker gone = alone.workers[i];
	bool failed_reload = !gone.old && !gone.ready && reloading();

	close(gone.control);
	metrics_leave(gone.pid);
	alone.workers[i] = alone.workers[--alone.count];
	if (gone.old || alone.stopping)
		return;
	if (!gone.ready && !alone.begun) { /* it has said why */
		alone.stopping = true;
		alone.status = 1;
	} else if (failed_reload) {
		give_reload_up();
	} else {
		if (status != 0)
			log_warn("worker %ld ended with status %d", (long)gone.pid, status);
		alone.restart_at = deadline_in(RESTART_MS);
	}
}

static void reap(void)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		for (size_t i = 0; i < alone.count; i++)
			if (alone.workers[i].pid == pid) {
				worker_gone(i, status);
				break;
			}
}

static void signal_all(int number)
{
	for (size_t i = 0; i < alone.count; i++)
		kill(alone.workers[i].pid, number);
}

/* ---- the life of it ---- */

static void hear(struct worker *w)
{
	char c = 0;
	ssize_t n = recv(w->control, &c, 1, MSG_DONTWAIT);

	w->quiet = n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR);
	if (c == 'R') {
		w->ready = true;
		retire_if_ready();
	}
}

static void wait_for_something(const sigset_t *open)
{
	struct pollfd fds[2 * WORKERS_MAX];
	int64_t ms = alone.restart_at == 0 ? 60000 : alone.restart_at - clock_mono_ms();
	struct timespec t = { .tv_sec = ms > 0 ? ms / 1000 : 0, .tv_nsec = ms > 0 ? ms % 1000 * 1000000 : 0 };
	size_t count = alone.count;

	/* A descriptor that is always ready would keep signals out. */
	for (size_t i = 0; i < count; i++)
		fds[i] = (struct pollfd){ .fd = alone.workers[i].quiet ? -1 : alone.workers[i].control, .events = POLLIN };
	log_flush();
	if (ppoll(fds, count, &t, open) <= 0)
		return;
	for (size_t i = 0; i < count; i++)
		if (fds[i].revents != 0)
			hear(&alone.workers[i]);
}

static void obey_signals(void)
{
	bool term = taken(SIGTERM), interrupt = taken(SIGINT); /* both are taken back */

	if (term || interrupt) {
		alone.stopping = true;
		signal_all(SIGTERM);
	}
	if (taken(SIGUSR1)) {
		log_reopen();
		signal_all(SIGUSR1);
	}
	if (taken(SIGHUP) && !alone.stopping && alone.begun)
		reload();
	if (taken(SIGCHLD))
		reap();
}

int alone_run(const struct service_options *o, const struct service *s, const struct conf *c)
{
	static const int caught[] = { SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGCHLD };
	struct sigaction sa = { .sa_handler = on_signal };
	sigset_t blocked, open;
	struct err e = ERR_INIT;

	alone.o = o;
	alone.s = s;
	alone.wanted = workers_wanted(c);
	sigemptyset(&blocked);
	sigemptyset(&open);
	for (size_t i = 0; i < sizeof caught / sizeof *caught; i++) {
		sigaddset(&blocked, caught[i]);
		sigaction(caught[i], &sa, NULL);
	}
	sigprocmask(SIG_BLOCK, &blocked, NULL); /* but for the waits */
	privilege_raise_descriptors();
	if (readlink("/proc/self/exe", alone.program, sizeof alone.program - 1) < 0)
		log_fatal("/proc/self/exe: %s", strerror(errno));
	alone.metrics = moved_up(metrics_create());
	if (alone.metrics < 0 || !metrics_open(alone.metrics, s->command, o->name))
		log_fatal("cannot make memory for metrics: %s", strerror(errno));
	if (open_listeners(conf_str(c, s->listen), &e) < 0)
		log_fatal("parameter %s: %s", s->listen, e.text);
	fill_up();
	while (!alone.stopping || alone.count > 0) {
		wait_for_something(&open);
		obey_signals();
		if (alone.restart_at != 0 && clock_mono_ms() >= alone.restart_at && !alone.stopping)
			fill_up();
	}
	log_flush();
	return alone.status;
}
