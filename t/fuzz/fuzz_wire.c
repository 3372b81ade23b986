/* t/fuzz/fuzz_wire.c - every sentence of the internal protocols out of arbitrary bytes: a frame is put into a socket pair and read by
 * each receiver in turn. First byte: which receiver.
 */
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/net/fiber.h"
#include "lib/net/loop.h"
#include "lib/proto/bounce.h"
#include "lib/proto/cleanup.h"
#include "lib/proto/deliver.h"
#include "lib/proto/notify.h"
#include "lib/proto/rewrite.h"
#include "t/fuzz/fuzz.h"

static struct str input;

static void close_fd(int fd)
{
	if (fd >= 0)
		close(fd);
}

static void read_cleanup(struct stream *s, struct arena *a, int64_t deadline, struct err *e)
{
	struct cleanup_request r;
	enum cleanup_event what;
	struct str chunk;
	unsigned flags;

	if (cleanup_receive_envelope(s, a, &r, deadline, e) == 0)
		(void)cleanup_receive_content(s, a, &what, &chunk, &flags, deadline, e);
	for (size_t i = 0; i < r.milter_fd_count; i++)
		close_fd(r.milter_fds[i]);
}

static void read_one(unsigned which, struct stream *s, struct arena *a)
{
	struct err e = ERR_INIT;
	int64_t deadline = deadline_in(1000);
	struct deliver_request dr;
	struct deliver_answer da;
	struct bounce_request br;
	struct rewrite_question q;
	struct cleanup_answer ca;
	struct notice notice = { .fd = -1 };

	switch (which % 7) {
	case 0:
		read_cleanup(s, a, deadline, &e);
		break;
	case 1:
		(void)cleanup_receive_answer(s, a, &ca, deadline, &e);
		break;
	case 2:
		(void)deliver_receive_request(s, a, &dr, deadline, &e);
		close_fd(dr.fd);
		break;
	case 3:
		(void)deliver_receive_answer(s, a, &da, deadline, &e);
		break;
	case 4:
		(void)bounce_receive_request(s, a, &br, deadline, &e);
		close_fd(br.fd);
		break;
	case 5:
		(void)rewrite_receive(s, a, &q, deadline, &e);
		break;
	default:
		(void)notify_receive(s, a, &notice, deadline, &e);
		close_fd(notice.fd);
	}
}

/* The frame's length is put in front, so that the fuzzer need not find it; half of the inputs say so with their second byte. */
static void feed(int fd, struct str bytes, bool framed)
{
	char head[4];

	for (int i = 0; i < 4; i++)
		head[i] = (char)(unsigned char)(bytes.n >> (8 * i));
	if (framed && write(fd, head, sizeof head) != (ssize_t)sizeof head)
		return;
	if (write(fd, bytes.p, bytes.n) < 0)
		return;
}

static void run(void *arg)
{
	struct arena *a = arena_new("fuzz");
	struct stream *s;
	int pair[2];

	(void)arg; /* the input is global: one run at a time */
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0)
		abort();
	feed(pair[1], str_skip(input, 2), input.p[1] & 1);
	close(pair[1]);
	s = stream_new(pair[0]);
	read_one((unsigned char)input.p[0], s, a);
	stream_close(s);
	arena_free(a);
	loop_stop();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static bool started;

	if (size < 2 || size > 60000)
		return 0;
	if (!started)
		loop_init();
	started = true;
	input = str_n((const char *)data, size);
	fiber_start("fuzz", run, NULL);
	loop_run();
	return 0;
}
