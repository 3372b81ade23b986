/* mta/master/loop.c - master's event loop: signals, words from workers, and what is due. Nothing in it waits for anything else. */
#include "mta/master/master.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/signalfd.h>

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"

static const int handled[] = { SIGCHLD, SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2 };

void loop_prepare(struct master *m)
{
	sigset_t set;

	signal(SIGPIPE, SIG_IGN); /* the log may be a pipe */
	signal(SIGXFSZ, SIG_IGN); /* or as long as a limit allows */
	sigemptyset(&set);
	for (size_t i = 0; i < sizeof handled / sizeof *handled; i++)
		sigaddset(&set, handled[i]);
	if (sigprocmask(SIG_BLOCK, &set, NULL) == 0)
		m->signals = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	if (m->signals < 0)
		log_fatal("cannot handle signals: %s", strerror(errno));
}

static void on_signal(struct master *m, int signum)
{
	switch (signum) {
	case SIGCHLD:
		workers_reap(m);
		break;
	case SIGHUP:
		m->reload_asked = true;
		break;
	case SIGUSR1:
		log_reopen();
		directories_own_log(m->current->conf); /* before the workers open it */
		workers_signal(m, SIGUSR1);
		break;
	case SIGUSR2:
		workers_signal(m, SIGUSR2);
		break;
	default:
		if (!m->stop_asked)
			log_info("terminating on signal %d", signum);
		m->kill_asked = m->stopping; /* asked twice: no patience */
		m->stop_asked = true;
	}
}

static void read_signals(struct master *m)
{
	struct signalfd_siginfo info;

	while (read(m->signals, &info, sizeof info) == (ssize_t)sizeof info)
		on_signal(m, (int)info.ssi_signo);
}

struct polled { /* [0] is the signals; the others have their workers beside them */
	struct pollfd *fds;
	struct worker **workers;
	size_t count;
};

static void add_worker(void *ctx, struct worker *w)
{
	struct polled *p = ctx;

	if (w->control < 0)
		return;
	p->fds[p->count] = (struct pollfd){ .fd = w->control, .events = POLLIN };
	p->workers[p->count++] = w;
}

static int wait_ms(int64_t deadline)
{
	int64_t left;

	if (deadline == DEADLINE_NEVER)
		return -1;
	left = deadline - clock_mono_ms();
	return left < 0 ? 0 : left < INT32_MAX ? (int)left : INT32_MAX;
}

/* Words first, deaths after: a worker that said it was ready and died had started well. */
void loop_turn(struct master *m, int64_t deadline)
{
	size_t room = workers_alive(m, false) + 1;
	int64_t due = deadline_min(deadline_min(deadline, workers_next_due(m)), notify_watchdog());
	struct polled p = { mem_array(room, sizeof *p.fds), mem_array(room, sizeof(struct worker *)), 1 };

	log_flush();
	p.fds[0] = (struct pollfd){ .fd = m->signals, .events = POLLIN };
	workers_visit(m, add_worker, &p);
	if (poll(p.fds, p.count, wait_ms(due)) > 0) {
		for (size_t i = 1; i < p.count; i++) {
			if (p.fds[i].revents != 0)
				workers_heard(m, p.workers[i]);
		}
		read_signals(m);
	}
	workers_start_due(m);
	mem_free(p.fds);
	mem_free(p.workers);
}
