/* lib/mailbox/content.c - turns the stored message (CRLF) into what a mailbox file or a command's standard input holds. */
#include "lib/mailbox/content.h"

#include <errno.h>

#include "lib/base/fs.h"
#include "lib/mail/date.h"
#include "lib/mail/line.h"

#define PIECE 65536 /* octets read at once */

/* ---- lines in front ---- */

/* Addresses may hold quoted control characters; a line stays one line. */
static void add_one_line(struct buf *b, struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		buf_addc(b, (unsigned char)s.p[i] < 32 || s.p[i] == 127 ? '?' : s.p[i]);
}

static void add_field(struct buf *b, const char *name, struct str value)
{
	buf_addz(b, name);
	add_one_line(b, value);
	buf_addc(b, '\n');
}

void content_front(const struct front *f, struct buf *out)
{
	if (f->lines & FRONT_FROM) {
		buf_addz(out, "From ");
		add_one_line(out, f->sender.n > 0 ? f->sender : str_z(f->null_sender));
		buf_addz(out, "  ");
		date_asctime(out, f->now_us);
		buf_addc(out, '\n');
	}
	if (f->lines & FRONT_RETURN_PATH) {
		buf_addz(out, "Return-Path: <");
		add_one_line(out, f->sender);
		buf_addz(out, ">\n");
	}
	if ((f->lines & FRONT_ORIGINAL) && f->original.n > 0)
		add_field(out, "X-Original-To: ", f->original);
	if (f->lines & FRONT_DELIVERED)
		add_field(out, "Delivered-To: ", f->recipient);
}

/* ---- quoting ---- */

static bool may_become(struct str in, struct str word)
{
	return in.n < word.n && str_starts(word, in);
}

static void begin_line(const struct content_copy *c, struct str in, struct buf *out)
{
	if ((c->flags & CONTENT_QUOTE_FROM) && str_starts(in, STR("From ")))
		buf_addc(out, '>');
	if ((c->flags & CONTENT_DOT_STUFF) && in.n > 0 && in.p[0] == '.')
		buf_addc(out, '.');
}

size_t content_feed(struct content_copy *c, struct str in, bool last, struct buf *out)
{
	size_t used = 0;

	while (in.n > 0) {
		ptrdiff_t end = str_chr(in, '\n');
		size_t n = end >= 0 ? (size_t)end : in.n;

		if (c->at_line_start) {
			if (!last && end < 0 && (c->flags & CONTENT_QUOTE_FROM) && may_become(in, STR("From ")))
				break;
			begin_line(c, in, out);
		}
		buf_add(out, str_sub(in, 0, n));
		c->at_line_start = end >= 0;
		if (end >= 0) {
			buf_add(out, c->eol);
			n++;
		}
		in = str_skip(in, n);
		used += n;
	}
	return used;
}

/* ---- reading ---- */

void content_reader_begin(struct content_reader *r, const struct content *c)
{
	*r = (struct content_reader){ .content = c, .copy = { c->flags, c->eol, true } };
}

/* The next piece of the file behind r->raw. Header and body are two runs of octets, or one where nothing lies between them. */
static int read_piece(struct content_reader *r, struct err *e)
{
	const struct content *c = r->content;
	uint64_t at = c->header_at + r->done, end = c->header_at + c->header_size;
	size_t n;
	char *room;

	if (r->done >= c->header_size) {
		at = c->body_at + (r->done - c->header_size);
		end = c->body_at + c->body_size;
	} else if (c->body_at == end) {
		end += c->body_size;
	}
	n = end - at < PIECE ? (size_t)(end - at) : PIECE;
	room = buf_reserve(&r->raw, n);
	if (fs_pread_all(c->fd, room, n, (off_t)at, e) < 0)
		return -1;
	r->raw.n += n;
	r->done += n;
	return 0;
}

static void finish_lines(struct content_reader *r, struct buf *out)
{
	content_feed(&r->copy, buf_str(&r->raw), true, out); /* a CR that was held back */
	if (!r->copy.at_line_start)
		buf_add(out, r->content->eol);
	if (r->content->flags & CONTENT_BLANK_END)
		buf_add(out, r->content->eol);
	r->ended = true;
}

static void add_front(struct content_reader *r, struct buf *out)
{
	struct content_copy plain = { 0, r->content->eol, true }; /* our own lines need no quoting */

	content_feed(&plain, r->content->front, true, out);
	r->started = true;
}

int content_reader_next(struct content_reader *r, struct buf *out, struct err *e)
{
	bool last;

	if (r->ended)
		return 0;
	if (!r->started)
		add_front(r, out);
	if (r->done < r->content->header_size + r->content->body_size && read_piece(r, e) < 0)
		return -1;
	last = r->done == r->content->header_size + r->content->body_size;
	buf_consume(&r->raw, line_to_lf(buf_str(&r->raw), &r->lf));
	buf_consume(&r->lf, content_feed(&r->copy, buf_str(&r->lf), last, out));
	if (last)
		finish_lines(r, out);
	return 1;
}

void content_reader_done(struct content_reader *r)
{
	buf_done(&r->raw);
	buf_done(&r->lf);
}

static int write_all(int fd, struct str s)
{
	while (s.n > 0) {
		ssize_t put = write(fd, s.p, s.n);

		if (put < 0 && errno == EINTR)
			continue;
		if (put < 0)
			return -1;
		s = str_skip(s, (size_t)put);
	}
	return 0;
}

int content_write(const struct content *c, int fd, bool *read_error)
{
	struct content_reader r;
	struct buf out = { 0 };
	struct err e = ERR_INIT;
	int more, result = 0, errnum;

	content_reader_begin(&r, c);
	do {
		buf_clear(&out);
		more = content_reader_next(&r, &out, &e);
		if (more > 0)
			result = write_all(fd, buf_str(&out));
	} while (more > 0 && result == 0);
	errnum = errno;
	*read_error = more < 0;
	content_reader_done(&r);
	buf_done(&out);
	errno = errnum;
	return more < 0 ? -1 : result;
}
