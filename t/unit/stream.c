/* t/unit/stream.c - byte streams over socket pairs: lines, peeking, deadlines, large writes, descriptors, idleness, memory. */
#include "lib/net/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>

#if HAVE_VALGRIND
#include <valgrind/valgrind.h>
#endif

#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/net/fiber.h"
#include "lib/net/loop.h"
#include "lib/net/sock.h"
#include "t/unit/tap.h"

/* Tools that watch memory have some of their own. */
#if defined(__SANITIZE_ADDRESS__)
#define MEMORY_IS_OURS false
#elif HAVE_VALGRIND
#define MEMORY_IS_OURS (!RUNNING_ON_VALGRIND)
#else
#define MEMORY_IS_OURS true
#endif

#define SOON deadline_in(5000)
#define BIG (3u * 1024 * 1024)

static void pair(int family, int fd[2])
{
	struct sock_addr a;
	struct err e;
	int listener;

	if (family == AF_UNIX) {
		check(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd) == 0);
		return;
	}
	check(sock_parse_ip(STR("127.0.0.1"), 0, &a, &e) == 0);
	listener = sock_listen(&a, 5, &e);
	check(listener >= 0 && sock_local(listener, &a) == 0);
	fd[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	check(fd[0] >= 0 && connect(fd[0], &a.u.sa, a.len) == 0);
	fd[1] = sock_accept(listener, &a);
	check(fd[1] >= 0);
	close(listener);
}

/* ---- lines ---- */

static void test_lines(int family)
{
	int fd[2];
	struct stream *s;
	struct buf line = { 0 };

	pair(family, fd);
	s = stream_new(fd[0]);
	check(write(fd[1], "HELO a\r\nMAIL\nlong line here\r\nrest", 33) == 33);
	is_int(stream_read_line(s, &line, 100, SOON), STREAM_OK, "a line");
	is_str(buf_str(&line), STR("HELO a\r\n"), "with its line end");
	is_int(stream_read_line(s, &line, 100, SOON), STREAM_OK, "a line that ends in LF alone");
	is_str(buf_str(&line), STR("MAIL\n"), "as it is");
	is_int(stream_read_line(s, &line, 9, SOON), STREAM_TOO_LONG, "too long");
	is_str(buf_str(&line), STR("long line"), "its beginning");
	is_int(stream_read_line(s, &line, 100, SOON), STREAM_OK, "its rest is still there");
	is_str(buf_str(&line), STR(" here\r\n"), "all of it");
	is_int(stream_read_line(s, &line, 100, deadline_in(10)), STREAM_TIMEOUT, "no end in time");
	is_str(buf_str(&line), STR("rest"), "what came before the timeout");
	check(write(fd[1], "\n", 1) == 1);
	is_int(stream_read_line(s, &line, 100, SOON), STREAM_OK, "a timeout is no end");
	is_int(stream_read_line(s, &line, 0, SOON), STREAM_TOO_LONG, "no room at all");
	shutdown(fd[1], SHUT_WR);
	is_int(stream_read_line(s, &line, 100, SOON), STREAM_EOF, "the peer has said all");
	is_int(stream_read_line(s, &line, 100, SOON), STREAM_EOF, "and stays so");
	is_int(stream_write(s, STR("221 bye\r\n"), SOON), STREAM_OK, "but can be answered");
	is_int(stream_flush(s, SOON), STREAM_OK, "which arrives");
	stream_close(s);
	close(fd[1]);
	buf_done(&line);
}

/* ---- peeking ---- */

static void test_peek(void)
{
	int fd[2];
	struct stream *s;
	struct str view = STR_NONE;
	char text[10];
	static char much[70000];

	pair(AF_UNIX, fd);
	s = stream_new(fd[0]);
	ok(!stream_input_ready(s), "nothing there");
	is_int(stream_peek(s, &view, deadline_in(0)), STREAM_TIMEOUT, "a deadline of now");
	check(write(fd[1], "abcdef", 6) == 6);
	ok(stream_input_ready(s), "something there");
	is_int(stream_peek(s, &view, SOON), STREAM_OK, "peek");
	is_str(view, STR("abcdef"), "shows it");
	is_int((long long)stream_buffered(s), 6, "and leaves it");
	stream_consume(s, 2);
	is_int(stream_peek_more(s, 4, &view, deadline_in(5)), STREAM_TIMEOUT, "no more of it");
	is_int(stream_read(s, text, 3, SOON), 3, "read what is there");
	is_str(str_n(text, 3), STR("cde"), "after what was consumed");
	is_int(stream_read_full(s, text, 2, deadline_in(5)), STREAM_TIMEOUT, "half of what is wanted");
	check(write(fd[1], "0123456789", 10) == 10);
	is_int(stream_read_full(s, text, 10, SOON), STREAM_OK, "all of it");
	is_str(str_n(text, 10), STR("0123456789"), "in order");
	memset(much, 'x', sizeof much);
	for (size_t at = 0; at < sizeof much; at += 10000)
		check(write(fd[1], much, 10000) == 10000);
	is_int(stream_peek_more(s, 65535, &view, SOON), STREAM_OK, "64 KiB can be peeked at");
	is_int((long long)view.n, 65536, "not more");
	stream_consume(s, view.n);
	is_int(stream_peek(s, &view, SOON), STREAM_OK, "the rest");
	is_int((long long)view.n, 70000 - 65536, "all of the rest");
	stream_consume(s, 1);
	stream_drop_input(s);
	ok(!stream_input_ready(s), "dropped");
	close(fd[1]);
	ok(stream_input_ready(s), "the end is news, too");
	stream_close(s);
}

/* ---- much data ---- */

struct sink {
	struct stream *s;
	size_t got;
	bool wrong, ended;
};

static void swallow(void *arg)
{
	struct sink *k = arg;
	static char part[30000];
	ssize_t n;

	while ((n = stream_read(k->s, part, k->got % 3 == 0 ? 1000 : sizeof part, SOON)) > 0) {
		for (ssize_t i = 0; i < n; i++, k->got++)
			if (part[i] != (char)(k->got * 31 % 251))
				k->wrong = true;
	}
	k->ended = true;
}

static char *pattern(void)
{
	char *p = mem_alloc(BIG);

	for (size_t i = 0; i < BIG; i++)
		p[i] = (char)(i * 31 % 251);
	return p;
}

static void write_pieces(struct stream *s, char *p)
{
	struct iovec iov[200];
	size_t at = 0;

	for (int i = 0; i < 200; i++) {
		iov[i] = (struct iovec){ p + at, i % 7 == 0 ? 0 : 4001 };
		at += iov[i].iov_len;
	}
	is_int(stream_write(s, str_n(p, 0), SOON), STREAM_OK, "nothing");
	is_int(stream_writev(s, iov, 200, SOON), STREAM_OK, "a long vector");
	for (; at < BIG / 2; at += 1000)
		if (stream_write(s, str_n(p + at, 1000), SOON) != STREAM_OK)
			break;
	ok(stream_unsent(s) < STREAM_OUT_MAX, "the buffer is bounded");
	is_int(stream_write(s, str_n(p + at, BIG - at), SOON), STREAM_OK, "more than the buffer holds");
	is_int(stream_flush(s, SOON), STREAM_OK, "and the rest");
	is_int((long long)stream_unsent(s), 0, "nothing is left");
}

static void test_much(int family)
{
	int fd[2];
	struct sink k = { 0 };
	struct stream *s;
	char *p = pattern();

	pair(family, fd);
	s = stream_new(fd[0]);
	k.s = stream_new(fd[1]);
	fiber_start("sink", swallow, &k);
	write_pieces(s, p);
	stream_close(s);
	while (!k.ended)
		fiber_sleep(1);
	is_int((long long)k.got, BIG, "all octets arrive");
	ok(!k.wrong, "the right ones");
	stream_close(k.s);
	mem_free(p);
}

/* ---- a peer that does not read, one that is gone ---- */

static void test_trouble(int family)
{
	int fd[2];
	struct stream *s;
	char *p = pattern();
	char one;
	int r = STREAM_OK;

	pair(family, fd);
	s = stream_new(fd[0]);
	for (int i = 0; i < 20 && r == STREAM_OK; i++) /* the kernel takes a few megabytes */
		r = stream_write(s, str_n(p, BIG), deadline_in(20));
	is_int(r, STREAM_TIMEOUT, "a peer that does not read");
	is_int(stream_write(s, STR("x"), SOON), STREAM_TIMEOUT, "output has failed for good");
	is_int(stream_read(s, &one, 1, deadline_in(5)), STREAM_TIMEOUT, "input has not");
	stream_close(s);
	close(fd[1]);
	pair(family, fd);
	s = stream_new(fd[0]);
	close(fd[1]);
	for (int i = 0; i < 20 && (r = stream_write(s, str_n(p, STREAM_OUT_MAX), SOON)) == STREAM_OK; i++)
		fiber_sleep(1);
	is_int(r, STREAM_EOF, "a peer that is gone");
	is_int(stream_flush(s, SOON), STREAM_EOF, "stays gone");
	ok(stream_errno(s) == EPIPE || stream_errno(s) == ECONNRESET, "%s", stream_strerror(STREAM_EOF, s));
	ok(!stream_idle_ok(s), "not fit to be kept");
	stream_close(s);
	mem_free(p);
	stream_close(NULL);
}

/* The last bytes and the end come together, after a wait: the end must not be missed. */
static void say_and_leave(void *arg)
{
	int fd = *(int *)arg;

	fiber_sleep(5);
	check(write(fd, "bye\n", 4) == 4);
	close(fd);
}

static void test_end_with_data(int family)
{
	int fd[2];
	struct stream *s;
	struct buf line = { 0 };

	pair(family, fd);
	s = stream_new(fd[0]);
	fiber_start("leaves", say_and_leave, &fd[1]);
	is_int(stream_read_line(s, &line, 100, SOON), STREAM_OK, "the last line");
	is_int(stream_read_line(s, &line, 100, SOON), STREAM_EOF, "the end that came with it");
	stream_close(s);
	buf_done(&line);
}

/* Request and answer many times: each wait must be ended by the loop. */
static void echo(void *arg)
{
	struct stream *s = arg;
	struct buf line = { 0 };

	while (stream_read_line(s, &line, 100, deadline_in(60000)) == STREAM_OK)
		if (stream_write(s, buf_str(&line), SOON) < 0 || stream_flush(s, SOON) < 0)
			break;
	buf_done(&line);
	stream_close(s);
}

static void test_dialogue(int family, const char *name)
{
	int fd[2], good = 0;
	struct stream *s;
	struct buf line = { 0 };
	struct timespec a, b;

	pair(family, fd);
	s = stream_new(fd[0]);
	fiber_start("echo", echo, stream_new(fd[1]));
	clock_gettime(CLOCK_MONOTONIC, &a);
	for (int i = 0; i < 20000; i++) {
		stream_printf(s, SOON, "%d\n", i);
		if (stream_flush(s, SOON) == STREAM_OK && stream_read_line(s, &line, 100, SOON) == STREAM_OK &&
			strtol(buf_z(&line), NULL, 10) == i)
			good++;
	}
	clock_gettime(CLOCK_MONOTONIC, &b);
	is_int(good, 20000, name);
	diag("%.2f us for an exchange of lines between two fibers over %s",
		((double)(b.tv_sec - a.tv_sec) * 1e9 + (double)(b.tv_nsec - a.tv_nsec)) / 20000 / 1000, name);
	stream_close(s);
	fiber_sleep(2);
	buf_done(&line);
}

/* ---- descriptors ---- */

static bool same_file(int a, int b)
{
	struct stat x, y;

	return fstat(a, &x) == 0 && fstat(b, &y) == 0 && x.st_ino == y.st_ino && x.st_dev == y.st_dev;
}

static void test_fds(void)
{
	int fd[2], fds[STREAM_FDS_MAX], got[STREAM_FDS_MAX + 1], one, count = 0;
	struct stream *a, *b;
	char text[8] = "";

	pair(AF_UNIX, fd);
	a = stream_new(fd[0]);
	b = stream_new(fd[1]);
	for (int i = 0; i < STREAM_FDS_MAX; i++)
		fds[i] = open(i % 2 == 0 ? "/dev/null" : "/dev/zero", O_RDONLY | O_CLOEXEC);
	stream_write(a, STR("one"), SOON);
	is_int(stream_send_fds(a, fds, 1, SOON), STREAM_OK, "send one");
	stream_write(a, STR("many!"), SOON);
	is_int(stream_send_fds(a, fds, STREAM_FDS_MAX, SOON), STREAM_OK, "send as many as can be");
	is_int((long long)stream_take_fds(b, got, 1), 0, "none before the bytes were read");
	is_int(stream_read_full(b, text, 3, SOON), STREAM_OK, "bytes of the first");
	is_int((long long)stream_take_fds(b, &one, 1), 1, "the first descriptor");
	ok(same_file(one, fds[0]), "is the one that was sent");
	ok(fcntl(one, F_GETFD) & FD_CLOEXEC, "and will not be inherited");
	is_int(stream_read_full(b, text, 5, SOON), STREAM_OK, "bytes of the second");
	is_int((long long)stream_take_fds(b, got, 1), 1, "one of many");
	is_int((long long)stream_take_fds(b, got + 1, STREAM_FDS_MAX), STREAM_FDS_MAX - 1, "the others");
	for (int i = 0; i < STREAM_FDS_MAX; i++)
		count += same_file(got[i], fds[i]);
	is_int(count, STREAM_FDS_MAX, "in order");
	stream_write(a, STR("x"), SOON);
	stream_send_fds(a, fds, 2, SOON);
	is_int(stream_read_full(b, text, 1, SOON), STREAM_OK, "two that nobody asks for");
	ok(!stream_idle_ok(b), "the stream is not clean");
	stream_close(a);
	stream_close(b);
	close(one);
	for (int i = 0; i < STREAM_FDS_MAX; i++) {
		close(fds[i]);
		close(got[i]);
	}
	one = open("/dev/null", O_RDONLY | O_CLOEXEC);
	ok(one < fd[1] + 3, "unwanted descriptors were closed (%d)", one);
	close(one);
}

/* ---- idle connections ---- */

static void test_idle(void)
{
	int fd[2];
	struct stream *s;

	pair(AF_UNIX, fd);
	s = stream_new(fd[0]);
	ok(stream_idle_ok(s), "a quiet connection can be used again");
	stream_write(s, STR("x"), SOON);
	ok(!stream_idle_ok(s), "not with unsent output");
	stream_flush(s, SOON);
	ok(stream_idle_ok(s), "when it is sent, again");
	check(write(fd[1], "y", 1) == 1);
	ok(!stream_idle_ok(s), "not when the peer has spoken");
	stream_drop_input(s);
	close(fd[1]);
	ok(!stream_idle_ok(s), "not when it is gone");
	stream_close(s);
}

static void test_other_descriptors(void)
{
	int fd[2];
	struct stream *r, *w;
	char text[10] = "";

	check(pipe2(fd, O_CLOEXEC) == 0);
	r = stream_new(fd[0]);
	w = stream_new(fd[1]);
	is_int(stream_wait_fd(r, false, deadline_in(5)), STREAM_TIMEOUT, "an empty pipe");
	is_int(stream_wait_fd(w, true, deadline_in(5)), STREAM_OK, "can be written to");
	stream_write(w, STR("through"), SOON);
	is_int(stream_flush(w, SOON), STREAM_OK, "write to a pipe");
	is_int(stream_wait_fd(r, false, SOON), STREAM_OK, "it has something");
	is_int(stream_wait_fd(r, false, SOON), STREAM_OK, "and says so until it is read");
	is_int(stream_read(r, text, sizeof text, SOON), 7, "read from a pipe");
	stream_close(w);
	is_int(stream_read(r, text, sizeof text, SOON), STREAM_EOF, "its end");
	stream_close(r);
}

/* ---- what an idle session costs ---- */

#define SESSIONS 1000

/* The kernel's quick counters are too coarse for this; the slow ones are right. */
static long resident(void)
{
	FILE *f = fopen("/proc/self/smaps_rollup", "r");
	char line[256];
	long kilobytes = 0;

	while (f != NULL && fgets(line, sizeof line, f) != NULL)
		if (sscanf(line, "Anonymous: %ld kB", &kilobytes) == 1)
			break;
	if (f != NULL)
		fclose(f);
	return kilobytes * 1024;
}

static void test_memory(void)
{
	int(*fd)[2] = mem_array(SESSIONS, sizeof *fd);
	struct buf line = { 0 };
	long before, each;
	int good = 0;

	for (int i = 0; i < SESSIONS; i++)
		check(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fd[i]) == 0);
	before = resident();
	for (int i = 0; i < SESSIONS; i++)
		fiber_start("echo", echo, stream_new(fd[i][1]));
	for (int i = 0; i < SESSIONS; i++)
		check(write(fd[i][0], "hello\n", 6) == 6);
	fiber_sleep(6500);
	each = (resident() - before) / SESSIONS;
	diag("%ld octets resident for an idle fiber with its stream", each);
	ok(each < 6144 || !MEMORY_IS_OURS, "an idle session is cheap (%ld)", each);
	for (int i = 0; i < SESSIONS; i++) {
		char text[10];

		good += read(fd[i][0], text, sizeof text) == 6;
		close(fd[i][0]);
	}
	is_int(good, SESSIONS, "all have answered");
	while (fiber_count() > 1)
		fiber_sleep(1);
	buf_done(&line);
	mem_free(fd);
}

static void all(void *arg)
{
	static const int family[] = { AF_UNIX, AF_INET };

	(void)arg;
	test_memory(); /* first: what others free would be counted */
	for (int i = 0; i < 2; i++) {
		test_lines(family[i]);
		test_much(family[i]);
		test_trouble(family[i]);
		test_end_with_data(family[i]);
		test_dialogue(family[i], i == 0 ? "a unix socket" : "TCP");
	}
	test_peek();
	test_fds();
	test_idle();
	test_other_descriptors();
	loop_stop();
}

int main(void)
{
	struct rlimit lim;

	check(getrlimit(RLIMIT_NOFILE, &lim) == 0);
	lim.rlim_cur = lim.rlim_max;
	setrlimit(RLIMIT_NOFILE, &lim);
	loop_init();
	fiber_start("test", all, NULL);
	loop_run();
	return done_testing();
}
