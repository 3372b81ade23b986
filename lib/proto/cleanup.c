/* lib/proto/cleanup.c - "please queue this message", both ends. An envelope frame (descriptors on its first byte), content frames, an end
 * frame, and one answer frame back. A small message leaves the sender in one write.
 */
#include "lib/proto/cleanup.h"

#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/fs.h"
#include "lib/base/mem.h"
#include "lib/net/fiber.h"
#include "lib/proto/message.h"
#include "lib/proto/wire.h"

#define TAG_CONTENT 'C'
#define TAG_END 'E'
#define PIECE 65536 /* octets of a file read at once */

int cleanup_send_envelope(struct stream *s, const struct cleanup_request *r, int64_t deadline, struct err *e)
{
	struct buf b = { 0 };
	size_t at = wire_begin(&b);

	wire_put_u32(&b, r->flags);
	message_put(&b, &r->m);
	message_put_strs(&b, r->prepend, r->prepend_count);
	wire_put_str(&b, r->received);
	wire_put_str(&b, r->hold_reason);
	wire_put_str(&b, r->milters);
	wire_put_str(&b, r->redirect);
	message_put_strs(&b, r->bcc, r->bcc_count);
	wire_put_str(&b, r->session);
	wire_put_u8(&b, (uint8_t)r->milter_fd_count);
	wire_end(&b, at);
	if (r->milter_fd_count > 0)
		return wire_send(s, &b, r->milter_fds, r->milter_fd_count, deadline, e);
	return wire_send_later(s, &b, deadline, e); /* leaves together with the content */
}

int cleanup_send_content(struct stream *s, struct str chunk, int64_t deadline, struct err *e)
{
	struct buf b = { 0 };
	int r;

	wire_put_u32(&b, (uint32_t)(1 + chunk.n));
	wire_put_u8(&b, TAG_CONTENT);
	r = wire_send_body(s, buf_str(&b), chunk, deadline, e);
	buf_done(&b);
	return r;
}

struct piece { /* one offloaded read */
	int fd;
	char *p;
	size_t n;
	uint64_t at;
	int result;
	struct err *e;
};

static void read_piece(void *arg)
{
	struct piece *r = arg;

	r->result = fs_pread_all(r->fd, r->p, r->n, (off_t)r->at, r->e);
}

static int send_piece(struct stream *s, struct piece *r, int64_t patience_ms)
{
	offload(read_piece, r);
	if (r->result < 0)
		return err_context(r->e, "cannot read the message");
	return cleanup_send_content(s, str_n(r->p, r->n), deadline_in(patience_ms), r->e);
}

int cleanup_send_file(struct stream *s, int fd, uint64_t at, uint64_t size, int64_t patience_ms, struct err *e)
{
	struct piece r = { .fd = fd, .p = mem_alloc(PIECE), .at = at, .e = e };
	int sent = 0;

	for (; size > 0 && sent == 0; size -= r.n, r.at += r.n) {
		r.n = size < PIECE ? (size_t)size : PIECE;
		sent = send_piece(s, &r, patience_ms);
	}
	mem_free(r.p);
	return sent;
}

int cleanup_send_end(struct stream *s, unsigned content_flags, int64_t deadline, struct err *e)
{
	struct buf b = { 0 };
	size_t at = wire_begin(&b);

	wire_put_u8(&b, TAG_END);
	wire_put_u32(&b, content_flags);
	wire_end(&b, at);
	if (wire_send_later(s, &b, deadline, e) < 0)
		return -1;
	return wire_flush(s, deadline, e);
}

static void get_envelope(struct wire_in *in, struct arena *a, struct cleanup_request *out)
{
	out->flags = wire_get_u32(in);
	message_get(in, a, &out->m);
	out->prepend = message_get_strs(in, a, &out->prepend_count);
	out->received = wire_get_str(in);
	out->hold_reason = wire_get_str(in);
	out->milters = wire_get_str(in);
	out->redirect = wire_get_str(in);
	out->bcc = message_get_strs(in, a, &out->bcc_count);
	out->session = wire_get_str(in);
	out->milter_fd_count = wire_get_u8(in);
	if (out->milter_fd_count > STREAM_FDS_MAX)
		in->bad = true;
}

int cleanup_receive_envelope(struct stream *s, struct arena *a, struct cleanup_request *out, int64_t deadline, struct err *e)
{
	struct wire_in in;
	int r = wire_receive_request(s, a, &in, deadline, e);

	memset(out, 0, sizeof *out);
	if (r != 0)
		return r;
	get_envelope(&in, a, out);
	if (!wire_ok(&in)) {
		out->milter_fd_count = 0;
		return wire_malformed(e);
	}
	if (wire_take_fds(s, out->milter_fds, out->milter_fd_count, e) < 0) {
		out->milter_fd_count = 0;
		return -1;
	}
	return 0;
}

int cleanup_receive_content(struct stream *s, struct arena *scratch, enum cleanup_event *what, struct str *chunk, unsigned *content_flags,
	int64_t deadline, struct err *e)
{
	struct wire_in in;
	uint8_t tag;

	if (wire_receive_answer(s, scratch, &in, deadline, e) < 0)
		return -1;
	tag = wire_get_u8(&in);
	*chunk = STR_NONE;
	if (wire_ok(&in) && tag == TAG_CONTENT) {
		*what = CLEANUP_CONTENT;
		*chunk = in.rest;
		return 0;
	}
	*what = CLEANUP_END;
	*content_flags = wire_get_u32(&in);
	return wire_ok(&in) && tag == TAG_END ? 0 : wire_malformed(e);
}

int cleanup_send_answer(struct stream *s, const struct cleanup_answer *a, int64_t deadline, struct err *e)
{
	struct buf b = { 0 };
	size_t at = wire_begin(&b);

	message_put_code(&b, a->code);
	wire_put_str(&b, a->text);
	wire_put_str(&b, a->id);
	wire_put_u64(&b, a->size);
	wire_put_str(&b, a->milters);
	wire_put_u8(&b, a->discarded);
	wire_end(&b, at);
	return wire_send(s, &b, NULL, 0, deadline, e);
}

int cleanup_receive_answer(struct stream *s, struct arena *a, struct cleanup_answer *out, int64_t deadline, struct err *e)
{
	struct wire_in in;

	memset(out, 0, sizeof *out);
	if (wire_receive_answer(s, a, &in, deadline, e) < 0)
		return -1;
	out->code = message_get_code(&in);
	out->text = wire_get_str(&in);
	out->id = wire_get_str(&in);
	out->size = wire_get_u64(&in);
	out->milters = wire_get_str(&in);
	out->discarded = wire_get_u8(&in) != 0;
	return wire_ok(&in) ? 0 : wire_malformed(e);
}
