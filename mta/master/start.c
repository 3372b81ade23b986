/* mta/master/start.c - into the background, with an honest exit status for whoever started us. */
#include "mta/master/master.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "lib/base/log.h"

static int outcome = -1; /* pipe to the waiting parent */

static void wait_for_outcome(int fd) __attribute__((noreturn));

static void wait_for_outcome(int fd)
{
	char c;
	ssize_t n;

	do
		n = read(fd, &c, 1);
	while (n < 0 && errno == EINTR);
	_exit(n == 1 ? 0 : 1); /* end of file: the child died, and said why on our standard error */
}

void start_detach(void)
{
	int fds[2];
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) < 0)
		log_fatal("cannot make a pipe: %s", strerror(errno));
	pid = fork();
	if (pid < 0)
		log_fatal("cannot fork: %s", strerror(errno));
	if (pid > 0) {
		close(fds[1]);
		wait_for_outcome(fds[0]);
	}
	close(fds[0]);
	outcome = fds[1];
	setsid();
}

void start_succeeded(void)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	ssize_t n;

	if (outcome < 0)
		return; /* in the foreground */
	if (null >= 0) {
		dup2(null, STDIN_FILENO);
		dup2(null, STDOUT_FILENO);
		dup2(null, STDERR_FILENO);
		close(null);
	}
	n = write(outcome, "+", 1);
	if (n < 0)
		log_debug("nobody waits for the start");
	close(outcome);
	outcome = -1;
}
