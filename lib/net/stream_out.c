/* lib/net/stream_out.c - writing to a stream: collected, then sent together with what the caller holds. */
#include <errno.h>
#include <stdarg.h>
#include <sys/socket.h>

#include "lib/base/format.h"
#include "lib/base/mem.h"
#include "lib/net/stream_parts.h"
#include "lib/net/tls.h"

#define GATHER_MAX 64 /* pieces in one system call; the kernel's limit is 1024 */
#define PRINTF_ROOM 512

/* ---- to the kernel ---- */

/* The caller's pieces, and how much of them is gone. */
struct pieces {
	const struct iovec *iov;
	size_t count, skip; /* skip: octets of the first that are sent */
};

static size_t gather(const struct stream_buffer *b, const struct pieces *more, struct iovec out[GATHER_MAX])
{
	size_t n = 0, used = stream_buffer_used(b), skip = more->skip;

	if (used > 0)
		out[n++] = (struct iovec){ b->p + b->at, used };
	for (size_t i = 0; i < more->count && n < GATHER_MAX; i++) {
		if (more->iov[i].iov_len > skip)
			out[n++] = (struct iovec){ (char *)more->iov[i].iov_base + skip, more->iov[i].iov_len - skip };
		skip = 0;
	}
	return n;
}

static void sent(struct stream_buffer *b, struct pieces *more, size_t n)
{
	size_t used = stream_buffer_used(b), first = n < used ? n : used;

	b->at += first;
	if (b->at == b->n)
		stream_buffer_drop(b);
	more->skip += n - first;
	while (more->count > 0 && more->skip >= more->iov->iov_len) {
		more->skip -= more->iov->iov_len;
		more->iov++;
		more->count--;
	}
}

/* send() costs the kernel less than sendmsg(). */
static ssize_t send_now(struct stream *s, const struct iovec *iov, size_t count, const int *fds, size_t fd_count)
{
	if (count == 1 && fd_count == 0)
		return send(s->fd, iov->iov_base, iov->iov_len, MSG_NOSIGNAL | (s->finishing ? MSG_MORE : 0));
	return stream_send_with(s, iov, count, fds, fd_count);
}

/* Octets >= 0, or -1 with errno. */
static ssize_t write_now(struct stream *s, const struct iovec *iov, size_t count, const int *fds, size_t fd_count, bool *want_write)
{
	ssize_t n;

	*want_write = true;
	if (s->tls != NULL)
		return tls_write(s->tls, iov->iov_base, iov->iov_len, want_write);
	do
		n = s->is_socket ? send_now(s, iov, count, fds, fd_count) : writev(s->fd, iov, (int)count);
	while (n < 0 && errno == EINTR);
	return n;
}

/* All that is buffered, then `more`. A deadline that passes ends the stream's output, too: nobody knows what has gone out. */
static int send_all(struct stream *s, struct pieces more, const int *fds, size_t fd_count, int64_t deadline)
{
	struct stream_side *side = &s->out;
	struct iovec iov[GATHER_MAX];
	size_t count;

	if (side->failed != STREAM_OK)
		return side->failed;
	sent(&side->bytes, &more, 0); /* leave out empty pieces */
	while ((count = gather(&side->bytes, &more, iov)) > 0) {
		bool want_write;
		ssize_t n = write_now(s, iov, count, fds, fd_count, &want_write);

		if (n >= 0) {
			sent(&side->bytes, &more, (size_t)n);
			fd_count = 0;
			continue;
		}
		if (errno != EAGAIN && errno != EWOULDBLOCK)
			return stream_failed(s, side, errno);
		if (stream_await(s, side, want_write, deadline) < 0)
			return side->failed = side->failed != STREAM_OK ? side->failed : STREAM_TIMEOUT;
	}
	return STREAM_OK;
}

/* ---- for the callers ---- */

size_t stream_unsent(const struct stream *s)
{
	return stream_buffer_used(&s->out.bytes);
}

int stream_flush(struct stream *s, int64_t deadline)
{
	return send_all(s, (struct pieces){ 0 }, NULL, 0, deadline);
}

int stream_finish(struct stream *s, int64_t deadline)
{
	s->finishing = true;
	return stream_flush(s, deadline);
}

static void append(struct stream_buffer *b, const char *p, size_t n)
{
	stream_buffer_take(b);
	if (b->n + n > b->cap)
		stream_buffer_widen(b, STREAM_OUT_MAX);
	memcpy(b->p + b->n, p, n);
	b->n += n;
}

/* TLS copies anyhow, and small records cost more than copies. */
static int write_in_steps(struct stream *s, struct str data, int64_t deadline)
{
	while (data.n > 0) {
		size_t room = STREAM_OUT_MAX - stream_unsent(s), n = data.n < room ? data.n : room;
		int r;

		append(&s->out.bytes, data.p, n);
		data = str_skip(data, n);
		r = n == room ? stream_flush(s, deadline) : STREAM_OK;
		if (r < 0)
			return r;
	}
	return STREAM_OK;
}

int stream_write(struct stream *s, struct str data, int64_t deadline)
{
	struct iovec iov = { (void *)(size_t)data.p, data.n };

	if (s->out.failed != STREAM_OK)
		return s->out.failed;
	if (stream_unsent(s) + data.n < STREAM_OUT_MAX) {
		if (data.n > 0)
			append(&s->out.bytes, data.p, data.n);
		return STREAM_OK;
	}
	return s->tls != NULL ? write_in_steps(s, data, deadline) : stream_writev(s, &iov, 1, deadline);
}

int stream_writev(struct stream *s, const struct iovec *iov, int count, int64_t deadline)
{
	if (s->tls == NULL)
		return send_all(s, (struct pieces){ .iov = iov, .count = (size_t)count }, NULL, 0, deadline);
	for (int i = 0; i < count; i++) {
		int r = write_in_steps(s, str_n(iov[i].iov_base, iov[i].iov_len), deadline);

		if (r < 0)
			return r;
	}
	return stream_flush(s, deadline);
}

int stream_printf(struct stream *s, int64_t deadline, const char *fmt, ...)
{
	char text[PRINTF_ROOM];
	struct buf longer = { 0 };
	va_list ap;
	int n, r;

	va_start(ap, fmt);
	n = format_text(text, sizeof text, fmt, ap);
	va_end(ap);
	check(n >= 0);
	if ((size_t)n < sizeof text)
		return stream_write(s, str_n(text, (size_t)n), deadline);
	va_start(ap, fmt);
	buf_addfv(&longer, fmt, ap);
	va_end(ap);
	r = stream_write(s, buf_str(&longer), deadline);
	buf_done(&longer);
	return r;
}

int stream_send_fds(struct stream *s, const int *fds, size_t count, int64_t deadline)
{
	check(s->is_unix && s->tls == NULL && count > 0 && count <= STREAM_FDS_MAX);
	if (s->out.failed != STREAM_OK)
		return s->out.failed;
	check(stream_unsent(s) > 0); /* descriptors need a byte to travel with */
	return send_all(s, (struct pieces){ 0 }, fds, count, deadline);
}
