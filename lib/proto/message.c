/* lib/proto/message.c - queue_message and its parts as fields of a frame. */
#include "lib/proto/message.h"

#include <string.h>

void message_put_code(struct buf *b, struct code c)
{
	wire_put_u64(b, (uint64_t)(uint16_t)c.smtp | (uint64_t)c.c << 16 | (uint64_t)c.s << 32 | (uint64_t)c.d << 48);
}

struct code message_get_code(struct wire_in *in)
{
	uint64_t v = wire_get_u64(in);

	return CODE((short)(v & 0x7fff), (unsigned char)(v >> 16), (unsigned short)(v >> 32), (unsigned short)(v >> 48));
}

void message_put_rcpt(struct buf *b, const struct queue_rcpt *r)
{
	wire_put_str(b, r->addr);
	wire_put_str(b, r->orig);
	wire_put_str(b, r->orcpt);
	wire_put_u32(b, (uint32_t)r->notify);
	wire_put_u8(b, r->done);
	wire_put_u64(b, r->mark_at);
	wire_put_u32(b, r->index);
}

void message_get_rcpt(struct wire_in *in, struct queue_rcpt *r)
{
	r->addr = wire_get_str(in);
	r->orig = wire_get_str(in);
	r->orcpt = wire_get_str(in);
	r->notify = (int)(wire_get_u32(in) & 0xff);
	r->done = wire_get_u8(in) != 0;
	r->mark_at = wire_get_u64(in);
	r->index = wire_get_u32(in);
}

void message_put_strs(struct buf *b, const struct str *s, size_t count)
{
	wire_put_u32(b, (uint32_t)count);
	for (size_t i = 0; i < count; i++)
		wire_put_str(b, s[i]);
}

struct str *message_get_strs(struct wire_in *in, struct arena *a, size_t *count)
{
	struct str *s;

	*count = wire_get_count(in, 4);
	if (*count == 0)
		return NULL;
	s = arena_alloc(a, *count * sizeof *s);
	for (size_t i = 0; i < *count; i++)
		s[i] = wire_get_str(in);
	return s;
}

/* The client's texts in the order of the frame. */
static size_t client_texts(struct queue_client *c, struct str *texts[9])
{
	struct str *all[] = { &c->name, &c->addr, &c->port, &c->helo, &c->proto, &c->sasl_method, &c->sasl_user, &c->sasl_sender,
		&c->server };

	memcpy(texts, all, sizeof all);
	return sizeof all / sizeof *all;
}

/* Where things are in the file, in the order of the frame. */
static size_t places(struct queue_message *m, uint64_t *at[7])
{
	uint64_t *all[] = { &m->header_at, &m->header_size, &m->body_at, &m->body_size, &m->envelope_at, &m->envelope_size, &m->status_at };

	memcpy(at, all, sizeof all);
	return sizeof all / sizeof *all;
}

void message_put(struct buf *b, const struct queue_message *m)
{
	struct queue_message copy = *m;
	struct str *texts[9];
	uint64_t *at[7];
	size_t n;

	wire_put_str(b, str_z(m->id));
	wire_put_u32(b, m->flags);
	wire_put_u64(b, (uint64_t)m->arrival_us);
	wire_put_str(b, m->sender);
	wire_put_str(b, m->envid);
	wire_put_u32(b, (uint32_t)m->ret);
	n = client_texts(&copy.client, texts);
	for (size_t i = 0; i < n; i++)
		wire_put_str(b, *texts[i]);
	wire_put_str(b, m->filter);
	wire_put_str(b, m->verp);
	n = places(&copy, at);
	for (size_t i = 0; i < n; i++)
		wire_put_u64(b, *at[i]);
	wire_put_u32(b, (uint32_t)m->rcpt_count);
	for (size_t i = 0; i < m->rcpt_count; i++)
		message_put_rcpt(b, &m->rcpts[i]);
}

/* The id names a file: nothing else than a queue id gets through, or none at all. */
static void get_id(struct wire_in *in, char id[QUEUE_ID_MAX])
{
	struct str s = wire_get_str(in);

	memset(id, 0, QUEUE_ID_MAX);
	if (s.n == 0)
		return;
	if (!queue_id_valid(s))
		in->bad = true;
	else
		memcpy(id, s.p, s.n);
}

static void get_rcpts(struct wire_in *in, struct arena *a, struct queue_message *m)
{
	m->rcpt_count = wire_get_count(in, MESSAGE_RCPT_LEAST);
	m->rcpts = arena_alloc(a, (m->rcpt_count + 1) * sizeof *m->rcpts);
	for (size_t i = 0; i < m->rcpt_count; i++)
		message_get_rcpt(in, &m->rcpts[i]);
}

void message_get(struct wire_in *in, struct arena *a, struct queue_message *m)
{
	struct str *texts[9];
	uint64_t *at[7];
	size_t n;

	memset(m, 0, sizeof *m);
	get_id(in, m->id);
	m->flags = wire_get_u32(in);
	m->arrival_us = (int64_t)wire_get_u64(in);
	m->sender = wire_get_str(in);
	m->envid = wire_get_str(in);
	m->ret = (int)(wire_get_u32(in) & 0xff);
	n = client_texts(&m->client, texts);
	for (size_t i = 0; i < n; i++)
		*texts[i] = wire_get_str(in);
	m->filter = wire_get_str(in);
	m->verp = wire_get_str(in);
	if (m->verp.n > 0 && m->verp.n != 2)
		in->bad = true;
	n = places(m, at);
	for (size_t i = 0; i < n; i++)
		*at[i] = wire_get_u64(in);
	get_rcpts(in, a, m);
}
