/* lib/proto/notify.c - news and commands for the queue manager, both ends. */
#include "lib/proto/notify.h"

#include <string.h>

#include "lib/proto/message.h"
#include "lib/proto/wire.h"

int notify_send(struct stream *s, const struct queue_message *m, int fd, int64_t deadline, struct err *e)
{
	struct buf b = { 0 };
	size_t at = wire_begin(&b);

	wire_put_u8(&b, NOTIFY_MESSAGE);
	message_put(&b, m);
	wire_end(&b, at);
	return wire_send(s, &b, &fd, 1, deadline, e);
}

int notify_send_command(struct stream *s, enum notify_kind kind, const char *what, int64_t deadline, struct err *e)
{
	struct buf b = { 0 };
	size_t at = wire_begin(&b);

	wire_put_u8(&b, (uint8_t)kind);
	wire_put_str(&b, str_z(what));
	wire_end(&b, at);
	return wire_send(s, &b, NULL, 0, deadline, e);
}

static void get_command(struct wire_in *in, struct notice *n)
{
	struct str what = wire_get_str(in);

	if (n->kind == NOTIFY_FLUSH_SITE) {
		n->site = what;
		in->bad = in->bad || what.n == 0;
	} else if (queue_id_valid(what)) {
		memcpy(n->m.id, what.p, what.n);
	} else if (what.n > 0 || n->kind == NOTIFY_FLUSH_ID) {
		in->bad = true;
	}
}

int notify_receive(struct stream *s, struct arena *a, struct notice *out, int64_t deadline, struct err *e)
{
	struct wire_in in;
	uint8_t tag;
	int r = wire_receive_request(s, a, &in, deadline, e);

	memset(out, 0, sizeof *out);
	out->fd = -1;
	if (r != 0)
		return r;
	tag = wire_get_u8(&in);
	out->kind = (enum notify_kind)tag;
	if (tag == NOTIFY_MESSAGE)
		message_get(&in, a, &out->m);
	else
		get_command(&in, out);
	if (!wire_ok(&in) || tag > NOTIFY_FLUSH_SITE || (tag == NOTIFY_MESSAGE && out->m.id[0] == '\0'))
		return wire_malformed(e);
	return tag == NOTIFY_MESSAGE ? wire_take_fds(s, &out->fd, 1, e) : 0;
}
