/* t/unit/worker.c - processes that stay for one identity's next task: what crosses to them, what comes back, and that one that dies is noticed. */
#include "lib/mailbox/worker.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/net/fiber.h"
#include "lib/net/loop.h"
#include "t/unit/tap.h"

struct numbers {
	int a;
	bool die;
};

/* "PID a text|text|content of the descriptor" */
static void tell(const struct worker_input *in, struct report *out)
{
	const struct numbers *n = in->fixed;
	char room[32];

	if (n->die)
		_exit(0);
	buf_addf(&out->text, "%ld %d ", (long)getpid(), n->a);
	for (size_t i = 0; i < in->count; i++)
		buf_addf(&out->text, "%s|", in->texts[i].p);
	if (in->fd >= 0)
		buf_addn(&out->text, room, (size_t)pread(in->fd, room, sizeof room, 0));
}

static struct report run(int a, bool die, int fd, int64_t limit)
{
	struct numbers n = { a, die };
	struct worker_task t = { .who = { .uid = getuid(), .gid = getgid() }, .root_allowed = true, .file_limit = limit, .time_limit_ms = 5000, .work = tell };
	struct report r;

	t.in = (struct worker_input){ .fixed = &n, .fixed_size = sizeof n, .texts = { STR("one"), STR(""), STR("three") }, .count = 3, .fd = fd };
	worker_run(&t, &r);
	return r;
}

static long pid_of(const struct report *r)
{
	long pid = 0;

	sscanf(r->text.p, "%ld", &pid);
	return pid;
}

static void facts(void *arg)
{
	int fd = memfd_create("content", MFD_CLOEXEC);
	struct report r;
	long first;

	(void)arg;
	ok(pwrite(fd, "content", 7, 0) == 7, "a file");
	r = run(7, false, -1, 0);
	first = pid_of(&r);
	ok(r.kind == ERR_NONE && first > 0 && first != getpid(), "a process of its own");
	is_str(str_skip(buf_str(&r.text), (size_t)str_chr(buf_str(&r.text), ' ')), STR(" 7 one||three|"), "numbers and texts, an empty one, too");
	buf_done(&r.text);
	for (int i = 0; i < 3; i++) {
		r = run(i, false, fd, 0);
		is_int(pid_of(&r), first, "it stays");
		ok(str_ends(buf_str(&r.text), STR("|content")), "and gets another descriptor");
		buf_done(&r.text);
	}
	r = run(1, false, fd, 1000000);
	ok(pid_of(&r) != first, "another limit is another process");
	buf_done(&r.text);
	r = run(1, true, fd, 0);
	is_int(r.kind, ERR_TEMP, "one that dies at work");
	buf_done(&r.text);
	r = run(1, false, fd, 0);
	ok(r.kind == ERR_NONE && pid_of(&r) != first, "the next one is new");
	kill((pid_t)pid_of(&r), SIGKILL);
	buf_done(&r.text);
	fiber_sleep(50);
	r = run(1, false, fd, 0);
	is_int(r.kind, ERR_NONE, "one that died while it waited is not used");
	first = pid_of(&r);
	buf_done(&r.text);
	worker_drain();
	r = run(1, false, -1, 0);
	ok(pid_of(&r) != first, "after the end of service none stays");
	buf_done(&r.text);
	close(fd);
	loop_stop();
}

int main(void)
{
	loop_init();
	fiber_start("test", facts, NULL);
	loop_run();
	return done_testing();
}
