/* lib/net/stream_in.c - reading from a stream. */
#include <errno.h>
#include <sys/socket.h>

#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/net/stream_parts.h"
#include "lib/net/tls.h"

/* ---- from the kernel ---- */

/* A read that was not filled emptied the kernel's buffer, and more will be news; but not where the news of the end may have come
 * together with the last bytes. Saves the read that would only say EAGAIN. */
static void note_drained(struct stream *s, ssize_t got, size_t max, bool got_fds)
{
	if (!s->is_socket || s->readable == NULL || s->peer_done || got_fds || got == 0)
		return;
	s->drained = got < (ssize_t)max;
}

static ssize_t read_clear(struct stream *s, void *p, size_t max)
{
	bool got_fds = false;
	ssize_t n;

	do {
		if (s->is_unix)
			n = stream_recv_fds(s, p, max, &got_fds);
		else
			n = s->is_socket ? recv(s->fd, p, max, 0) : read(s->fd, p, max);
	} while (n < 0 && errno == EINTR);
	note_drained(s, n, max, got_fds);
	return n;
}

/* Octets > 0, 0 when there are none now (*want_write: TLS has to write before it can read), or an enum stream_result. */
static ssize_t read_now(struct stream *s, void *p, size_t max, bool *want_write)
{
	ssize_t n;

	if (s->in.failed != STREAM_OK)
		return s->in.failed;
	n = s->tls != NULL ? tls_read(s->tls, p, max, want_write) : read_clear(s, p, max);
	if (n > 0)
		return n;
	if (n == 0) {
		s->errnum = 0;
		return s->in.failed = STREAM_EOF;
	}
	return errno == EAGAIN || errno == EWOULDBLOCK ? 0 : stream_failed(s, &s->in, errno);
}

static ssize_t read_wait(struct stream *s, void *p, size_t max, int64_t deadline)
{
	bool want_write = false;
	ssize_t n = 0;

	if (!s->drained || s->tls != NULL)
		n = read_now(s, p, max, &want_write);
	while (n == 0) {
		int r = stream_await(s, &s->in, want_write, deadline);

		if (r < 0)
			return r;
		want_write = false;
		n = read_now(s, p, max, &want_write);
	}
	return n;
}

/* ---- into the buffer ---- */

/* Room behind what is buffered. */
static void make_room(struct stream_buffer *b)
{
	stream_buffer_take(b);
	if (b->n < b->cap)
		return;
	if (b->at > 0) {
		memmove(b->p, b->p + b->at, stream_buffer_used(b));
		b->n -= b->at;
		b->at = 0;
		return;
	}
	check(b->cap < STREAM_IN_MAX);
	stream_buffer_widen(b, STREAM_IN_MAX);
}

static void drop_if_empty(struct stream_buffer *b)
{
	if (b->at == b->n)
		stream_buffer_drop(b);
}

/* Like read_now(), into the buffer. */
static ssize_t fill_now(struct stream *s, bool *want_write)
{
	struct stream_buffer *b = &s->in.bytes;
	ssize_t n;

	make_room(b);
	n = read_now(s, b->p + b->n, b->cap - b->n, want_write);
	if (n > 0)
		b->n += (size_t)n;
	drop_if_empty(b);
	return n;
}

/* One read more into the buffer. No memory is held while waiting, unless there is input already. */
static int fill(struct stream *s, int64_t deadline)
{
	bool want_write = false;
	ssize_t n = 0;

	if (!s->drained || s->tls != NULL)
		n = fill_now(s, &want_write);
	while (n == 0) {
		int r = stream_await(s, &s->in, want_write, deadline);

		if (r < 0)
			return r;
		want_write = false;
		n = fill_now(s, &want_write);
	}
	return n > 0 ? STREAM_OK : (int)n;
}

/* ---- for the callers ---- */

size_t stream_buffered(const struct stream *s)
{
	return stream_buffer_used(&s->in.bytes);
}

void stream_consume(struct stream *s, size_t n)
{
	check(n <= stream_buffered(s));
	s->in.bytes.at += n;
	drop_if_empty(&s->in.bytes);
}

void stream_drop_input(struct stream *s)
{
	stream_buffer_drop(&s->in.bytes);
}

static size_t take(struct stream *s, void *p, size_t max)
{
	size_t n = stream_buffered(s);

	if (n > max)
		n = max;
	if (n > 0)
		memcpy(p, s->in.bytes.p + s->in.bytes.at, n);
	stream_consume(s, n);
	return n;
}

ssize_t stream_read(struct stream *s, void *p, size_t max, int64_t deadline)
{
	check(max > 0);
	if (stream_buffered(s) == 0) {
		int r;

		if (max >= STREAM_CHUNK)
			return read_wait(s, p, max, deadline);
		r = fill(s, deadline);
		if (r < 0)
			return r;
	}
	return (ssize_t)take(s, p, max);
}

int stream_read_full(struct stream *s, void *p, size_t n, int64_t deadline)
{
	char *to = p;

	while (n > 0) {
		ssize_t r = stream_read(s, to, n, deadline);

		if (r < 0)
			return (int)r;
		to += r;
		n -= (size_t)r;
	}
	return STREAM_OK;
}

int stream_peek(struct stream *s, struct str *view, int64_t deadline)
{
	return stream_peek_more(s, 0, view, deadline);
}

int stream_peek_more(struct stream *s, size_t have, struct str *view, int64_t deadline)
{
	check(have < STREAM_IN_MAX);
	while (stream_buffered(s) <= have) {
		int r = fill(s, deadline);

		if (r < 0)
			return r;
	}
	*view = str_n(s->in.bytes.p + s->in.bytes.at, stream_buffered(s));
	return STREAM_OK;
}

int stream_read_line(struct stream *s, struct buf *line, size_t max, int64_t deadline)
{
	buf_clear(line);
	while (line->n < max) {
		struct str view;
		ptrdiff_t lf;
		int r = stream_peek(s, &view, deadline);

		if (r < 0)
			return r;
		view = str_sub(view, 0, max - line->n);
		lf = str_chr(view, '\n');
		if (lf >= 0)
			view.n = (size_t)lf + 1;
		buf_add(line, view);
		stream_consume(s, view.n);
		if (lf >= 0)
			return STREAM_OK;
	}
	return STREAM_TOO_LONG;
}

bool stream_input_ready(struct stream *s)
{
	bool want_write;

	return stream_buffered(s) > 0 || fill_now(s, &want_write) != 0;
}

/* Under TLS a session ticket may arrive at any time; it is not input. */
bool stream_idle_ok(struct stream *s)
{
	return s->out.failed == STREAM_OK && stream_unsent(s) == 0 && s->fds == NULL && !stream_input_ready(s);
}
