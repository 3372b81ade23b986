/* lib/queue/file.c - the message file: superblock and envelope to bytes and back. doc/queue-format.md is the contract.
 * Reading treats the file as untrusted: it may be torn by a crash, damaged by a disk, or put there by somebody. Every offset and count is
 * held against the file's size before memory is taken or a byte is read.
 */
#include "lib/queue/queue.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/base/fs.h"
#include "lib/base/hash.h"
#include "lib/base/mem.h"
#include "lib/queue/codec.h"

#define FORMAT_VERSION 1
#define ATTRIBUTE_VERP "verp"
#define MARK_PENDING '-'
#define MARK_DONE 'D' /* four bits away from MARK_PENDING; whatever else a damaged byte says is not done */
#define RCPT_LEAST 17 /* octets of a recipient with empty texts, mark included */
#define FIRST_READ 4096 /* octets: a small message at once */
#define ENVELOPE_MAX (1u << 30)
#define CRC_CHUNK 65536

static const char magic[8] = { 'G', 'P', 'q', 'u', 'e', 'u', 'e', '\n' };

enum { /* offsets in the superblock */
	AT_MAGIC = 0,
	AT_VERSION = 8,
	AT_SUPER_SIZE = 10,
	AT_FLAGS = 12,
	AT_ARRIVAL = 16,
	AT_HEADER = 24,
	AT_HEADER_SIZE = 32,
	AT_BODY = 40,
	AT_BODY_SIZE = 48,
	AT_ENVELOPE = 56,
	AT_ENVELOPE_SIZE = 64,
	AT_RCPT_COUNT = 68,
	AT_STATUS = 72,
	AT_CONTENT_CRC = 80,
	AT_ID = 84,
	AT_ZERO = 108,
	AT_CRC = 124
};

/* ---- writing ---- */

static void put_client(struct buf *b, const struct queue_client *c)
{
	codec_put_str(b, c->name);
	codec_put_str(b, c->addr);
	codec_put_str(b, c->port);
	codec_put_str(b, c->helo);
	codec_put_str(b, c->proto);
	codec_put_str(b, c->sasl_method);
	codec_put_str(b, c->sasl_user);
	codec_put_str(b, c->sasl_sender);
	codec_put_str(b, c->server);
}

static void encode_envelope(const struct queue_message *m, struct buf *b)
{
	codec_put_str(b, m->sender);
	codec_put_str(b, m->envid);
	codec_put(b, (uint64_t)m->ret, 4);
	put_client(b, &m->client);
	codec_put_str(b, m->filter);
	codec_put(b, m->verp.n > 0 ? 1 : 0, 4); /* named attributes */
	if (m->verp.n > 0) {
		codec_put_str(b, STR(ATTRIBUTE_VERP));
		codec_put_str(b, m->verp);
	}
	for (size_t i = 0; i < m->rcpt_count; i++) {
		codec_put_str(b, m->rcpts[i].addr);
		codec_put_str(b, m->rcpts[i].orig);
		codec_put_str(b, m->rcpts[i].orcpt);
		codec_put(b, (uint64_t)m->rcpts[i].notify, 4);
	}
	for (size_t i = 0; i < m->rcpt_count; i++)
		buf_addc(b, m->rcpts[i].done ? MARK_DONE : MARK_PENDING);
}

static uint64_t last_end(const struct queue_message *m)
{
	uint64_t ends[3] = { m->header_at + m->header_size, m->body_at + m->body_size, m->envelope_at + m->envelope_size };
	uint64_t end = ends[0];

	for (int i = 1; i < 3; i++)
		end = ends[i] > end ? ends[i] : end;
	return end;
}

static void place_marks(struct queue_message *m)
{
	for (size_t i = 0; i < m->rcpt_count; i++) {
		m->rcpts[i].index = (uint32_t)i;
		m->rcpts[i].mark_at = m->envelope_at + m->envelope_size - m->rcpt_count + i;
	}
}

void queue_encode(struct queue_message *m, uint32_t content_crc, struct buf *out_super, struct buf *out_env)
{
	size_t super = out_super->n, env = out_env->n;
	char zero[AT_CRC - AT_ZERO] = { 0 };
	uint32_t crc;

	encode_envelope(m, out_env);
	m->envelope_size = out_env->n - env;
	check(m->envelope_size <= ENVELOPE_MAX);
	m->status_at = last_end(m);
	place_marks(m);
	buf_addn(out_super, magic, sizeof magic);
	codec_put(out_super, FORMAT_VERSION, 2);
	codec_put(out_super, QUEUE_SUPER_SIZE, 2);
	codec_put(out_super, m->flags, 4);
	codec_put(out_super, (uint64_t)m->arrival_us, 8);
	codec_put(out_super, m->header_at, 8);
	codec_put(out_super, m->header_size, 8);
	codec_put(out_super, m->body_at, 8);
	codec_put(out_super, m->body_size, 8);
	codec_put(out_super, m->envelope_at, 8);
	codec_put(out_super, m->envelope_size, 4);
	codec_put(out_super, m->rcpt_count, 4);
	codec_put(out_super, m->status_at, 8);
	codec_put(out_super, content_crc, 4);
	buf_addn(out_super, m->id, QUEUE_ID_MAX);
	buf_addn(out_super, zero, sizeof zero);
	crc = hash_crc32c(0, out_super->p + super, AT_CRC);
	crc = hash_crc32c(crc, out_env->p + env, (size_t)m->envelope_size - m->rcpt_count);
	codec_put(out_super, crc, 4);
	check(out_super->n - super == QUEUE_SUPER_SIZE);
}

/* ---- reading ---- */

bool queue_begun(int fd)
{
	char head[sizeof magic];

	return pread(fd, head, sizeof head, 0) == (ssize_t)sizeof head && memcmp(head, magic, sizeof head) == 0;
}

static int damaged(struct err *e, const char *what)
{
	return err_perm(e, "damaged message file: %s", what);
}

/* Does [at, at+size) lie between the superblock and the end of the file? */
static bool inside(uint64_t at, uint64_t size, uint64_t file_size)
{
	return at >= QUEUE_SUPER_SIZE && at <= file_size && size <= file_size - at;
}

static int check_places(const struct queue_message *m, uint64_t file_size, struct err *e)
{
	if (!inside(m->header_at, m->header_size, file_size) || !inside(m->body_at, m->body_size, file_size))
		return damaged(e, "content lies outside the file");
	if (!inside(m->envelope_at, m->envelope_size, file_size) || m->envelope_size > ENVELOPE_MAX)
		return damaged(e, "envelope lies outside the file");
	if (m->status_at != last_end(m))
		return damaged(e, "status records lie in the message");
	if (m->rcpt_count > m->envelope_size / RCPT_LEAST)
		return damaged(e, "more recipients than the envelope can hold");
	return 0;
}

static int decode_super(const char *p, uint64_t file_size, struct queue_message *m, struct err *e)
{
	if (memcmp(p, magic, sizeof magic) != 0)
		return err_perm(e, "incomplete message file: no superblock");
	if (codec_load(p + AT_VERSION, 2) != FORMAT_VERSION || codec_load(p + AT_SUPER_SIZE, 2) != QUEUE_SUPER_SIZE)
		return damaged(e, "unknown format version");
	m->flags = (unsigned)codec_load(p + AT_FLAGS, 4);
	m->arrival_us = (int64_t)codec_load(p + AT_ARRIVAL, 8);
	m->header_at = codec_load(p + AT_HEADER, 8);
	m->header_size = codec_load(p + AT_HEADER_SIZE, 8);
	m->body_at = codec_load(p + AT_BODY, 8);
	m->body_size = codec_load(p + AT_BODY_SIZE, 8);
	m->envelope_at = codec_load(p + AT_ENVELOPE, 8);
	m->envelope_size = codec_load(p + AT_ENVELOPE_SIZE, 4);
	m->rcpt_count = (size_t)codec_load(p + AT_RCPT_COUNT, 4);
	m->status_at = codec_load(p + AT_STATUS, 8);
	return check_places(m, file_size, e);
}

static void get_client(struct codec_in *in, struct queue_client *c)
{
	c->name = codec_get_str(in);
	c->addr = codec_get_str(in);
	c->port = codec_get_str(in);
	c->helo = codec_get_str(in);
	c->proto = codec_get_str(in);
	c->sasl_method = codec_get_str(in);
	c->sasl_user = codec_get_str(in);
	c->sasl_sender = codec_get_str(in);
	c->server = codec_get_str(in);
}

/* Names and values; those that a later minor revision may have written are passed over. */
static void get_attributes(struct codec_in *in, struct queue_message *m)
{
	uint64_t n = codec_get(in, 4);

	for (uint64_t i = 0; i < n && !in->bad; i++) {
		struct str name = codec_get_str(in), value = codec_get_str(in);

		if (str_eqz(name, ATTRIBUTE_VERP) && value.n == 2)
			m->verp = value;
	}
}

/* bytes: the envelope, checksum already proven. */
static int decode_envelope(struct str bytes, struct arena *a, struct queue_message *m, struct err *e)
{
	struct codec_in in = { str_sub(bytes, 0, bytes.n - m->rcpt_count), false };
	const char *marks = bytes.p + bytes.n - m->rcpt_count;

	m->sender = codec_get_str(&in);
	m->envid = codec_get_str(&in);
	m->ret = (int)(codec_get(&in, 4) & 0xff);
	get_client(&in, &m->client);
	m->filter = codec_get_str(&in);
	get_attributes(&in, m);
	m->rcpts = arena_alloc(a, (m->rcpt_count + 1) * sizeof *m->rcpts);
	for (size_t i = 0; i < m->rcpt_count; i++) {
		struct queue_rcpt *r = &m->rcpts[i];

		r->addr = codec_get_str(&in);
		r->orig = codec_get_str(&in);
		r->orcpt = codec_get_str(&in);
		r->notify = (int)(codec_get(&in, 4) & 0xff);
		r->done = marks[i] == MARK_DONE;
	}
	if (in.bad || in.rest.n != 0)
		return damaged(e, "envelope fields do not fit");
	place_marks(m);
	return 0;
}

static int crc_range(int fd, uint64_t at, uint64_t size, uint32_t *crc, struct err *e)
{
	char *chunk = mem_alloc(CRC_CHUNK);
	int r = 0;

	while (size > 0 && r == 0) {
		size_t n = size < CRC_CHUNK ? (size_t)size : CRC_CHUNK;

		r = fs_pread_all(fd, chunk, n, (off_t)at, e);
		if (r == 0)
			*crc = hash_crc32c(*crc, chunk, n);
		at += n;
		size -= n;
	}
	mem_free(chunk);
	return r;
}

static int check_content(int fd, const struct queue_message *m, uint32_t want, struct err *e)
{
	uint32_t crc = 0;

	if (crc_range(fd, m->header_at, m->header_size, &crc, e) < 0 || crc_range(fd, m->body_at, m->body_size, &crc, e) < 0)
		return -1;
	return crc == want ? 0 : damaged(e, "content checksum does not match");
}

static void set_id(struct queue_message *m, const char *id, const char *stored)
{
	struct str s = id != NULL && *id != '\0' ? str_z(id) : str_n(stored, strnlen(stored, QUEUE_ID_MAX - 1));

	if (queue_id_valid(s))
		memcpy(m->id, s.p, s.n);
}

/* Of a small message it is in what was read first. */
static int read_envelope(int fd, const struct queue_message *m, struct str first, struct arena *a, struct str *out, struct err *e)
{
	size_t n = (size_t)m->envelope_size;
	char *p;

	if (m->envelope_at + n <= first.n) {
		*out = arena_dup(a, str_sub(first, (size_t)m->envelope_at, n));
		return 0;
	}
	p = arena_alloc(a, n + 1);
	*out = str_n(p, n);
	return fs_pread_all(fd, p, n, (off_t)m->envelope_at, e);
}

int queue_load(int fd, const char *id, bool verify_content, struct arena *a, struct queue_message *m, struct err *e)
{
	char super[FIRST_READ];
	struct stat st;
	struct str env;
	uint32_t crc;
	size_t n;

	memset(m, 0, sizeof *m);
	if (fstat(fd, &st) < 0)
		return err_errno(e, errno, "cannot examine message file");
	if (!S_ISREG(st.st_mode))
		return damaged(e, "not a regular file");
	if (st.st_size < QUEUE_SUPER_SIZE)
		return err_perm(e, "incomplete message file: shorter than a superblock");
	n = st.st_size < FIRST_READ ? (size_t)st.st_size : FIRST_READ;
	if (fs_pread_all(fd, super, n, 0, e) < 0)
		return -1;
	m->marks = st.st_mode & QUEUE_MODE_ALL;
	set_id(m, id, super + AT_ID);
	if (decode_super(super, (uint64_t)st.st_size, m, e) < 0)
		return -1;
	if (read_envelope(fd, m, str_n(super, n), a, &env, e) < 0)
		return -1;
	crc = hash_crc32c(0, super, AT_CRC);
	crc = hash_crc32c(crc, env.p, env.n - m->rcpt_count);
	if (crc != codec_load(super + AT_CRC, 4))
		return damaged(e, "superblock and envelope checksum does not match");
	if (decode_envelope(env, a, m, e) < 0)
		return -1;
	return verify_content ? check_content(fd, m, (uint32_t)codec_load(super + AT_CONTENT_CRC, 4), e) : 0;
}

int queue_mark_done(int fd, const struct queue_rcpt *first, size_t count, struct err *e)
{
	char marks[256];

	memset(marks, MARK_DONE, sizeof marks);
	for (size_t at = 0; at < count; at += sizeof marks) {
		size_t n = count - at < sizeof marks ? count - at : sizeof marks;

		if (fs_pwrite_all(fd, marks, n, (off_t)(first->mark_at + at), e) < 0)
			return err_context(e, "cannot mark recipients done");
	}
	return 0;
}
