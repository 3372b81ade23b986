/* lib/net/sock.c - socket addresses, listening, accepting, connecting. */
#include "lib/net/sock.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <sys/stat.h>

#include <event2/event.h>

#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/net/fiber.h"
#include "lib/net/loop.h"

#define BACKLOG_MIN 1024
#define RETRY_MS 10 /* a unix socket whose queue is full says so at once */
#define ACCEPT_REST_MS 200 /* until somebody may have closed a descriptor */

/* ---- addresses ---- */

int sock_parse_ip(struct str host, uint16_t port, struct sock_addr *out, struct err *e)
{
	char text[INET6_ADDRSTRLEN];
	struct sock_addr a = { 0 };

	if (host.n > 2 && host.p[0] == '[' && host.p[host.n - 1] == ']')
		host = str_sub(host, 1, host.n - 2);
	if (host.n == 0 || host.n >= sizeof text)
		return err_perm(e, "not an IP address: \"%.*s\"", STRF(str_sub(host, 0, 100)));
	memcpy(text, host.p, host.n);
	text[host.n] = '\0';
	if (inet_pton(AF_INET, text, &a.u.in.sin_addr) == 1) {
		a.len = sizeof a.u.in;
		a.u.in.sin_family = AF_INET;
		a.u.in.sin_port = htons(port);
	} else if (inet_pton(AF_INET6, text, &a.u.in6.sin6_addr) == 1) {
		a.len = sizeof a.u.in6;
		a.u.in6.sin6_family = AF_INET6;
		a.u.in6.sin6_port = htons(port);
	} else {
		return err_perm(e, "not an IP address: \"%s\"", text);
	}
	*out = a;
	return 0;
}

int sock_parse_unix(struct str path, struct sock_addr *out, struct err *e)
{
	struct sock_addr a = { 0 };

	if (path.n == 0 || path.n >= sizeof a.u.un.sun_path || str_chr(path, '\0') >= 0)
		return err_perm(e, "not a usable socket path: \"%.*s\"", STRF(str_sub(path, 0, 200)));
	a.u.un.sun_family = AF_UNIX;
	memcpy(a.u.un.sun_path, path.p, path.n);
	a.len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + path.n + 1);
	*out = a;
	return 0;
}

void sock_addr_text(const struct sock_addr *a, struct buf *out)
{
	char text[INET6_ADDRSTRLEN] = "";

	if (a->u.sa.sa_family == AF_UNIX) {
		if (a->len > offsetof(struct sockaddr_un, sun_path)) /* else its owner has no name */
			buf_add(out, str_n(a->u.un.sun_path, strnlen(a->u.un.sun_path, a->len - offsetof(struct sockaddr_un, sun_path))));
		return;
	}
	if (a->u.sa.sa_family == AF_INET)
		inet_ntop(AF_INET, &a->u.in.sin_addr, text, sizeof text);
	else if (a->u.sa.sa_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&a->u.in6.sin6_addr))
		inet_ntop(AF_INET, &a->u.in6.sin6_addr.s6_addr[12], text, sizeof text);
	else if (a->u.sa.sa_family == AF_INET6)
		inet_ntop(AF_INET6, &a->u.in6.sin6_addr, text, sizeof text);
	buf_addz(out, text);
}

uint16_t sock_addr_port(const struct sock_addr *a)
{
	if (a->u.sa.sa_family == AF_INET)
		return ntohs(a->u.in.sin_port);
	return a->u.sa.sa_family == AF_INET6 ? ntohs(a->u.in6.sin6_port) : 0;
}

void sock_addr_set_port(struct sock_addr *a, uint16_t port)
{
	if (a->u.sa.sa_family == AF_INET)
		a->u.in.sin_port = htons(port);
	else
		a->u.in6.sin6_port = htons(port);
}

int sock_local(int fd, struct sock_addr *out)
{
	out->len = sizeof out->u;
	return getsockname(fd, &out->u.sa, &out->len);
}

int sock_peer(int fd, struct sock_addr *out)
{
	out->len = sizeof out->u;
	return getpeername(fd, &out->u.sa, &out->len);
}

/* "addr:port" or path, for error texts. */
static const char *name_of(const struct sock_addr *a, struct buf *b)
{
	bool v6 = a->u.sa.sa_family == AF_INET6;

	buf_addz(b, v6 ? "[" : "");
	sock_addr_text(a, b);
	buf_addz(b, v6 ? "]" : "");
	if (a->u.sa.sa_family != AF_UNIX)
		buf_addf(b, ":%u", sock_addr_port(a));
	return buf_z(b);
}

static int fail(const struct sock_addr *a, const char *what, int errnum, struct err *e)
{
	struct buf b = { 0 };

	err_errno(e, errnum, "%s %s", what, name_of(a, &b));
	buf_done(&b);
	return -1;
}

static void set_nodelay(int fd, const struct sock_addr *a)
{
	int on = 1;

	if (a->u.sa.sa_family != AF_UNIX)
		(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); /* replies are single writes already */
}

/* ---- listening ---- */

static int bind_to(int fd, const struct sock_addr *a)
{
	int on = 1;

	if (a->u.sa.sa_family == AF_UNIX)
		return unlink(a->u.un.sun_path) < 0 && errno != ENOENT ? -1 : bind(fd, &a->u.sa, a->len);
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0)
		return -1;
	if (a->u.sa.sa_family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on) < 0)
		return -1;
	return bind(fd, &a->u.sa, a->len);
}

int sock_listen(const struct sock_addr *a, int backlog, struct err *e)
{
	bool local = a->u.sa.sa_family == AF_UNIX;
	int fd = socket(a->u.sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd >= 0 && bind_to(fd, a) == 0 && (!local || chmod(a->u.un.sun_path, 0666) == 0) &&
		listen(fd, backlog > BACKLOG_MIN ? backlog : BACKLOG_MIN) == 0)
		return fd;
	fail(a, "cannot listen on", errno, e);
	if (fd >= 0)
		close(fd);
	return -1;
}

/* ---- accepting ---- */

static void wake(evutil_socket_t fd, short what, void *arg)
{
	(void)fd; /* the waiter knows */
	(void)what; /* always readable */
	fiber_wake(arg);
}

static void wait_readable(int fd)
{
	struct event *ev = event_new(loop_base(), fd, EV_READ, wake, fiber_self());

	check(ev != NULL && fiber_self() != NULL);
	if (event_add(ev, NULL) == 0)
		fiber_wait(DEADLINE_NEVER);
	event_free(ev);
}

int sock_accept(int listen_fd, struct sock_addr *peer)
{
	for (;;) {
		int fd;

		peer->len = sizeof peer->u;
		fd = accept4(listen_fd, &peer->u.sa, &peer->len, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd >= 0) {
			set_nodelay(fd, peer);
			return fd;
		}
		if (errno == EAGAIN)
			wait_readable(listen_fd);
		else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
			fiber_sleep(ACCEPT_REST_MS);
		else if (errno == EBADF || errno == EINVAL || errno == ENOTSOCK)
			return -1;
		/* else: that client is gone again (accept(2) has network errors of its connection) */
	}
}

/* ---- connecting ---- */

/* The result of a connect(2) that was in progress. */
static int wait_connected(struct stream *s, int64_t deadline)
{
	int errnum = 0;
	socklen_t n = sizeof errnum;

	if (stream_wait_fd(s, true, deadline) != STREAM_OK)
		return ETIMEDOUT;
	return getsockopt(stream_fd(s), SOL_SOCKET, SO_ERROR, &errnum, &n) < 0 ? errno : errnum;
}

static int begin_connect(int fd, const struct sock_addr *a, int64_t deadline)
{
	while (connect(fd, &a->u.sa, a->len) < 0) {
		if (errno != EAGAIN || a->u.sa.sa_family != AF_UNIX)
			return errno == EINTR ? EINPROGRESS : errno;
		if (clock_mono_ms() >= deadline)
			return ETIMEDOUT;
		fiber_sleep(RETRY_MS);
	}
	return 0;
}

static struct stream *give_up(struct stream *s, const struct sock_addr *a, int errnum, struct err *e)
{
	stream_close(s);
	fail(a, "connect to", errnum, e);
	return NULL;
}

bool sock_can_bind(const struct sock_addr *a, struct err *e)
{
	int fd = socket(a->u.sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool good = fd >= 0 && bind(fd, &a->u.sa, a->len) == 0;

	if (!good)
		fail(a, "cannot send from", errno, e);
	if (fd >= 0)
		close(fd);
	return good;
}

struct stream *sock_connect(const struct sock_addr *a, const struct sock_addr *bind_addr, int64_t deadline, struct err *e)
{
	int fd = socket(a->u.sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), r;
	struct stream *s;

	if (fd < 0) {
		fail(a, "connect to", errno, e);
		return NULL;
	}
	s = stream_new(fd);
	set_nodelay(fd, a);
	if (bind_addr != NULL && bind(fd, &bind_addr->u.sa, bind_addr->len) < 0)
		return give_up(s, bind_addr, errno, e);
	r = begin_connect(fd, a, deadline);
	if (r == EINPROGRESS)
		r = wait_connected(s, deadline);
	return r == 0 ? s : give_up(s, a, r, e);
}
