/* lib/proto/bounce.c - "tell the sender", both ends. */
#include "lib/proto/bounce.h"

#include <string.h>

#include "lib/proto/message.h"
#include "lib/proto/wire.h"

#define RCPT_LEAST (MESSAGE_RCPT_LEAST + 21) /* octets of a recipient's report with empty texts */

static void put_rcpt(struct buf *b, const struct bounce_rcpt *r)
{
	message_put_rcpt(b, &r->rcpt);
	message_put_code(b, r->code);
	wire_put_str(b, r->relay);
	wire_put_str(b, r->text);
	wire_put_str(b, r->remote_mta);
	wire_put_u8(b, (uint8_t)r->action);
}

static void get_rcpt(struct wire_in *in, struct bounce_rcpt *r)
{
	uint8_t action;

	message_get_rcpt(in, &r->rcpt);
	r->code = message_get_code(in);
	r->relay = wire_get_str(in);
	r->text = wire_get_str(in);
	r->remote_mta = wire_get_str(in);
	action = wire_get_u8(in);
	r->action = (enum deliver_action)action;
	if (action > DELIVER_EXPANDED)
		in->bad = true;
}

int bounce_send_request(struct stream *s, const struct bounce_request *r, int64_t deadline, struct err *e)
{
	struct queue_message m = r->m;
	struct buf b = { 0 };
	size_t at = wire_begin(&b);

	m.rcpts = NULL; /* they travel with their reports */
	m.rcpt_count = 0;
	wire_put_u8(&b, (uint8_t)r->kind);
	message_put(&b, &m);
	wire_put_u64(&b, (uint64_t)r->retry_until_us);
	wire_put_u8(&b, r->delay_cleared);
	wire_put_u32(&b, (uint32_t)r->rcpt_count);
	for (size_t i = 0; i < r->rcpt_count; i++)
		put_rcpt(&b, &r->rcpts[i]);
	wire_end(&b, at);
	return wire_send(s, &b, &r->fd, 1, deadline, e);
}

int bounce_receive_request(struct stream *s, struct arena *a, struct bounce_request *out, int64_t deadline, struct err *e)
{
	struct wire_in in;
	uint8_t kind;
	int r = wire_receive_request(s, a, &in, deadline, e);

	memset(out, 0, sizeof *out);
	out->fd = -1;
	if (r != 0)
		return r;
	kind = wire_get_u8(&in);
	out->kind = (enum bounce_kind)kind;
	message_get(&in, a, &out->m);
	out->retry_until_us = (int64_t)wire_get_u64(&in);
	out->delay_cleared = wire_get_u8(&in) != 0;
	out->rcpt_count = wire_get_count(&in, RCPT_LEAST);
	out->rcpts = arena_alloc(a, (out->rcpt_count + 1) * sizeof *out->rcpts);
	for (size_t i = 0; i < out->rcpt_count; i++)
		get_rcpt(&in, &out->rcpts[i]);
	if (!wire_ok(&in) || kind >= BOUNCE_KINDS)
		return wire_malformed(e);
	return wire_take_fds(s, &out->fd, 1, e);
}

int bounce_send_answer(struct stream *s, bool ok, struct str id, int64_t deadline, struct err *e)
{
	struct buf b = { 0 };
	size_t at = wire_begin(&b);

	wire_put_u8(&b, ok);
	wire_put_str(&b, id);
	wire_end(&b, at);
	return wire_send(s, &b, NULL, 0, deadline, e);
}

int bounce_receive_answer(struct stream *s, struct arena *a, bool *ok, struct str *id, int64_t deadline, struct err *e)
{
	struct wire_in in;

	*ok = false;
	*id = STR_NONE;
	if (wire_receive_answer(s, a, &in, deadline, e) < 0)
		return -1;
	*ok = wire_get_u8(&in) != 0;
	*id = wire_get_str(&in);
	if (wire_ok(&in))
		return 0;
	*ok = false;
	return wire_malformed(e);
}
