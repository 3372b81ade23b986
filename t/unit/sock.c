/* t/unit/sock.c - addresses in and out of text, listening, connecting by address and by endpoint text. */
#include "lib/net/sock.h"

#include <errno.h>
#include <sys/stat.h>

#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/net/dns.h"
#include "lib/net/fiber.h"
#include "lib/net/loop.h"
#include "t/unit/tap.h"

#define SOON deadline_in(5000)

static char dir[] = "/tmp/gatepost-sock-XXXXXX";

/* ---- text ---- */

static const struct {
	const char *in, *out; /* out NULL: refused */
	int family;
} addresses[] = {
	{ "192.0.2.1", "192.0.2.1", AF_INET },
	{ "[192.0.2.1]", "192.0.2.1", AF_INET },
	{ "2001:db8::1", "2001:db8::1", AF_INET6 },
	{ "[2001:DB8:0:0::1]", "2001:db8::1", AF_INET6 },
	{ "::ffff:192.0.2.1", "192.0.2.1", AF_INET6 }, /* shown as what it is */
	{ "::", "::", AF_INET6 },
	{ "", NULL, 0 },
	{ "[]", NULL, 0 },
	{ "192.0.2", NULL, 0 },
	{ "192.0.2.1 ", NULL, 0 },
	{ "192.0.2.256", NULL, 0 },
	{ "example.com", NULL, 0 },
	{ "[2001:db8::1", NULL, 0 },
	{ "2001:db8::1%lo", NULL, 0 },
	{ "1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb:cccc", NULL, 0 },
};

static void test_text(void)
{
	struct sock_addr a;
	struct err e = ERR_INIT;
	char longest[200];

	for (size_t i = 0; i < sizeof addresses / sizeof *addresses; i++) {
		struct buf b = { 0 };
		int r = sock_parse_ip(str_z(addresses[i].in), 2525, &a, &e);

		ok(r == (addresses[i].out != NULL ? 0 : -1), "\"%s\"", addresses[i].in);
		if (r == 0) {
			sock_addr_text(&a, &b);
			is_str(buf_str(&b), str_z(addresses[i].out), "as text");
			ok(a.u.sa.sa_family == addresses[i].family && sock_addr_port(&a) == 2525, "family and port");
		}
		buf_done(&b);
	}
	memset(longest, 'x', sizeof longest);
	is_int(sock_parse_unix(str_n(longest, 107), &a, &e), 0, "a long path");
	is_int(sock_parse_unix(str_n(longest, 108), &a, &e), -1, "too long");
	is_int(sock_parse_unix(STR_NONE, &a, &e), -1, "empty");
	is_int(sock_parse_unix(STR("a\0b"), &a, &e), -1, "with a NUL");
}

/* ---- a server ---- */

struct server {
	struct sock_addr at;
	int fd;
	unsigned taken;
};

static void serve(void *arg)
{
	struct server *v = arg;
	struct sock_addr peer;
	int fd;

	while ((fd = sock_accept(v->fd, &peer)) >= 0) {
		struct stream *s = stream_new(fd);

		v->taken++;
		stream_write(s, STR("hello\n"), SOON);
		stream_flush(s, SOON);
		stream_close(s);
	}
}

/* false: this machine has no such addresses. */
static bool start_server(struct server *v, const char *where, uint16_t port)
{
	struct err e = ERR_INIT;
	int r = where[0] == '/' ? sock_parse_unix(str_z(where), &v->at, &e) : sock_parse_ip(str_z(where), port, &v->at, &e);

	check(r == 0);
	v->fd = sock_listen(&v->at, 5, &e);
	if (v->fd < 0)
		return false;
	check(sock_local(v->fd, &v->at) == 0);
	fiber_start("server", serve, v);
	return true;
}

static void greeted(struct stream *s, const struct err *e, const char *how)
{
	struct buf line = { 0 };

	ok(s != NULL && stream_read_line(s, &line, 100, SOON) == STREAM_OK && str_eqz(buf_str(&line), "hello\n"), "%s: %s", how,
		s == NULL ? e->text : buf_z(&line));
	stream_close(s);
	buf_done(&line);
}

static void endpoint(const char *text, const char *how)
{
	struct err e = ERR_INIT;

	greeted(sock_connect_endpoint(str_z(text), SOON, &e), &e, how);
}

static void refused(const char *text, const char *why)
{
	struct err e = ERR_INIT;
	struct stream *s = sock_connect_endpoint(str_z(text), deadline_in(500), &e);

	ok(s == NULL && strstr(e.text, why) != NULL, "%s: %s", text, e.text);
	stream_close(s);
}

/* ---- connecting ---- */

static void test_inet(struct server *v)
{
	struct err e = ERR_INIT;
	struct sock_addr bind_to, peer, local;
	char text[64];
	struct stream *s;

	check(start_server(v, "127.0.0.1", 0));
	greeted(sock_connect(&v->at, NULL, SOON, &e), &e, "by address");
	check(sock_parse_ip(STR("127.0.0.7"), 0, &bind_to, &e) == 0);
	s = sock_connect(&v->at, &bind_to, SOON, &e);
	check(s != NULL);
	ok(sock_local(stream_fd(s), &local) == 0 && local.u.in.sin_addr.s_addr == bind_to.u.in.sin_addr.s_addr,
		"from an address of our choice");
	ok(sock_peer(stream_fd(s), &peer) == 0 && sock_addr_port(&peer) == sock_addr_port(&v->at), "to the right one");
	greeted(s, &e, "which works");
	snprintf(text, sizeof text, "inet:127.0.0.1:%u", sock_addr_port(&v->at));
	endpoint(text, text);
	endpoint(text + 5, text + 5);
	snprintf(text, sizeof text, "inet:[127.0.0.1]:%u", sock_addr_port(&v->at));
	endpoint(text, text);
	snprintf(text, sizeof text, "inet:LocalHost:%u", sock_addr_port(&v->at));
	endpoint(text, text);
	ok(v->taken == 6, "all of them arrived (%u)", v->taken);
}

static void test_second_address(void)
{
	struct server v6 = { .fd = -1 };
	char text[64];

	if (!start_server(&v6, "::1", 0)) {
		ok(true, "no IPv6 here");
		return;
	}
	snprintf(text, sizeof text, "inet:localhost:%u", sock_addr_port(&v6.at));
	endpoint(text, "localhost also means ::1");
	snprintf(text, sizeof text, "inet:[::1]:%u", sock_addr_port(&v6.at));
	endpoint(text, text);
}

static void test_unix(struct server *v)
{
	char path[64], text[80];
	struct stat st;
	struct err e = ERR_INIT;
	int again;

	snprintf(path, sizeof path, "%s/socket", dir);
	check(start_server(v, path, 0));
	ok(stat(path, &st) == 0 && (st.st_mode & 0777) == 0666, "anybody may connect");
	snprintf(text, sizeof text, "unix:%s", path);
	endpoint(text, text);
	snprintf(text, sizeof text, "local:%s", path);
	endpoint(text, text);
	again = sock_listen(&v->at, 5, &e);
	ok(again >= 0, "a socket left by another is replaced");
	close(again);
	refused(text, "Connection refused");
	unlink(path);
	refused(text, "No such file");
}

/* Nobody accepts: the queue of a unix socket is full at once, and empties later. */
static void test_full_queue(void)
{
	char path[64], text[80];
	struct sock_addr at;
	struct stream *s[3] = { 0 };
	struct err e = ERR_INIT;
	int fd, i = 0;

	snprintf(path, sizeof path, "%s/full", dir);
	check(sock_parse_unix(str_z(path), &at, &e) == 0);
	fd = sock_listen(&at, 5, &e);
	check(fd >= 0 && listen(fd, 0) == 0);
	snprintf(text, sizeof text, "unix:%s", path);
	while (i < 3 && (s[i] = sock_connect(&at, NULL, deadline_in(50), &e)) != NULL)
		i++;
	ok(i > 0 && i < 3, "a queue that is full (%d): %s", i, e.text);
	refused(text, "timed out");
	close(accept(fd, NULL, NULL));
	ok((s[i] = sock_connect(&at, NULL, SOON, &e)) != NULL, "has room again: %s", e.text);
	for (i = 0; i < 3; i++)
		stream_close(s[i]);
	close(fd);
	unlink(path);
}

static void test_refused(void)
{
	struct sock_addr a;
	struct err e = ERR_INIT;
	char text[64];
	int fd;

	check(sock_parse_ip(STR("127.0.0.1"), 0, &a, &e) == 0);
	fd = sock_listen(&a, 5, &e);
	check(fd >= 0 && sock_local(fd, &a) == 0);
	close(fd);
	snprintf(text, sizeof text, "inet:127.0.0.1:%u", sock_addr_port(&a));
	refused(text, "Connection refused");
	refused("inet:127.0.0.1", "no such port");
	refused("127.0.0.1", "no port");
	refused("inet:127.0.0.1:0", "no such port");
	refused("inet:127.0.0.1:65536", "no such port");
	refused("inet:127.0.0.1:nonsense", "no such port");
	refused("unix:", "not a usable socket path");
	refused("", "no port");
	ok(sock_accept(-1, &a) == -1 && errno == EBADF, "accepting on no descriptor");
}

static void all(void *arg)
{
	static struct server inet, local;

	(void)arg;
	test_text();
	test_inet(&inet);
	test_second_address();
	test_unix(&local);
	test_full_queue();
	test_refused();
	loop_stop();
}

int main(void)
{
	struct err e = ERR_INIT;

	check(mkdtemp(dir) != NULL);
	loop_init();
	check(dns_init("127.0.0.1@9", &e) == 0); /* never asked */
	fiber_start("test", all, NULL);
	loop_run();
	rmdir(dir);
	return done_testing();
}
