/* mta/smtp/content.c - the message on its way out: from the file descriptor in large pieces, changed only where the queue file's flags,
 * the server or the settings say that something needs it. */
#include <errno.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/mail/line.h"
#include "lib/mail/mime_7bit.h"
#include "lib/net/fiber.h"
#include "mta/smtp/smtp.h"

#define PIECE (64 * 1024) /* octets read and written at a time */
#define CHUNKS_MAX 32 /* without reply; the replies must fit the buffers between the two hosts */

struct copy {
	struct session *s;
	struct arena *a;
	const struct deliver_request *r;
	struct buf in, broken_up, out;
	size_t column; /* of the unfinished line, for the line length limit */
	bool at_start; /* next octet begins a line */
	bool any;
	bool stuff, to_7bit;
	bool bdat; /* pieces travel with their sizes (RFC 3030) */
	bool hold_dot; /* the final dot comes after a pause */
	size_t chunks; /* sent whose reply is not read */
	bool refused; /* one of them */
	int64_t deadline; /* of all of it; 0: each piece has its own */
	char last[2]; /* the last two octets, to see whether the content ends a line */
};

/* ---- reading ---- */

struct read_job {
	int fd, error;
	void *p;
	size_t n;
	off_t at;
	ssize_t got;
};

static void read_blocking(void *arg)
{
	struct read_job *job = arg;

	do
		job->got = pread(job->fd, job->p, job->n, job->at);
	while (job->got < 0 && errno == EINTR);
	job->error = errno;
}

/* What is in the page cache is taken at once; the disk is waited for in another thread. */
static ssize_t read_some(int fd, void *p, size_t n, off_t at, int *error)
{
	struct iovec iov = { p, n };
	struct read_job job = { .fd = fd, .p = p, .n = n, .at = at };
	ssize_t got = preadv2(fd, &iov, 1, at, RWF_NOWAIT);

	if (got > 0)
		return got;
	offload(read_blocking, &job);
	*error = job.error;
	return job.got;
}

static int cannot_read(struct copy *c, const char *reason, struct failure *why)
{
	failure_local(c->a, CODE(0, 4, 3, 0), why, "cannot read the message file: %s", reason);
	log_warn("%s: %.*s", c->r->m.id, STRF(why->text));
	c->s->broken = true;
	return -1;
}

static int read_exactly(struct copy *c, size_t n, uint64_t at, struct failure *why)
{
	buf_clear(&c->in);
	buf_reserve(&c->in, n);
	while (c->in.n < n) {
		int error = 0;
		ssize_t got = read_some(c->r->fd, c->in.p + c->in.n, n - c->in.n, (off_t)(at + c->in.n), &error);

		if (got <= 0)
			return cannot_read(c, got < 0 ? strerror(error) : "too short", why);
		c->in.n += (size_t)got;
	}
	return 0;
}

/* ---- changing ---- */

/* Break lines over the limit (RFC 5321 section 4.5.3.1.6) with CRLF and a blank, so that a header stays a header. */
static struct str break_lines(struct copy *c, struct str in)
{
	buf_clear(&c->broken_up);
	while (in.n > 0) {
		ptrdiff_t lf = str_chr(in, '\n');
		size_t line = lf < 0 ? in.n : (size_t)lf + 1;
		size_t end = lf < 0 ? in.p[in.n - 1] == '\r' : lf > 0 && in.p[lf - 1] == '\r' ? 2 : 1;
		struct str text = str_sub(in, 0, line - end);

		while (c->column + text.n > cfg->line_limit) {
			size_t room = cfg->line_limit - c->column;

			buf_add(&c->broken_up, str_sub(text, 0, room));
			buf_addz(&c->broken_up, "\r\n ");
			text = str_skip(text, room);
			c->column = 1;
		}
		buf_addn(&c->broken_up, text.p, text.n + end);
		c->column = lf < 0 ? c->column + text.n : 0;
		in = str_skip(in, line);
	}
	return buf_str(&c->broken_up);
}

static void note_last(struct copy *c, struct str piece)
{
	if (piece.n == 0)
		return;
	c->last[0] = piece.n > 1 ? piece.p[piece.n - 2] : c->last[1];
	c->last[1] = piece.p[piece.n - 1];
	c->any = true;
}

/* What must be sent for one piece; the end mark with the last. */
static struct str prepared(struct copy *c, bool is_last)
{
	struct str piece = buf_str(&c->in);
	bool ended;

	note_last(c, piece);
	if ((c->r->m.flags & QUEUE_LONG_LINES) && cfg->line_limit > 1)
		piece = break_lines(c, piece);
	if (c->stuff) {
		buf_clear(&c->out);
		line_out_stuff(piece, &c->at_start, &c->out);
		piece = buf_str(&c->out);
	}
	if (!is_last)
		return piece;
	ended = !c->any || (c->last[0] == '\r' && c->last[1] == '\n');
	if (piece.p != c->in.p && piece.n > 0) {
		buf_clear(&c->in);
		buf_add(&c->in, piece);
	}
	if (!ended)
		buf_addz(&c->in, "\r\n");
	if (!c->bdat && !c->hold_dot)
		buf_addz(&c->in, ".\r\n");
	return buf_str(&c->in);
}

/* ---- sending ---- */

static int64_t piece_deadline(const struct copy *c)
{
	return c->deadline > 0 ? c->deadline : deadline_in(cfg->data_xfer_ms);
}

/* The replies to chunks before the last, down to `left` of them. */
static int read_chunks(struct copy *c, size_t left, struct failure *why)
{
	struct failure first;

	for (; c->chunks > left; c->chunks--) {
		if (session_read(c->s, c->a, cfg->data_done_ms, "sending message body", &first) < 0) {
			*why = first;
			return -1;
		}
		if (c->s->reply.code.smtp / 100 != 2 && !c->refused) {
			c->refused = true;
			failure_said(c->a, c->s, "BDAT", why);
		}
	}
	return 0;
}

static int send_piece(struct copy *c, struct str piece, bool is_last, struct failure *why)
{
	struct iovec iov = { (void *)(uintptr_t)piece.p, piece.n };
	int r;

	if (c->bdat && piece.n == 0 && !is_last)
		return 0;
	if (c->bdat)
		stream_printf(c->s->io, piece_deadline(c), "BDAT %zu%s\r\n", piece.n, is_last ? " LAST" : "");
	r = stream_writev(c->s->io, &iov, 1, piece_deadline(c));
	if (r != STREAM_OK) {
		failure_broken(c->a, c->s, r, NULL, "sending message body", why);
		c->s->broken = true;
		return -1;
	}
	if (!c->bdat || is_last)
		return 0;
	c->chunks++;
	return read_chunks(c, c->s->offers & OFFER_PIPELINING ? CHUNKS_MAX : 0, why);
}

static int send_range(struct copy *c, uint64_t at, uint64_t size, bool is_last, struct failure *why)
{
	do {
		size_t n = size < PIECE ? (size_t)size : PIECE;
		bool end = is_last && n == size;

		if (read_exactly(c, n, at, why) < 0 || send_piece(c, prepared(c, end), end, why) < 0)
			return -1;
		at += n;
		size -= n;
	} while (size > 0);
	return 0;
}

static int send_text(struct copy *c, struct str text, struct failure *why)
{
	do {
		struct str piece = str_sub(text, 0, PIECE);
		bool end = piece.n == text.n;

		buf_clear(&c->in);
		buf_add(&c->in, piece);
		if (send_piece(c, prepared(c, end), end, why) < 0)
			return -1;
		text = str_skip(text, piece.n);
	} while (text.n > 0);
	return 0;
}

static int send_as_is(struct copy *c, struct failure *why)
{
	const struct queue_message *m = &c->r->m;

	if (m->header_at + m->header_size == m->body_at)
		return send_range(c, m->header_at, m->header_size + m->body_size, true, why);
	if (send_range(c, m->header_at, m->header_size, false, why) < 0)
		return -1;
	return send_range(c, m->body_at, m->body_size, true, why);
}

/* ---- in other words ---- */

struct map_job { /* all of the file, read in */
	int fd, error;
	size_t size;
	void *p;
};

static void map_blocking(void *arg)
{
	struct map_job *job = arg;

	job->p = mmap(NULL, job->size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, job->fd, 0);
	job->error = errno;
}

struct sending { /* a body being converted */
	struct copy *c;
	struct failure *why;
};

static bool send_converted(struct mime_7bit *m)
{
	struct sending *to = m->ctx;
	int r = send_piece(to->c, prepared(to->c, false), false, to->why);

	buf_clear(&to->c->in);
	return r == 0;
}

static int send_7bit(struct copy *c, struct header *h, struct str body, struct failure *why)
{
	struct sending to = { c, why };
	struct mime_7bit text = { .life = c->a,
		.nesting = cfg->mime_nesting,
		.boundary_length = cfg->boundary_length,
		.out = &c->in,
		.full = send_converted,
		.ctx = &to };

	buf_clear(&c->in);
	mime_7bit_header(&text, h);
	header_print(h, &c->in);
	buf_addz(&c->in, "\r\n");
	if (!mime_7bit_body(&text, body)) {
		if (text.walk.too_deep)
			failure_local(c->a, CODE(0, 5, 6, 0), why, MIME_TOO_DEEP);
		return -1;
	}
	return send_piece(c, prepared(c, true), true, why);
}

static int send_header(struct copy *c, const struct header *h, struct failure *why)
{
	buf_clear(&c->in);
	header_print(h, &c->in);
	buf_addz(&c->in, "\r\n");
	return send_piece(c, prepared(c, false), false, why);
}

/* The body in memory, for those who look at all of it. */
static int send_body(struct copy *c, struct header *h, struct failure *why)
{
	const struct queue_message *m = &c->r->m;
	struct map_job job = { .fd = c->r->fd, .size = (size_t)(m->body_at + m->body_size) };
	struct buf changed = { 0 };
	struct str body;
	int r = 0;

	offload(map_blocking, &job);
	if (job.p == MAP_FAILED)
		return cannot_read(c, strerror(job.error), why);
	body = str_n((const char *)job.p + m->body_at, (size_t)m->body_size);
	if (checks_body_any())
		r = checks_body(c->a, m->id, h, &body, &changed, why);
	if (r == 0 && c->to_7bit)
		r = send_7bit(c, h, body, why);
	else if (r == 0)
		r = send_header(c, h, why) < 0 ? -1 : send_text(c, body, why);
	munmap(job.p, job.size);
	buf_done(&changed);
	return r;
}

/* The header as it goes out. */
static int change_header(struct copy *c, struct header *h, struct failure *why)
{
	const struct queue_message *m = &c->r->m;
	struct buf changed = { 0 };
	struct str text;
	bool missing_blank;
	int r = 0;

	if (read_exactly(c, (size_t)m->header_size, m->header_at, why) < 0)
		return -1;
	text = buf_str(&c->in);
	if (checks_header_any())
		r = checks_header(c->a, m->id, &text, &changed, why);
	header_init(h, c->a);
	header_parse(h, arena_dup(c->a, text), &missing_blank);
	buf_done(&changed);
	return r == 0 && cfg->generic.count > 0 ? generic_header(c->a, h, why) : r;
}

static int send_changed(struct copy *c, struct failure *why)
{
	const struct queue_message *m = &c->r->m;
	struct header h;
	int r = change_header(c, &h, why);

	if (r == 0 && (c->to_7bit || checks_body_any()))
		r = send_body(c, &h, why);
	else if (r == 0)
		r = send_header(c, &h, why) < 0 ? -1 : send_range(c, m->body_at, m->body_size, true, why);
	if (r < 0)
		c->s->broken = true; /* the server waits for more content */
	return r;
}

/* Pause and final dot for a firewall that loses it when it comes in a packet with text. */
static int send_dot(struct copy *c, struct failure *why)
{
	if (session_flush(c->s, c->a, cfg->data_xfer_ms, "sending message body", why) < 0)
		return -1;
	fiber_sleep(cfg->pix_delay_ms);
	return send_piece(c, STR(".\r\n"), true, why);
}

static bool pause_is_due(const struct session *s, const struct queue_message *m)
{
	return s->pix_delay && clock_wall_us() - m->arrival_us > cfg->pix_threshold_ms * 1000;
}

int content_send(struct session *s, struct arena *a, const struct deliver_request *r, struct failure *why)
{
	const struct queue_message *m = &r->m;
	struct copy c = { .s = s, .a = a, .r = r, .at_start = true, .bdat = content_by_bdat(s) };
	int result;

	c.to_7bit = cfg->mime_conversion && !(s->offers & OFFER_8BITMIME) && (m->flags & (QUEUE_8BIT | QUEUE_BODY_8BITMIME));
	c.stuff = !c.bdat && (c.to_7bit || checks_header_any() || checks_body_any() || (m->flags & QUEUE_DOTS));
	c.hold_dot = !c.bdat && pause_is_due(s, m);
	if (cfg->request_deadline)
		c.deadline = deadline_in(cfg->data_xfer_ms + (int64_t)((m->header_size + m->body_size) * 1000 / cfg->min_data_rate));
	result = c.to_7bit || cfg->generic.count > 0 || checks_header_any() || checks_body_any() ? send_changed(&c, why) : send_as_is(&c, why);
	if (result == 0 && c.hold_dot)
		result = send_dot(&c, why);
	if (result == 0 && c.bdat)
		result = read_chunks(&c, 0, why);
	if (result == 0 && c.refused) { /* the last chunk's reply can only repeat it */
		s->broken = true;
		result = -1;
	}
	buf_done(&c.in);
	buf_done(&c.broken_up);
	buf_done(&c.out);
	return result;
}

bool content_by_bdat(const struct session *s)
{
	return cfg->chunking && (s->offers & OFFER_CHUNKING);
}

bool content_header_is_8bit(const struct deliver_request *r)
{
	char piece[4096];
	uint64_t at = r->m.header_at, left = r->m.header_size;

	while (left > 0) {
		int error;
		ssize_t got = read_some(r->fd, piece, left < sizeof piece ? (size_t)left : sizeof piece, (off_t)at, &error);

		if (got <= 0)
			return false; /* content_send() will meet the same trouble and say so */
		for (ssize_t i = 0; i < got; i++) {
			if ((unsigned char)piece[i] > 127)
				return true;
		}
		at += (uint64_t)got;
		left -= (uint64_t)got;
	}
	return false;
}
