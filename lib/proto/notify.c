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

int notify_send_command(struct stream *s, enum notify_kind kind, const char *id, int64_t deadline, struct err *e)
{
	struct buf b = { 0 };
	size_t at = wire_begin(&b);

	wire_put_u8(&b, (uint8_t)kind);
	wire_put_str(&b, str_z(id));
	wire_end(&b, at);
	return wire_send(s, &b, NULL, 0, deadline, e);
}

static void get_command(struct wire_in *in, enum notify_kind kind, struct queue_message *m)
{
	struct str id = wire_get_str(in);

	if (id.n == 0 && kind != NOTIFY_FLUSH_ID)
		return;
	if (queue_id_valid(id))
		memcpy(m->id, id.p, id.n);
	else
		in->bad = true;
}

int notify_receive(
	struct stream *s, struct arena *a, enum notify_kind *kind, struct queue_message *m, int *fd, int64_t deadline, struct err *e)
{
	struct wire_in in;
	uint8_t tag;
	int r = wire_receive_request(s, a, &in, deadline, e);

	memset(m, 0, sizeof *m);
	*fd = -1;
	if (r != 0)
		return r;
	tag = wire_get_u8(&in);
	*kind = (enum notify_kind)tag;
	if (tag == NOTIFY_MESSAGE)
		message_get(&in, a, m);
	else
		get_command(&in, *kind, m);
	if (!wire_ok(&in) || tag > NOTIFY_SCAN || (tag == NOTIFY_MESSAGE && m->id[0] == '\0'))
		return wire_malformed(e);
	return tag == NOTIFY_MESSAGE ? wire_take_fds(s, fd, 1, e) : 0;
}
