/* lib/proto/wire.c - frames and fields of the internal protocols. What arrives comes from another Gatepost process and is checked all the
 * same: a frame's length before memory is taken for it, every field against the rest of the frame.
 */
#include "lib/proto/wire.h"

#include <string.h>

#include "lib/base/mem.h"

/* ---- building ---- */

size_t wire_begin(struct buf *b)
{
	size_t at = b->n;

	wire_put_u32(b, 0); /* the length, known at wire_end() */
	return at;
}

static void store_u32(char *p, uint32_t v)
{
	for (int i = 0; i < 4; i++)
		p[i] = (char)(unsigned char)(v >> (8 * i));
}

static uint32_t load_u32(const char *p)
{
	uint32_t v = 0;

	for (int i = 0; i < 4; i++)
		v |= (uint32_t)(unsigned char)p[i] << (8 * i);
	return v;
}

void wire_end(struct buf *b, size_t at)
{
	check(b->n >= at + 4 && b->n - at - 4 <= UINT32_MAX);
	store_u32(b->p + at, (uint32_t)(b->n - at - 4));
}

void wire_put_u8(struct buf *b, uint8_t v)
{
	buf_addc(b, (char)v);
}

void wire_put_u32(struct buf *b, uint32_t v)
{
	char p[4];

	store_u32(p, v);
	buf_addn(b, p, sizeof p);
}

void wire_put_u64(struct buf *b, uint64_t v)
{
	char p[8];

	store_u32(p, (uint32_t)v);
	store_u32(p + 4, (uint32_t)(v >> 32));
	buf_addn(b, p, sizeof p);
}

void wire_put_str(struct buf *b, struct str s)
{
	check(s.n <= UINT32_MAX);
	wire_put_u32(b, (uint32_t)s.n);
	buf_add(b, s);
}

/* ---- sending ---- */

static int sent(struct stream *s, int result, struct err *e)
{
	if (result == STREAM_OK)
		return 0;
	return err_temp(e, "cannot send: %s", stream_strerror((enum stream_result)result, s));
}

/* Descriptors travel with the first byte, so a frame too large for the output buffer sends its length with them and the rest behind. */
static int send_with_fds(struct stream *s, struct str frame, const int *fds, size_t count, int64_t deadline)
{
	size_t first = frame.n + stream_unsent(s) < STREAM_OUT_MAX ? frame.n : 4;
	struct str rest = str_skip(frame, first);
	int r = STREAM_OK;

	if (first != frame.n)
		r = stream_flush(s, deadline);
	if (r == STREAM_OK)
		r = stream_write(s, str_sub(frame, 0, first), deadline);
	if (r == STREAM_OK)
		r = stream_send_fds(s, fds, count, deadline);
	if (r == STREAM_OK && rest.n > 0) {
		struct iovec iov = { (void *)(uintptr_t)rest.p, rest.n };

		r = stream_writev(s, &iov, 1, deadline);
	}
	return r;
}

int wire_send(struct stream *s, struct buf *b, const int *fds, size_t count, int64_t deadline, struct err *e)
{
	struct iovec iov = { b->p, b->n };
	int r;

	if (b->n > WIRE_FRAME_MAX) {
		buf_done(b);
		return err_temp(e, "cannot send: frame of %zu bytes is too large", iov.iov_len);
	}
	r = count > 0 ? send_with_fds(s, buf_str(b), fds, count, deadline) : stream_writev(s, &iov, 1, deadline);
	buf_done(b);
	return sent(s, r, e);
}

int wire_send_later(struct stream *s, struct buf *b, int64_t deadline, struct err *e)
{
	int r = stream_write(s, buf_str(b), deadline);

	buf_done(b);
	return sent(s, r, e);
}

int wire_send_body(struct stream *s, struct str head, struct str body, int64_t deadline, struct err *e)
{
	struct iovec iov[2] = { { (void *)(uintptr_t)head.p, head.n }, { (void *)(uintptr_t)body.p, body.n } };
	int r;

	if (body.n > WIRE_COPY_MAX)
		return sent(s, stream_writev(s, iov, 2, deadline), e);
	r = stream_write(s, head, deadline);
	return sent(s, r == STREAM_OK ? stream_write(s, body, deadline) : r, e);
}

int wire_flush(struct stream *s, int64_t deadline, struct err *e)
{
	return sent(s, stream_flush(s, deadline), e);
}

/* ---- receiving ---- */

static int broken(struct stream *s, int result, struct err *e)
{
	(void)err_temp(e, "cannot receive: %s", stream_strerror((enum stream_result)result, s));
	return result;
}

int wire_receive(struct stream *s, struct arena *a, struct wire_in *in, int64_t deadline, struct err *e)
{
	char head[4];
	char *frame;
	uint32_t n;
	int r = stream_read_full(s, head, sizeof head, deadline);

	*in = (struct wire_in){ STR_NONE, true };
	if (r != STREAM_OK)
		return broken(s, r, e);
	n = load_u32(head);
	if (n > WIRE_FRAME_MAX) {
		(void)err_temp(e, "cannot receive: frame of %lu bytes is too large", (unsigned long)n);
		return STREAM_ERROR;
	}
	frame = arena_alloc(a, n > 0 ? n : 1);
	r = n > 0 ? stream_read_full(s, frame, n, deadline) : STREAM_OK;
	if (r != STREAM_OK)
		return broken(s, r, e);
	*in = (struct wire_in){ str_n(frame, n), false };
	return STREAM_OK;
}

int wire_receive_request(struct stream *s, struct arena *a, struct wire_in *in, int64_t deadline, struct err *e)
{
	int r = wire_receive(s, a, in, deadline, e);

	if (r == STREAM_OK)
		return 0;
	return r == STREAM_EOF ? 1 : -1;
}

int wire_receive_answer(struct stream *s, struct arena *a, struct wire_in *in, int64_t deadline, struct err *e)
{
	return wire_receive(s, a, in, deadline, e) == STREAM_OK ? 0 : -1;
}

int wire_take_fds(struct stream *s, int *fds, size_t count, struct err *e)
{
	size_t got = stream_take_fds(s, fds, count);

	if (got == count)
		return 0;
	for (size_t i = 0; i < got; i++)
		close(fds[i]);
	return err_temp(e, "cannot receive: %zu descriptors instead of %zu", got, count);
}

int wire_malformed(struct err *e)
{
	return err_temp(e, "cannot receive: malformed request or response");
}

/* ---- reading ---- */

/* The next n octets of the frame, or nothing (and then nothing ever again). */
static const char *take(struct wire_in *in, size_t n)
{
	const char *p = in->rest.p;

	if (in->bad || in->rest.n < n) {
		in->bad = true;
		return NULL;
	}
	in->rest = str_skip(in->rest, n);
	return p;
}

uint8_t wire_get_u8(struct wire_in *in)
{
	const char *p = take(in, 1);

	return p == NULL ? 0 : (uint8_t)*p;
}

uint32_t wire_get_u32(struct wire_in *in)
{
	const char *p = take(in, 4);

	return p == NULL ? 0 : load_u32(p);
}

uint64_t wire_get_u64(struct wire_in *in)
{
	const char *p = take(in, 8);

	return p == NULL ? 0 : load_u32(p) | (uint64_t)load_u32(p + 4) << 32;
}

struct str wire_get_str(struct wire_in *in)
{
	uint32_t n = wire_get_u32(in);
	const char *p = take(in, n);

	return p == NULL ? STR_NONE : str_n(p, n);
}

size_t wire_get_count(struct wire_in *in, size_t least_each)
{
	uint32_t n = wire_get_u32(in);

	if (!in->bad && n > in->rest.n / (least_each > 0 ? least_each : 1))
		in->bad = true;
	return in->bad ? 0 : n;
}

bool wire_ok(const struct wire_in *in)
{
	return !in->bad;
}
