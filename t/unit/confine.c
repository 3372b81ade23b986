/* t/unit/confine.c - attempts to break out of lib/base/confine: each works in a free process and fails in a confined one; work goes on. */
#include "lib/base/confine.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <grp.h>
#include <linux/keyctl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "t/unit/tap.h"

#define SOMEBODY 65534
#define TRUE "/bin/true"

static char top[] = "/tmp/gatepost-confine.XXXXXX";
static char queue[sizeof top + 8];

static int make_file(const char *name)
{
	int fd = open(name, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

	return fd < 0 || write(fd, "x", 1) != 1 || close(fd) < 0 ? -1 : 0;
}

static int read_file(const char *name)
{
	char c;
	int fd = open(name, O_RDONLY | O_CLOEXEC);
	int r = fd < 0 || read(fd, &c, 1) != 1 ? -1 : 0;

	if (fd >= 0)
		close(fd);
	return r;
}

/* ---- attempts: 0: it worked ---- */

static int read_mail_of_others(void)
{
	return read_file("active/mail");
}

static int take_mail_of_others(void)
{
	return rename("active/mail", "incoming/stolen");
}

static int list_the_queue(void)
{
	int fd = open("active", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 ? -1 : close(fd);
}

static int leave_a_file(void)
{
	return make_file("../left");
}

static int cut_a_file(void)
{
	return truncate("../precious", 0);
}

static int link_out(void)
{
	return symlink("/etc/passwd", "incoming/link");
}

static int make_a_fifo(void)
{
	return mkfifo("incoming/fifo", 0600);
}

static int start_a_program(void)
{
	char *const argv[] = { (char *)TRUE, NULL };

	return execv(TRUE, argv); /* it exits with 0 */
}

static int start_a_descriptor(void)
{
	char *const argv[] = { (char *)TRUE, NULL };
	int fd = open(TRUE, O_RDONLY | O_CLOEXEC);

	return fd < 0 ? -1 : (int)syscall(SYS_execveat, fd, "", argv, argv + 1, AT_EMPTY_PATH);
}

static int fork_away(void)
{
	pid_t pid = fork();

	if (pid == 0)
		_exit(0);
	return pid < 0 ? -1 : 0;
}

static int be_traced(void)
{
	return (int)ptrace(PTRACE_TRACEME, 0, NULL, NULL);
}

static int signal_others(void)
{
	return kill(getppid(), SIGCONT);
}

static int new_namespace(void)
{
	return unshare(CLONE_NEWUSER);
}

static int listen_for_others(void)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	return bind(fd, (struct sockaddr *)&in, sizeof in);
}

static int other_sockets(void)
{
	return socket(AF_ALG, SOCK_SEQPACKET, 0) < 0 ? -1 : 0;
}

static int key_ring(void)
{
	return syscall(SYS_keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_PROCESS_KEYRING, 1) < 0 ? -1 : 0;
}

static int personality_change(void)
{
	return syscall(SYS_personality, 0x0040000 /* no address randomization */) < 0 ? -1 : 0;
}

static const struct {
	const char *name;
	int (*attempt)(void);
} attempts[] = {
	{ "read mail of others", read_mail_of_others },
	{ "take mail of others", take_mail_of_others },
	{ "list the queue", list_the_queue },
	{ "leave a file", leave_a_file },
	{ "cut a file", cut_a_file },
	{ "make a symbolic link", link_out },
	{ "make a fifo", make_a_fifo },
	{ "start a program", start_a_program },
	{ "start a program by its descriptor", start_a_descriptor },
	{ "fork", fork_away },
	{ "be traced", be_traced },
	{ "signal another process", signal_others },
	{ "make a namespace", new_namespace },
	{ "open a port", listen_for_others },
	{ "open a socket of another kind", other_sockets },
	{ "use the kernel's keys", key_ring },
	{ "change the execution domain", personality_change },
};

/* ---- what has to go on ---- */

static void *nothing(void *arg)
{
	return arg;
}

static int work(void)
{
	pthread_t thread;
	int pair[2];

	if (make_file("incoming/new") < 0 || rename("incoming/new", "incoming/newer") < 0 || read_file("incoming/newer") < 0 ||
		unlink("incoming/newer") < 0)
		return -1;
	if (make_file("../data/state") < 0 || read_file("/etc/passwd") < 0 || read_file("../precious") < 0 || read_file("private/table") < 0)
		return -1;
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0 || socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0) < 0)
		return -1;
	return pthread_create(&thread, NULL, nothing, NULL) != 0 || pthread_join(thread, NULL) != 0 ? -1 : 0;
}

/* ---- a process for each ---- */

static void confine_here(void)
{
	static const char *const secret[] = { "incoming", "active", NULL }, *const own[] = { "incoming", NULL };
	static char data[sizeof top + 8];
	const char *const writable[] = { data, NULL };
	struct confinement c = { .queue_dir = queue, .secret = secret, .own = own, .writable = writable };
	struct err e = ERR_INIT;

	snprintf(data, sizeof data, "%s/data", top);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || confine(&c, &e) < 0) {
		diag("%s", e.text);
		_exit(99);
	}
}

static void become_somebody(void)
{
	if (geteuid() == 0 && (setgroups(0, NULL) < 0 || setresgid(SOMEBODY, SOMEBODY, SOMEBODY) < 0 || setresuid(SOMEBODY, SOMEBODY, SOMEBODY) < 0))
		_exit(98);
}

static int exit_of(pid_t pid)
{
	int status = -1;

	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* The exit status of a process that tries: 0 it worked, 1 it did not; its parent is of the same user. */
static int outcome(int (*attempt)(void), bool confined)
{
	pid_t pid = fork();

	if (pid == 0) {
		become_somebody();
		pid = fork();
		if (pid > 0)
			_exit(exit_of(pid));
		if (confined)
			confine_here();
		_exit(attempt() == 0 ? 0 : 1);
	}
	return exit_of(pid);
}

static void make_world(void)
{
	static const char *const dirs[] = { "queue", "queue/incoming", "queue/active", "queue/private", "data" };

	if (mkdtemp(top) == NULL || chmod(top, 0777) < 0 || chdir(top) < 0)
		skip_all("no directory for it");
	for (size_t i = 0; i < sizeof dirs / sizeof *dirs; i++)
		if (mkdir(dirs[i], 0700) < 0 || (geteuid() == 0 && chown(dirs[i], SOMEBODY, SOMEBODY) < 0))
			skip_all("no directory for it");
	snprintf(queue, sizeof queue, "%s/queue", top);
	if (chdir(queue) < 0)
		skip_all("no directory for it");
}

/* Files of that user. */
static int lay_out(void)
{
	return make_file("active/mail") < 0 || make_file("private/table") < 0 || make_file("../precious") < 0 ? -1 : 0;
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *where)
{
	(void)st;
	(void)kind;
	(void)where;
	return remove(path);
}

static void remove_world(void)
{
	if (chdir("/") < 0 || nftw(top, remove_one, 8, FTW_DEPTH | FTW_PHYS) < 0)
		diag("%s is left", top);
}

int main(void)
{
	if (!confine_supported())
		skip_all("this kernel cannot confine processes");
	make_world();
	is_int(outcome(lay_out, false), 0, "files are made");
	for (size_t i = 0; i < sizeof attempts / sizeof *attempts; i++) {
		int confined = outcome(attempts[i].attempt, true);

		is_int(confined, 1, attempts[i].name);
		if (outcome(attempts[i].attempt, false) != 0)
			diag("%s: not possible for free processes here either", attempts[i].name);
		(void)outcome(lay_out, false);
	}
	is_int(outcome(work, true), 0, "work goes on");
	is_int(outcome(work, false), 0, "as without");
	remove_world();
	return done_testing();
}
