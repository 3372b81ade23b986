/* t/unit/proto.c - every sentence of the internal protocols, sent by one fiber and received by another over a socket pair; short, long,
 * with descriptors, and malformed.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/mail/dsn.h"
#include "lib/net/fiber.h"
#include "lib/net/loop.h"
#include "lib/net/sock.h"
#include "lib/proto/bounce.h"
#include "lib/proto/cleanup.h"
#include "lib/proto/deliver.h"
#include "lib/proto/notify.h"
#include "lib/proto/rewrite.h"
#include "lib/proto/wire.h"
#include "t/unit/tap.h"

#define SOON deadline_in(5000)

static struct arena *life;

/* ---- two ends ---- */

struct sender {
	void (*run)(struct stream *s);
	struct stream *s;
	bool done;
};

static void run_sender(void *arg)
{
	struct sender *x = arg;

	x->run(x->s);
	x->done = true;
}

/* Start `run` on one end; returns the other. */
static struct stream *against(void (*run)(struct stream *s), struct sender *x)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0)
		return NULL;
	*x = (struct sender){ run, stream_new(pair[0]), false };
	fiber_start("sender", run_sender, x);
	return stream_new(pair[1]);
}

static void end(struct sender *x, struct stream *s)
{
	for (int i = 0; i < 500 && !x->done; i++)
		fiber_sleep(10);
	ok(x->done, "the sender came to its end");
	stream_close(s);
	stream_close(x->s);
}

static bool same_file(int a, int b)
{
	struct stat sa, sb;

	return fstat(a, &sa) == 0 && fstat(b, &sb) == 0 && sa.st_ino == sb.st_ino && sa.st_dev == sb.st_dev;
}

/* ---- samples ---- */

static int sample_fd = -1;
static struct queue_rcpt rcpts[2000];

static struct queue_message message(size_t count)
{
	struct queue_message m = { .flags = QUEUE_8BIT | QUEUE_UTF8,
		.arrival_us = 1764000000123456,
		.sender = STR("s@x.test"),
		.envid = STR("env"),
		.ret = DSN_RET_HDRS,
		.filter = STR("smtp:[127.0.0.1]:10025"),
		.rcpts = rcpts,
		.rcpt_count = count,
		.header_at = 128,
		.header_size = 1,
		.body_at = 129,
		.body_size = 1ull << 40,
		.envelope_at = 7,
		.envelope_size = 8,
		.status_at = 9 };

	memcpy(m.id, "4cXq2T1z0z1F", 13);
	m.client.helo = STR("helo.test");
	m.client.server = STR("192.0.2.1");
	for (size_t i = 0; i < count; i++)
		rcpts[i] = (struct queue_rcpt){ STR("r@y.test"), STR("o@y.test"), STR("rfc822;o@y.test"), DSN_NOTIFY_SUCCESS, i == 1,
			500 + i, (uint32_t)i };
	return m;
}

static void is_message(const struct queue_message *got, size_t count)
{
	struct queue_message want = message(count);
	size_t wrong = 0;

	is_str(str_z(got->id), str_z(want.id), "id");
	is_str(got->sender, want.sender, "sender");
	is_str(got->filter, want.filter, "filter");
	is_str(got->client.helo, want.client.helo, "client's HELO");
	is_str(got->client.server, want.client.server, "client's server");
	ok(got->flags == want.flags && got->arrival_us == want.arrival_us && got->ret == want.ret, "numbers");
	ok(got->body_size == want.body_size && got->status_at == want.status_at, "places");
	is_int((long long)got->rcpt_count, (long long)count, "recipients");
	for (size_t i = 0; i < got->rcpt_count; i++) {
		const struct queue_rcpt *r = &got->rcpts[i];

		wrong += !str_eqz(r->addr, "r@y.test") || !str_eqz(r->orcpt, "rfc822;o@y.test") || r->done != (i == 1) ||
			 r->mark_at != 500 + i || r->index != i || r->notify != DSN_NOTIFY_SUCCESS;
	}
	is_int((long long)wrong, 0, "each as it was");
}

/* ---- wire ---- */

static void send_raw(struct stream *s)
{
	static const char two[] = "\x05\0\0\0\x2a\x04\0\0\0" /* a frame that promises a longer text than it has */
				  "\xff\xff\xff\xff"; /* a frame that no buffer should be made for */

	(void)stream_write(s, str_n(two, sizeof two - 1), SOON);
	(void)stream_flush(s, SOON);
}

static void test_wire(void)
{
	struct sender x;
	struct stream *s = against(send_raw, &x);
	struct wire_in in;
	struct err e = ERR_INIT;

	is_int(wire_receive(s, life, &in, SOON, &e), STREAM_OK, "a frame");
	is_int(wire_get_u8(&in), 42, "its first octet");
	is_int((long long)wire_get_str(&in).n, 0, "a text longer than the frame is empty");
	ok(!wire_ok(&in) && wire_get_u64(&in) == 0 && wire_get_u8(&in) == 0, "and nothing comes after it");
	ok(wire_receive(s, life, &in, SOON, &e) == STREAM_ERROR && e.text[0] != '\0', "a frame of 4 GB is refused: %s", e.text);
	end(&x, s);
}

static void test_counts(void)
{
	struct wire_in in = { STR_INIT("\x03\0\0\0abcdef"), false };

	is_int((long long)wire_get_count(&in, 2), 3, "three of two octets fit");
	in = (struct wire_in){ STR("\x04\0\0\0abcdef"), false };
	ok(wire_get_count(&in, 2) == 0 && !wire_ok(&in), "four do not");
}

/* ---- cleanup ---- */

static char large[300000];

static void send_mail(struct stream *s)
{
	struct str prepend[2] = { STR("X-A: 1"), STR("X-B: 2") }, bcc[1] = { STR("b@x.test") };
	struct cleanup_request r = { .flags = CLEANUP_FIX_HEADERS,
		.m = message(2),
		.prepend = prepend,
		.prepend_count = 2,
		.received = STR("Received: x"),
		.milters = STR("state"),
		.bcc = bcc,
		.bcc_count = 1,
		.milter_fds = { sample_fd, sample_fd },
		.milter_fd_count = 2 };
	struct cleanup_answer a;
	struct err e = ERR_INIT;

	ok(cleanup_send_envelope(s, &r, SOON, &e) == 0 && cleanup_send_content(s, STR("Subject: x\r\n\r\n"), SOON, &e) == 0 &&
			cleanup_send_content(s, str_n(large, sizeof large), SOON, &e) == 0 &&
			cleanup_send_end(s, QUEUE_DOTS, SOON, &e) == 0,
		"sent: %s", e.text);
	ok(cleanup_receive_answer(s, life, &a, SOON, &e) == 0, "answer: %s", e.text);
	ok(a.code.smtp == 451 && a.code.c == 4 && a.code.s == 3 && a.code.d == 1 && a.size == 12345 && a.discarded,
		"numbers of the answer");
	is_str(a.text, STR("Queue file write error"), "text of the answer");
	r.milter_fd_count = 0;
	r.m.rcpt_count = 0;
	ok(cleanup_send_envelope(s, &r, SOON, &e) == 0 && cleanup_send_end(s, 0, SOON, &e) == 0, "a second one on the same connection");
	stream_close(s);
}

static void test_cleanup(void)
{
	struct sender x;
	struct stream *s = against(send_mail, &x);
	struct cleanup_request r;
	struct cleanup_answer a = { .code = CODE(451, 4, 3, 1),
		.text = STR("Queue file write error"),
		.id = STR("4cXq2T1z0z1F"),
		.size = 12345,
		.discarded = true };
	enum cleanup_event what = CLEANUP_CONTENT;
	struct str chunk;
	unsigned flags = 0;
	size_t total = 0;
	struct err e = ERR_INIT;

	if (!ok(cleanup_receive_envelope(s, life, &r, SOON, &e) == 0, "envelope: %s", e.text))
		return;
	is_message(&r.m, 2);
	ok(r.prepend_count == 2 && str_eqz(r.prepend[1], "X-B: 2") && r.bcc_count == 1 && str_eqz(r.bcc[0], "b@x.test"), "lists");
	ok(r.milter_fd_count == 2 && same_file(r.milter_fds[0], sample_fd) && same_file(r.milter_fds[1], sample_fd), "descriptors");
	close(r.milter_fds[0]);
	close(r.milter_fds[1]);
	while (what == CLEANUP_CONTENT && cleanup_receive_content(s, life, &what, &chunk, &flags, SOON, &e) == 0)
		total += chunk.n;
	is_int((long long)total, 14 + (long long)sizeof large, "all content");
	is_int(flags, QUEUE_DOTS, "content flags");
	ok(cleanup_send_answer(s, &a, SOON, &e) == 0, "answered");
	ok(cleanup_receive_envelope(s, life, &r, SOON, &e) == 0 && r.milter_fd_count == 0, "the second one");
	ok(cleanup_receive_content(s, life, &what, &chunk, &flags, SOON, &e) == 0 && what == CLEANUP_END, "has no content");
	is_int(cleanup_receive_envelope(s, life, &r, SOON, &e), 1, "closed between messages");
	x.s = NULL;
	end(&x, s);
}

/* ---- deliver ---- */

static void send_delivery(struct stream *s)
{
	struct deliver_request r = { .m = message(2000), .nexthop = STR("[127.0.0.1]:25"), .active_us = 1, .start_us = 2, .fd = sample_fd };
	struct deliver_answer a;
	struct err e = ERR_INIT;

	ok(deliver_send_request(s, &r, SOON, &e) == 0, "sent: %s", e.text);
	ok(deliver_receive_answer(s, life, &a, SOON, &e) == 0 && a.count == 2, "answer: %s", e.text);
	if (a.count == 2)
		ok(a.results[0].status == DELIVER_SENT && a.results[0].dsn_passed &&
				a.results[0].action == DELIVER_RELAYED && a.results[1].status == DELIVER_BOUNCED &&
				str_eqz(a.results[1].text, "no") && a.results[1].code.smtp == 550,
			"results");
	ok(a.site_down && str_eqz(a.site_text, "refused") && a.site_code.s == 4, "site");
}

static void test_deliver(void)
{
	struct deliver_result results[2] = { { .status = DELIVER_SENT, .relay = STR("r"), .action = DELIVER_RELAYED, .dsn_passed = true },
		{ .status = DELIVER_BOUNCED, .code = CODE(550, 5, 1, 1), .text = STR("no") } };
	struct deliver_answer a = { results, 2, true, STR("refused"), CODE(0, 4, 4, 1) };
	struct sender x;
	struct stream *s = against(send_delivery, &x);
	struct deliver_request r;
	struct err e = ERR_INIT;

	if (!ok(deliver_receive_request(s, life, &r, SOON, &e) == 0, "request with 2000 recipients: %s", e.text))
		return;
	is_message(&r.m, 2000);
	is_str(r.nexthop, STR("[127.0.0.1]:25"), "nexthop");
	ok(r.active_us == 1 && r.start_us == 2 && same_file(r.fd, sample_fd), "times and file");
	close(r.fd);
	ok(deliver_send_answer(s, &a, SOON, &e) == 0, "answered");
	end(&x, s);
}

/* ---- notify ---- */

static void send_notices(struct stream *s)
{
	struct queue_message m = message(1);
	struct err e = ERR_INIT;

	for (int i = 0; i < 3; i++) /* in one go: the receiver must not mix up the descriptors */
		ok(notify_send(s, &m, sample_fd, SOON, &e) == 0, "notice: %s", e.text);
	ok(notify_send_command(s, NOTIFY_FLUSH, "", SOON, &e) == 0 &&
			notify_send_command(s, NOTIFY_FLUSH_ID, "4cXq2T1z0z1F", SOON, &e) == 0 &&
			notify_send_command(s, NOTIFY_FLUSH_SITE, "relay.test", SOON, &e) == 0 &&
			notify_send_command(s, NOTIFY_FLUSH_ID, "../../x", SOON, &e) == 0,
		"commands");
}

static void test_notify(void)
{
	struct sender x;
	struct stream *s = against(send_notices, &x);
	struct notice n;
	struct err e = ERR_INIT;

	fiber_sleep(50); /* let all of it arrive */
	for (int i = 0; i < 3; i++) {
		ok(notify_receive(s, life, &n, SOON, &e) == 0 && n.kind == NOTIFY_MESSAGE, "notice: %s", e.text);
		ok(n.fd >= 0 && same_file(n.fd, sample_fd), "with its file");
		close(n.fd);
	}
	is_message(&n.m, 1);
	ok(notify_receive(s, life, &n, SOON, &e) == 0 && n.kind == NOTIFY_FLUSH && n.fd == -1, "flush");
	ok(notify_receive(s, life, &n, SOON, &e) == 0 && n.kind == NOTIFY_FLUSH_ID, "flush one");
	is_str(str_z(n.m.id), STR("4cXq2T1z0z1F"), "its id");
	ok(notify_receive(s, life, &n, SOON, &e) == 0 && n.kind == NOTIFY_FLUSH_SITE, "flush a site");
	is_str(n.site, STR("relay.test"), "its name");
	is_int(notify_receive(s, life, &n, SOON, &e), -1, "a path is no id");
	end(&x, s);
}

/* ---- bounce ---- */

static void send_bounce(struct stream *s)
{
	struct bounce_rcpt r[1] = { { { .addr = STR("u@x.test"), .index = 7 }, CODE(0, 5, 4, 4), STR("none"), STR("why"), STR("mta"),
		DELIVER_EXPANDED } };
	struct bounce_request q = { BOUNCE_DELAY, message(5), r, 1, 99, true, sample_fd };
	struct err e = ERR_INIT;
	struct str id;
	bool done;

	ok(bounce_send_request(s, &q, SOON, &e) == 0, "sent: %s", e.text);
	ok(bounce_receive_answer(s, life, &done, &id, SOON, &e) == 0 && done, "answer: %s", e.text);
	is_str(id, STR("NEW"), "id of the notification");
}

static void test_bounce(void)
{
	struct sender x;
	struct stream *s = against(send_bounce, &x);
	struct bounce_request q;
	struct err e = ERR_INIT;

	if (!ok(bounce_receive_request(s, life, &q, SOON, &e) == 0, "request: %s", e.text))
		return;
	ok(q.kind == BOUNCE_DELAY && q.m.rcpt_count == 0 && q.retry_until_us == 99 && q.delay_cleared && q.rcpt_count == 1 && same_file(q.fd, sample_fd),
		"request");
	ok(str_eqz(q.rcpts[0].text, "why") && q.rcpts[0].rcpt.index == 7 && q.rcpts[0].action == DELIVER_EXPANDED &&
			q.rcpts[0].code.d == 4,
		"its recipient");
	close(q.fd);
	ok(bounce_send_answer(s, true, STR("NEW"), SOON, &e) == 0, "answered");
	end(&x, s);
}

/* ---- rewrite ---- */

static void send_question(struct stream *s)
{
	struct buf b = { 0 };
	struct err e = ERR_INIT;
	size_t at = wire_begin(&b);

	wire_put_u32(&b, REWRITE_CHECK_KNOWN);
	wire_put_str(&b, STR("s@x.test"));
	wire_put_str(&b, STR("u@x.test"));
	wire_put_str(&b, STR("submission"));
	wire_end(&b, at);
	ok(wire_send(s, &b, NULL, 0, SOON, &e) == 0, "question");
	at = wire_begin(&b);
	wire_put_u32(&b, 0);
	wire_end(&b, at);
	ok(wire_send(s, &b, NULL, 0, SOON, &e) == 0, "half a question");
}

static void test_rewrite(void)
{
	struct sender x;
	struct stream *s = against(send_question, &x);
	struct rewrite_question q;
	struct err e = ERR_INIT;

	ok(rewrite_receive(s, life, &q, SOON, &e) == 0 && q.flags == REWRITE_CHECK_KNOWN, "question");
	is_str(q.address, STR("u@x.test"), "address");
	is_str(q.service, STR("submission"), "service");
	is_int(rewrite_receive(s, life, &q, SOON, &e), -1, "half a question is refused");
	end(&x, s);
}

/* Asking for real: a service that counts its questions. */
static int listen_fd = -1;
static unsigned asked;

static void answer_all(void *arg)
{
	struct stream *s = arg;
	struct rewrite_question q;
	struct err e = ERR_INIT;

	while (rewrite_receive(s, life, &q, SOON, &e) == 0) {
		struct rewrite_answer a = {
			.klass = CLASS_RELAY, .address = q.address, .transport = STR("smtp"), .nexthop = STR("x.test")
		};

		asked++;
		if (str_eqz(q.address, "any@x.test"))
			a.flags = REWRITE_ANY_SENDER;
		if (str_eqz(q.address, "down@x.test"))
			a.temp_fail = 1;
		if (str_eqz(q.address, "crash@x.test") && asked % 2 == 1)
			break;
		if (rewrite_send_answer(s, &a, SOON, &e) < 0)
			break;
	}
	stream_close(s);
}

static void serve(void *arg)
{
	(void)arg;
	for (int i = 0; i < 3; i++) {
		struct sock_addr peer;
		int fd = sock_accept(listen_fd, &peer);

		if (fd >= 0)
			fiber_start("answers", answer_all, stream_new(fd));
	}
}

static const struct {
	const char *sender, *address;
	unsigned asks; /* questions that reach the service */
} asks[] = {
	{ "a@x.test", "u@x.test", 1 }, { "a@x.test", "u@x.test", 0 }, /* from the cache */
	{ "b@x.test", "u@x.test", 1 }, /* may depend on the sender */
	{ "a@x.test", "any@x.test", 1 }, { "b@x.test", "any@x.test", 0 }, /* the service said it does not */
	{ "a@x.test", "down@x.test", 1 }, { "a@x.test", "down@x.test", 1 }, /* trouble is not kept */
	{ "a@x.test", "crash@x.test", 2 }, /* asked again on another connection */
};

static void test_asking(void)
{
	char path[] = "/tmp/gatepost-proto-XXXXXX", endpoint[sizeof path + 5];
	int tmp = mkstemp(path);
	struct sock_addr addr;
	struct err e = ERR_INIT;
	struct rewrite_client *c;

	close(tmp);
	unlink(path);
	snprintf(endpoint, sizeof endpoint, "unix:%s", path);
	if (!ok(sock_parse_unix(str_z(path), &addr, &e) == 0 && (listen_fd = sock_listen(&addr, 10, &e)) >= 0, "listening: %s", e.text))
		return;
	fiber_start("service", serve, NULL);
	c = rewrite_client_new(endpoint, 3000);
	for (size_t i = 0; i < sizeof asks / sizeof *asks; i++) {
		struct rewrite_question q = { .sender = str_z(asks[i].sender), .address = str_z(asks[i].address) };
		struct rewrite_answer a;
		unsigned before = asked;

		if (strcmp(asks[i].address, "crash@x.test") == 0)
			asked = before = 0;
		ok(rewrite_ask(c, life, &q, &a, &e) == 0 && str_eq(a.address, q.address), "%s: %s", asks[i].address, e.text);
		is_int(asked - before, asks[i].asks, "questions asked");
	}
	rewrite_client_free(c);
	unlink(path);
}

static void run(void *arg)
{
	(void)arg;
	test_wire();
	test_counts();
	test_cleanup();
	test_deliver();
	test_notify();
	test_bounce();
	test_rewrite();
	test_asking();
	loop_stop();
}

int main(void)
{
	sample_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	life = arena_new("test");
	memset(large, 'x', sizeof large);
	loop_init();
	fiber_start("test", run, NULL);
	loop_run();
	arena_free(life);
	return done_testing();
}
