/* t/unit/pool.c - kept-alive connections: last in first out, age, peers that went away. */
#include "lib/net/pool.h"

#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/net/fiber.h"
#include "lib/net/loop.h"
#include "lib/net/sock.h"
#include "t/unit/tap.h"

#define SOON deadline_in(5000)
#define CLIENTS 16

static struct {
	int fd;
	unsigned taken, open;
	struct stream *client[CLIENTS];
} server;

/* Keeps what comes until the other side closes it. */
static void hold(void *arg)
{
	struct stream *s = arg;
	char c;

	while (stream_read(s, &c, 1, DEADLINE_NEVER) > 0)
		continue;
	stream_close(s);
	server.open--;
}

static void serve(void *arg)
{
	struct sock_addr peer;
	int fd;

	(void)arg;
	while ((fd = sock_accept(server.fd, &peer)) >= 0) {
		struct stream *s = stream_new(fd);

		check(server.taken < CLIENTS);
		server.client[server.taken++] = s;
		server.open++;
		fiber_start("client", hold, s);
	}
}

static struct stream *get(struct pool *p, bool want_reused, const char *name)
{
	struct err e = ERR_INIT;
	bool reused = !want_reused;
	struct stream *s = pool_get(p, SOON, &reused, &e);

	ok(s != NULL && reused == want_reused, "%s (%s)", name, e.text);
	fiber_sleep(5); /* let the server see it */
	return s;
}

static void test_reuse(const char *endpoint)
{
	struct pool *p = pool_new(endpoint, 2, 1000, 10000);
	struct stream *a, *b, *c, *again;

	is_str(str_z(pool_endpoint(p)), str_z(endpoint), "its endpoint");
	a = get(p, false, "a new one");
	b = get(p, false, "another");
	c = get(p, false, "a third");
	pool_put(p, a);
	pool_put(p, b);
	ok(server.open == 3, "all open");
	pool_put(p, c);
	fiber_sleep(5);
	ok(server.open == 2, "the one that waited longest makes room");
	again = get(p, true, "one that was used");
	ok(again == c, "the last that was put back");
	pool_drop(p, again);
	again = get(p, true, "the next");
	ok(again == b, "is the one before");
	stream_write(again, STR("half a request"), SOON);
	pool_put(p, again);
	fiber_sleep(5);
	ok(server.open == 0, "one that was left in the middle is not kept");
	pool_put(p, get(p, false, "none is left"));
	pool_free(p);
	fiber_sleep(5);
	ok(server.open == 0, "the pool takes its connections with it");
	pool_free(NULL);
}

static void test_stale(const char *endpoint)
{
	struct pool *p = pool_new(endpoint, 4, 1000, 10000);
	struct stream *s = get(p, false, "a new one");

	stream_write(server.client[server.taken - 1], STR("surprise"), SOON);
	stream_flush(server.client[server.taken - 1], SOON);
	pool_put(p, s);
	s = get(p, false, "one whose peer spoke out of turn is not used again");
	pool_put(p, s);
	shutdown(stream_fd(server.client[server.taken - 1]), SHUT_RDWR);
	s = get(p, false, "nor one whose peer is gone");
	pool_put(p, s);
	pool_free(p);
	fiber_sleep(5);
}

static void test_age(const char *endpoint)
{
	struct pool *p = pool_new(endpoint, 4, 40, 10000);
	struct stream *s = get(p, false, "a new one");

	pool_put(p, s);
	fiber_sleep(100);
	ok(server.open == 0, "an idle one is closed without anybody asking");
	pool_free(p);
	p = pool_new(endpoint, 4, 10000, 60);
	s = get(p, false, "a new one");
	pool_put(p, s);
	s = get(p, true, "used twice");
	fiber_sleep(80);
	pool_put(p, s);
	fiber_sleep(5);
	ok(server.open == 0, "one that lived long enough is not kept");
	pool_free(p);
	p = pool_new(endpoint, 4, 10000, -1);
	pool_put(p, get(p, false, "a new one"));
	pool_put(p, get(p, true, "no limit of its life"));
	pool_free(p);
	fiber_sleep(5);
}

static void test_failure(void)
{
	struct pool *p = pool_new("unix:/nonexistent/socket", 4, 40, 10000);
	struct err e = ERR_INIT;
	bool reused = true;

	ok(pool_get(p, SOON, &reused, &e) == NULL && !reused && e.text[0] != '\0', "nobody there: %s", e.text);
	pool_free(p);
}

static void all(void *arg)
{
	struct sock_addr at;
	struct err e = ERR_INIT;
	char endpoint[64];

	(void)arg;
	check(sock_parse_ip(STR("127.0.0.1"), 0, &at, &e) == 0);
	server.fd = sock_listen(&at, 5, &e);
	check(server.fd >= 0 && sock_local(server.fd, &at) == 0);
	snprintf(endpoint, sizeof endpoint, "inet:127.0.0.1:%u", sock_addr_port(&at));
	fiber_start("server", serve, NULL);
	test_reuse(endpoint);
	test_stale(endpoint);
	test_age(endpoint);
	test_failure();
	loop_stop();
}

int main(void)
{
	loop_init();
	fiber_start("test", all, NULL);
	loop_run();
	return done_testing();
}
