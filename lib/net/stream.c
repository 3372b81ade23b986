/* lib/net/stream.c - a stream's life, and its waiting.
 * A descriptor is registered with the loop at most once for each direction, edge triggered, when it is first waited for: a wait costs no
 * system call. This works because everybody tries first and waits only after EAGAIN; what comes later is news, and the loop tells it.
 */
#include "lib/net/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>

#include <event2/event.h>

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/net/fiber.h"
#include "lib/net/loop.h"
#include "lib/net/stream_parts.h"
#include "lib/net/tls.h"

struct stream *stream_new(int fd)
{
	struct stream *s = mem_alloc(sizeof *s);
	int domain, flags = fcntl(fd, F_GETFL);
	socklen_t n = sizeof domain;

	check(flags >= 0);
	if (!(flags & O_NONBLOCK))
		check(fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0);
	s->fd = fd;
	s->is_socket = getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &n) == 0;
	s->is_unix = s->is_socket && domain == AF_UNIX;
	s->born_at = clock_mono_ms();
	return s;
}

struct stream *stream_new_socket(int fd, int family)
{
	struct stream *s = mem_alloc(sizeof *s);

	s->fd = fd;
	s->is_socket = true;
	s->is_unix = family == AF_UNIX;
	s->born_at = clock_mono_ms();
	return s;
}

void stream_close(struct stream *s)
{
	if (s == NULL)
		return;
	check(s->in.waiter == NULL && s->out.waiter == NULL);
	if (s->tls != NULL)
		tls_free(s->tls); /* says goodbye */
	if (s->readable != NULL)
		event_free(s->readable);
	if (s->writable != NULL)
		event_free(s->writable);
	stream_buffer_drop(&s->in.bytes);
	stream_buffer_drop(&s->out.bytes);
	stream_fds_close(s);
	close(s->fd);
	mem_free(s);
}

int stream_fd(const struct stream *s)
{
	return s->fd;
}

int64_t stream_born_at(const struct stream *s)
{
	return s->born_at;
}

int64_t stream_waiting_since(const struct stream *s)
{
	return s->waiting_since;
}

void stream_end_input(struct stream *s)
{
	(void)shutdown(s->fd, SHUT_RD); /* a connection that is gone has ended by itself */
}

void stream_set_tls(struct stream *s, struct tls *t)
{
	check(s->tls == NULL);
	s->tls = t;
}

struct tls *stream_tls(const struct stream *s)
{
	return s->tls;
}

/* ---- how it ends ---- */

int stream_errno(const struct stream *s)
{
	return s->errnum;
}

const char *stream_strerror(enum stream_result r, const struct stream *s)
{
	switch (r) {
	case STREAM_OK:
		return "no error";
	case STREAM_EOF:
		return s->errnum != 0 ? strerror(s->errnum) : "lost connection";
	case STREAM_TIMEOUT:
		return "timeout";
	case STREAM_TOO_LONG:
		return "line too long";
	case STREAM_ERROR:
		break;
	}
	return s->errnum != 0 ? strerror(s->errnum) : "protocol error";
}

int stream_failed(struct stream *s, struct stream_side *side, int errnum)
{
	s->errnum = errnum;
	side->failed = errnum == ECONNRESET || errnum == EPIPE ? STREAM_EOF : STREAM_ERROR;
	return side->failed;
}

/* ---- waiting ---- */

static void tell(struct stream_side *side, bool writable, bool readable)
{
	if (side->waiter == NULL || !(side->for_write ? writable : readable))
		return;
	side->ready = true;
	fiber_wake(side->waiter);
}

static void on_event(evutil_socket_t fd, short what, void *arg)
{
	struct stream *s = arg;
	bool readable = what & (EV_READ | EV_CLOSED), writable = what & EV_WRITE;

	(void)fd; /* s has it */
	if (readable)
		s->drained = false;
	if (what & EV_CLOSED)
		s->peer_done = true;
	tell(&s->in, writable, readable);
	tell(&s->out, writable, readable);
}

static int watch(struct stream *s, bool for_write)
{
	struct event **ev = for_write ? &s->writable : &s->readable;
	short what = for_write ? EV_WRITE : EV_READ | EV_CLOSED;

	if (*ev != NULL)
		return 0;
	*ev = event_new(loop_base(), s->fd, (short)(what | EV_ET | EV_PERSIST), on_event, s);
	check(*ev != NULL);
	return event_add(*ev, NULL);
}

int stream_await(struct stream *s, struct stream_side *side, bool for_write, int64_t deadline)
{
	check(side->waiter == NULL && fiber_self() != NULL);
	if (watch(s, for_write) < 0)
		return stream_failed(s, side, errno);
	side->waiter = fiber_self();
	side->for_write = for_write;
	side->ready = false;
	if (side == &s->in)
		s->waiting_since = clock_mono_ms();
	while (!side->ready && fiber_wait(deadline))
		continue; /* woken for another reason */
	side->waiter = NULL;
	if (side == &s->in)
		s->waiting_since = 0;
	return side->ready ? STREAM_OK : STREAM_TIMEOUT;
}

int stream_wait_fd(struct stream *s, bool for_write, int64_t deadline)
{
	struct pollfd p = { .fd = s->fd, .events = for_write ? POLLOUT : POLLIN };

	/* The caller may not have used up what the last edge told. */
	if (poll(&p, 1, 0) == 1)
		return STREAM_OK;
	return stream_await(s, for_write ? &s->out : &s->in, for_write, deadline);
}
