/* lib/mailbox/command.c - starts a command, feeds it the message, keeps the beginning of what it prints, and waits for its end.
 * Security: what the command prints comes from a user's program: bounded here, made printable before it goes anywhere.
 */
#include "lib/mailbox/command.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sysexits.h>

#include "lib/base/clock.h"

struct run {
	const struct command *c;
	pid_t pid;
	int in, out, watch; /* its input and output; readable when it has ended. -1: closed */
	struct content_reader reader;
	struct buf piece; /* content that it has not taken yet */
	bool more; /* content left */
	bool unreadable; /* the message file */
	struct buf output;
};

/* ---- start ---- */

static void start_command(const struct command *c, int in, int out) __attribute__((noreturn));
static void start_command(const struct command *c, int in, int out)
{
	setpgid(0, 0);
	if (dup2(in, 0) < 0 || dup2(out, 1) < 0 || dup2(out, 2) < 0)
		_exit(EX_TEMPFAIL);
	close_range(3, ~0U, 0);
	signal(SIGPIPE, SIG_DFL);
	signal(SIGXFSZ, SIG_DFL);
	environ = (char **)(uintptr_t)c->env;
	execvp(c->argv[0], (char *const *)(uintptr_t)c->argv);
	dprintf(2, "cannot execute %s: %s", c->argv[0], strerror(errno));
	_exit(EX_TEMPFAIL); /* a missing program must not bounce mail */
}

static void set_nonblocking(int fd)
{
	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
}

static int start(struct run *r)
{
	int in[2], out[2];

	if (r->c->directory != NULL && chdir(r->c->directory) < 0)
		return -1;
	if (pipe2(in, O_CLOEXEC) < 0 || pipe2(out, O_CLOEXEC) < 0) /* a child about to end keeps nothing to itself */
		return -1;
	r->pid = fork();
	if (r->pid == 0)
		start_command(r->c, in[0], out[1]);
	close(in[0]);
	close(out[1]);
	if (r->pid < 0)
		return -1;
	setpgid(r->pid, r->pid); /* whoever comes first: kill() below is for the group */
	r->in = in[1];
	r->out = out[0];
	r->watch = (int)syscall(SYS_pidfd_open, r->pid, 0);
	if (r->watch < 0) {
		kill(r->pid, SIGKILL);
		return -1;
	}
	set_nonblocking(r->in);
	set_nonblocking(r->out);
	return 0;
}

/* ---- feed and listen ---- */

static void close_input(struct run *r)
{
	if (r->in >= 0)
		close(r->in);
	r->in = -1;
}

static void feed(struct run *r)
{
	struct err e = ERR_INIT;
	ssize_t put;

	if (r->piece.n == 0 && r->more) {
		int got = content_reader_next(&r->reader, &r->piece, &e);

		r->unreadable = got < 0;
		r->more = got > 0;
	}
	if (r->piece.n == 0) {
		if (!r->more)
			close_input(r);
		return;
	}
	put = write(r->in, r->piece.p, r->piece.n);
	if (put > 0)
		buf_consume(&r->piece, (size_t)put);
	else if (put < 0 && errno != EAGAIN && errno != EINTR)
		close_input(r); /* EPIPE: it has read enough, its exit status tells the rest */
}

/* More than is kept is read and dropped, so that the command does not block. */
static void listen_to(struct run *r)
{
	char room[4096];
	ssize_t got = read(r->out, room, sizeof room);

	if (got > 0 && r->output.n < COMMAND_OUTPUT_MAX)
		buf_add(&r->output, str_sub(str_n(room, (size_t)got), 0, COMMAND_OUTPUT_MAX - r->output.n));
	if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) {
		close(r->out);
		r->out = -1;
	}
}

static int wait_ms(int64_t deadline)
{
	int64_t left = deadline - clock_mono_ms();

	return left <= 0 ? 0 : left > 60000 ? 60000 : (int)left;
}

/* True: it has ended; false: the deadline passed or the message could not be read. */
static bool attend(struct run *r, int64_t deadline)
{
	while (clock_mono_ms() < deadline && !r->unreadable) {
		struct pollfd p[3] = { { r->in, POLLOUT, 0 }, { r->out, POLLIN, 0 }, { r->watch, POLLIN, 0 } };

		if (poll(p, 3, wait_ms(deadline)) <= 0)
			continue;
		if (r->out >= 0 && p[1].revents != 0)
			listen_to(r);
		if (p[2].revents != 0) {
			if (r->out >= 0)
				listen_to(r); /* its last words; helpers it left behind may keep the pipe open */
			return true;
		}
		if (r->in >= 0 && p[0].revents != 0)
			feed(r);
	}
	return false;
}

/* ---- end ---- */

/* Output for one line of log: line ends become blanks, the rest printable. */
static struct str tidy(struct buf *output, struct buf *out)
{
	struct str text = str_trim(buf_str(output));
	struct buf line = { 0 };

	for (size_t i = 0; i < text.n; i++)
		buf_addc(&line, text.p[i] == '\n' || text.p[i] == '\r' || text.p[i] == '\t' ? ' ' : text.p[i]);
	buf_add_safe(out, buf_str(&line));
	buf_done(&line);
	return buf_str(out);
}

static void conclude(struct run *r, bool ended, struct report *out)
{
	struct buf shown = { 0 };
	struct str output = tidy(&r->output, &shown);
	int status = 0;

	if (!ended)
		kill(-r->pid, SIGKILL);
	while (waitpid(r->pid, &status, 0) < 0 && errno == EINTR)
		;
	if (r->unreadable)
		report_set(out, ERR_TEMP, CODE(0, 4, 3, 0), "cannot read the message");
	else if (!ended)
		command_timed_out(r->c->shown, output, out);
	else
		command_verdict(r->c->shown, status, output, out);
	buf_done(&shown);
}

void command_run(const struct command *c, struct report *out)
{
	struct run r = { .c = c, .in = -1, .out = -1, .watch = -1, .more = true };
	bool ended;

	content_reader_begin(&r.reader, &c->content);
	if (start(&r) < 0) {
		report_set(out, ERR_TEMP, CODE(0, 4, 3, 0), "cannot start \"%s\": %s", c->shown, strerror(errno));
		return;
	}
	ended = attend(&r, deadline_in(c->time_limit_ms));
	close_input(&r);
	conclude(&r, ended, out);
	content_reader_done(&r.reader);
	buf_done(&r.piece);
	buf_done(&r.output);
}
