/* milters/common/keeper.c - the process that minds signals and its child that works. It reads nothing from anybody. */
#include "milters/common/keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "milters/common/say.h"

#define GRACE_S 20 /* for messages under way after SIGTERM */
#define RELOAD_SIGNAL SIGUSR1
#define RESTART_PAUSE_MS 1000 /* between two starts: a child that dies at once must not eat the machine */
#define SERVED_MS 10000 /* a child that ends before cannot do its work at all; behind that, it was short of memory */

static void (*reload_now)(void);

static sigset_t our_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, RELOAD_SIGNAL);
	return set;
}

/* ---- in the child ---- */

static void *reload_thread(void *unused)
{
	sigset_t set;
	int got;

	(void)unused;
	sigemptyset(&set);
	sigaddset(&set, RELOAD_SIGNAL);
	while (sigwait(&set, &got) == 0) {
		say_lock();
		log_reopen();
		say_unlock();
		reload_now();
	}
	return NULL;
}

static int child(int (*serve)(void))
{
	sigset_t unblocked;

	prctl(PR_SET_PDEATHSIG, SIGTERM);
	sigemptyset(&unblocked);
	sigaddset(&unblocked, SIGCHLD);
	sigprocmask(SIG_UNBLOCK, &unblocked, NULL);
	return serve();
}

void keeper_obey(void (*reload)(void))
{
	pthread_t thread;

	reload_now = reload;
	if (pthread_create(&thread, NULL, reload_thread, NULL) == 0)
		pthread_detach(thread);
	else
		say_warn("cannot start a thread: SIGHUP will do nothing");
}

/* ---- in the keeper ---- */

/* Let the child finish; after GRACE_S it goes anyhow. */
static void stop_child(pid_t pid, const sigset_t *set)
{
	int64_t deadline = deadline_in(GRACE_S * 1000);
	struct timespec tick = { .tv_sec = 1 };
	int status;

	kill(pid, SIGTERM);
	while (clock_mono_ms() < deadline) {
		if (waitpid(pid, &status, WNOHANG) == pid)
			return;
		sigtimedwait(set, NULL, &tick);
	}
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
}

/* Returns true when the child is gone, with its wait status; false after a signal to end. */
static bool mind(pid_t pid, const sigset_t *set, int *status)
{
	for (;;) {
		int got = sigwaitinfo(set, NULL);

		if (got == SIGHUP) {
			log_reopen();
			kill(pid, RELOAD_SIGNAL);
		} else if (got == SIGTERM || got == SIGINT) {
			return false;
		}
		if (waitpid(pid, status, WNOHANG) == pid)
			return true;
	}
}

static void pause_before_restart(int64_t started_at)
{
	int64_t left = started_at + RESTART_PAUSE_MS - clock_mono_ms();
	struct timespec wait = { .tv_nsec = (long)(left > 0 ? left : 0) % RESTART_PAUSE_MS * 1000000 };

	nanosleep(&wait, NULL);
}

int keeper_run(int (*serve)(void))
{
	sigset_t set = our_signals();
	int status;

	signal(SIGXFSZ, SIG_IGN); /* write() says EFBIG, too */
	sigprocmask(SIG_BLOCK, &set, NULL);
	for (;;) {
		int64_t started_at = clock_mono_ms();
		pid_t pid;

		log_flush();
		pid = fork();
		if (pid < 0)
			log_fatal("cannot start a process: %s", strerror(errno));
		if (pid == 0)
			_exit(child(serve));
		if (!mind(pid, &set, &status)) {
			stop_child(pid, &set);
			return 0;
		}
		if (WIFEXITED(status) && (WEXITSTATUS(status) == 0 || clock_mono_ms() < started_at + SERVED_MS))
			return WEXITSTATUS(status);
		if (WIFEXITED(status))
			log_error("process %ld ended with status %d, starting another", (long)pid, WEXITSTATUS(status));
		else
			log_error("process %ld killed by signal %d, starting another", (long)pid, WTERMSIG(status));
		pause_before_restart(started_at);
	}
}

int keeper_detach(void)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	pid_t pid;

	if (null < 0)
		return -1;
	pid = fork();
	if (pid < 0)
		return -1;
	if (pid > 0)
		_exit(0);
	setsid();
	for (int fd = 0; fd <= 2; fd++)
		dup2(null, fd);
	close(null);
	return 0;
}
