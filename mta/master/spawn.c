/* mta/master/spawn.c - start one worker: descriptors 3 (control), 4... (listeners) and the counters' memory behind them, a small environment, nothing else of ours. */
#include "mta/master/master.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>

#include "lib/base/clock.h"
#include "lib/base/mem.h"

#define CONTROL_FD 3
#define PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

extern char **environ;

struct words { /* NULL-terminated */
	const char **items;
	size_t count, room;
};

static void add(struct words *w, const char *text)
{
	if (w->count + 2 > w->room) {
		w->room = w->room * 2 + 16;
		w->items = mem_grow(w->items, w->room, sizeof *w->items);
	}
	w->items[w->count++] = text;
	w->items[w->count] = NULL;
}

static void add_number(struct words *w, struct arena *a, const char *option, size_t n)
{
	add(w, option);
	add(w, arena_printf(a, "%zu", n).p);
}

static void make_argv(const struct master *m, const struct service *s, struct arena *a, struct words *argv)
{
	add(argv, s->command);
	add(argv, "-c");
	add(argv, m->conf_dir);
	add(argv, "-n");
	add(argv, s->row->name);
	add_number(argv, a, "-s", s->listener_count);
	add_number(argv, a, "-m", s->clients);
	if (m->detached)
		add(argv, "-q");
	if (s->row->chroot)
		add(argv, "-r");
	if (m->verbose)
		add(argv, "-v");
	for (size_t i = 0; i < s->row->override_count; i++) {
		add(argv, "-o");
		add(argv, s->row->overrides[i]);
	}
	add(argv, "--");
	for (size_t i = 0; i < s->row->arg_count; i++)
		add(argv, s->row->args[i]);
}

/* ---- environment ---- */

/* What sanitizers and fault injection of test builds need, besides import_environment. */
static const char *const also_kept[] = { "ASAN_OPTIONS", "LSAN_OPTIONS", "UBSAN_OPTIONS", "GATEPOST_FAULT" };

static const char *variable(struct str name)
{
	for (char **v = environ; *v != NULL; v++) {
		if (strncmp(*v, name.p, name.n) == 0 && (*v)[name.n] == '=')
			return *v;
	}
	return NULL;
}

static void keep(struct words *env, struct str name)
{
	const char *v = variable(name);

	if (v != NULL)
		add(env, v);
}

static void make_environment(const struct master *m, const struct conf *c, struct arena *a, struct words *env)
{
	struct str rest = str_z(conf_str(c, "import_environment")), word;

	add(env, "PATH=" PATH);
	add(env, arena_printf(a, "MAIL_CONFIG=%s", m->conf_dir).p);
	for (size_t i = 0; i < sizeof also_kept / sizeof *also_kept; i++)
		keep(env, str_z(also_kept[i]));
	while ((word = str_word(&rest, ", \t\r\n")).n > 0) {
		if (str_startsi(word, STR("MAIL_CONFIG")) || str_starts(word, STR("PATH=")))
			continue;
		if (str_chr(word, '=') >= 0)
			add(env, arena_z(a, word));
		else
			keep(env, word);
	}
}

/* ---- the child ---- */

/* Move descriptors to their places; first out of the way, so that none is overwritten. 0 or -1. */
static int place_descriptors(const struct service *s, int control, int metrics)
{
	int behind = CONTROL_FD + 1 + (int)s->listener_count, top = behind + 1;
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (null < 0 || dup2(null, STDIN_FILENO) < 0)
		return -1;
	control = fcntl(control, F_DUPFD_CLOEXEC, top);
	metrics = fcntl(metrics, F_DUPFD_CLOEXEC, top);
	if (control < 0 || metrics < 0)
		return -1;
	for (size_t i = 0; i < s->listener_count; i++) {
		int safe = fcntl(s->listeners[i]->fd, F_DUPFD_CLOEXEC, top + (int)i);

		if (safe < 0)
			return -1;
		s->listeners[i]->fd = safe; /* our own copy of the struct: we are a forked child */
	}
	for (size_t i = 0; i < s->listener_count; i++) {
		if (dup2(s->listeners[i]->fd, CONTROL_FD + 1 + (int)i) < 0)
			return -1;
	}
	return dup2(metrics, behind) < 0 || dup2(control, CONTROL_FD) < 0 ? -1 : 0;
}

static void become_worker(const struct service *s, const int fds[2], const char **argv, const char **env) __attribute__((noreturn));

static void become_worker(const struct service *s, const int fds[2], const char **argv, const char **env)
{
	static const char failed[] = "gatepost: cannot start a daemon\n";
	sigset_t waiting;
	ssize_t n;

	sigemptyset(&waiting); /* what would kill it before it has its handlers; it unblocks them then */
	sigaddset(&waiting, SIGHUP);
	sigaddset(&waiting, SIGUSR1);
	sigaddset(&waiting, SIGUSR2);
	signal(SIGPIPE, SIG_DFL);
	signal(SIGXFSZ, SIG_DFL);
	if (place_descriptors(s, fds[0], fds[1]) == 0 && sigprocmask(SIG_SETMASK, &waiting, NULL) == 0)
		execve(s->program, (char *const *)argv, (char *const *)env);
	n = write(STDERR_FILENO, failed, sizeof failed - 1);
	_exit(n < 0 ? 127 : 126);
}

int spawn_worker(const struct master *m, struct worker *w, struct err *e)
{
	const struct service *s = w->service;
	struct arena *a = arena_new("spawn");
	struct words argv = { 0 }, env = { 0 };
	int pair[2];
	pid_t pid = -1;

	make_argv(m, s, a, &argv);
	make_environment(m, s->generation->conf, a, &env);
	if (strcmp(s->command, "smtpd") == 0)
		add(&env, m->ticket_secret.p);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) {
		err_errno(e, errno, "cannot make a control channel");
	} else {
		pid = fork();
		if (pid == 0)
			become_worker(s, (const int[2]){ pair[1], m->metrics }, argv.items, env.items);
		if (pid < 0)
			err_errno(e, errno, "cannot fork");
		close(pair[1]);
		if (pid < 0)
			close(pair[0]);
	}
	mem_free(argv.items);
	mem_free(env.items);
	arena_free(a);
	if (pid < 0)
		return -1;
	w->pid = pid;
	w->control = pair[0];
	w->ready = w->leaving = w->told_to_leave = w->told_gently = false;
	w->started_at = clock_mono_ms();
	return 0;
}
