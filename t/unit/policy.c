/* t/unit/policy.c - both ends of the policy protocol over a pair of sockets. */
#include "lib/proto/policy.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/net/fiber.h"
#include "lib/net/loop.h"
#include "t/unit/tap.h"

static void make_pair(struct stream **a, struct stream **b)
{
	int fds[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
		skip_all("no socket pairs");
	*a = stream_new(fds[0]);
	*b = stream_new(fds[1]);
}

static void test_round_trip(struct arena *a)
{
	struct stream *left, *right;
	struct policy_request r = { .count = 0 }, got;
	struct err e = ERR_INIT;

	make_pair(&left, &right);
	policy_add(&r, "request", STR("smtpd_access_policy"));
	policy_add(&r, "helo_name", STR("a=b\r\nsender=forged"));
	policy_add(&r, "sender", STR_NONE);
	ok(policy_send_answer(left, &r, deadline_in(1000), &e) == 0, "sent");
	ok(policy_receive(right, a, &got, deadline_in(1000), &e) == 0, "received");
	is_int((long long)got.count, 3, "three attributes");
	is_str(policy_get(&got, "helo_name"), STR("a=b??sender=forged"), "line ends in a value cannot make attributes");
	is_str(policy_get(&got, "sender"), STR_NONE, "an empty value");
	is_str(policy_get(&got, "nothing"), STR_NONE, "an absent one");
	stream_close(left);
	is_int(policy_receive(right, a, &got, deadline_in(1000), &e), 1, "closed between requests");
	stream_close(right);
}

static const struct {
	const char *text, *what;
} bad[] = {
	{ "nonsense\n\n", "no equals sign" },
	{ "=x\n\n", "no name" },
	{ "a=b\r\n\n", "a carriage return" },
	{ "a=b\n", "closed inside a request" },
	{ "a=", "closed inside a line" },
};

static void test_bad(struct arena *a)
{
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct stream *left, *right;
		struct policy_request got;
		struct err e = ERR_INIT;

		make_pair(&left, &right);
		stream_write(left, str_z(bad[i].text), deadline_in(1000));
		stream_flush(left, deadline_in(1000));
		stream_close(left);
		is_int(policy_receive(right, a, &got, deadline_in(1000), &e), -1, bad[i].what);
		stream_close(right);
	}
}

static void test_limits(struct arena *a)
{
	struct stream *left, *right;
	struct policy_request got;
	struct err e = ERR_INIT;
	struct buf b = { 0 };

	make_pair(&left, &right);
	for (int i = 0; i < 100; i++)
		buf_addf(&b, "name%d=%d\n", i, i);
	buf_addc(&b, '\n');
	stream_write(left, buf_str(&b), deadline_in(1000));
	stream_flush(left, deadline_in(1000));
	is_int(policy_receive(right, a, &got, deadline_in(1000), &e), 0, "more attributes than we keep");
	is_int((long long)got.count, POLICY_ATTRS_MAX, "the rest is ignored");
	buf_clear(&b);
	buf_addz(&b, "long=");
	while (b.n < POLICY_LINE_MAX)
		buf_addc(&b, 'x');
	buf_addz(&b, "\n\n");
	stream_write(left, buf_str(&b), deadline_in(1000));
	stream_flush(left, deadline_in(1000));
	is_int(policy_receive(right, a, &got, deadline_in(1000), &e), -1, "a line beyond the limit");
	diag("%s", e.text);
	buf_done(&b);
	stream_close(left);
	stream_close(right);
	make_pair(&left, &right);
	is_int(policy_receive(right, a, &got, deadline_in(50), &e), -1, "silence ends with the deadline");
	stream_close(left);
	stream_close(right);
}

static void run_tests(void *arg)
{
	test_round_trip(arg);
	test_bad(arg);
	test_limits(arg);
	loop_stop();
}

int main(void)
{
	struct arena *a = arena_new("test");

	loop_init();
	fiber_start("test", run_tests, a);
	loop_run();
	arena_free(a);
	return done_testing();
}
