/* t/unit/log.c - log lines into a file, a full pipe, and from forked children. */
#include "lib/base/log.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "lib/base/fs.h"
#include "t/unit/tap.h"

static char path[64];
static struct buf content;

/* What is in the log file now. */
static struct str logged(void)
{
	struct err e;

	buf_clear(&content);
	fs_read_file(path, 10 << 20, &content, &e);
	return buf_str(&content);
}

static size_t count_lines(struct str s)
{
	size_t n = 0;

	while (s.n > 0) {
		str_cut(&s, '\n');
		n++;
	}
	return n;
}

static void levels(void)
{
	char want[128];
	char long_text[3000];

	log_info("x=%d", 5);
	is_int((long long)logged().n, 0, "nothing is written before the flush");
	log_flush();
	snprintf(want, sizeof want, " gatepost/test[%ld]: x=5\n", (long)getpid());
	ok(str_ends(logged(), str_z(want)), "the form of a line: %s", buf_z(&content));
	ok(content.n > 16 && content.p[3] == ' ' && content.p[9] == ':' && content.p[15] == ' ', "time in front");
	log_warn("w");
	log_error("e");
	log_debug("not shown");
	log_verbose(true);
	log_debug("d");
	log_flush();
	ok(str_find(logged(), STR("]: warning: w\n")) > 0, "warning");
	ok(str_find(logged(), STR("]: error: e\n")) > 0, "error");
	ok(str_find(logged(), STR("]: d\n")) > 0 && str_find(logged(), STR("not shown")) < 0, "debug only when verbose");
	log_info("%s", "a\r\nb\x1b[c\x80");
	log_flush();
	ok(str_ends(logged(), STR("]: a??b?[c?\n")), "control bytes are replaced");
	memset(long_text, 'y', sizeof long_text);
	long_text[sizeof long_text - 1] = '\0';
	log_info("%s", long_text);
	log_flush();
	is_int((long long)logged().n - str_rchr(buf_str(&content), ' '), 2002, "text is cut at 2000 octets");
}

static void forks(void)
{
	int status = 0;
	pid_t child;

	log_info("before the fork");
	child = fork();
	if (child == 0) {
		fclose(stderr);
		close(STDERR_FILENO);
		log_fatal("child's end");
	}
	waitpid(child, &status, 0);
	ok(WIFEXITED(status) && WEXITSTATUS(status) == 1, "fatal exits 1");
	ok(str_ends(logged(), STR("]: fatal: child's end\n")), "and is written at once");
	ok(str_find(logged(), STR("before the fork")) < 0, "without the parent's lines");
	log_flush();
	ok(str_ends(logged(), STR("]: before the fork\n")), "which the parent writes");
}

static void rotation(void)
{
	char old[80];

	snprintf(old, sizeof old, "%s.1", path);
	rename(path, old);
	log_info("to the old file");
	log_flush();
	is_int(access(path, F_OK), -1, "not reopened by itself");
	log_info("still to the old file");
	log_reopen();
	log_info("to the new file");
	log_flush();
	is_int((long long)count_lines(logged()), 1, "reopened");
	unlink(old);
}

/* Standard output is a pipe that nobody reads: logging goes on, lines are counted, and reported when somebody reads. */
static void stuck(void)
{
	static char drain[1 << 16];
	int fds[2], kept = dup(STDOUT_FILENO);
	struct buf got = { 0 };
	bool opened;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return;
	dup2(fds[1], STDOUT_FILENO);
	opened = log_open("gatepost/test", "/dev/stdout");
	for (int i = 0; i < 20000; i++)
		log_info("line %d is one of very many that are written into a pipe", i);
	log_flush();
	fcntl(fds[0], F_SETFL, O_NONBLOCK);
	for (int i = 0; i < 100; i++) {
		ssize_t n;

		while ((n = read(fds[0], drain, sizeof drain)) > 0)
			buf_addn(&got, drain, (size_t)n);
		log_flush();
	}
	dup2(kept, STDOUT_FILENO);
	ok(opened, "standard output opened");
	ok(count_lines(buf_str(&got)) < 20000 && count_lines(buf_str(&got)) > 1000, "some lines came: %zu", count_lines(buf_str(&got)));
	ok(str_find(buf_str(&got), STR("log lines lost while")) > 0, "the loss is reported");
	ok((fcntl(STDOUT_FILENO, F_GETFL) & O_NONBLOCK) == 0, "standard output itself stays blocking");
	buf_done(&got);
	close(kept);
}

int main(void)
{
	snprintf(path, sizeof path, "/tmp/gatepost-log-%ld", (long)getpid());
	unlink(path);
	ok(!log_open("gatepost/test", "/no/such/dir/file"), "a file that cannot be opened");
	ok(!log_open("gatepost/test", "nosuchfacility"), "a facility that is none");
	ok(log_open("gatepost/test", path), "opened");
	levels();
	forks();
	rotation();
	stuck();
	ok(log_open("gatepost/test", "local3"), "syslog opens, with or without a daemon");
	log_info("to syslog");
	log_flush();
	buf_done(&content);
	unlink(path);
	return done_testing();
}
