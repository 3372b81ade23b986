/* lib/mail/line.c - SMTP content in and out. All copying is in runs of whole lines: what needs no change is moved with one memcpy. */
#include "lib/mail/line.h"

#include <stdint.h>
#include <string.h>

#define LINE_SOFT_MAX 998 /* octets without CRLF, RFC 5321 section 4.5.3.1.6 */

/* ---- in ---- */

static bool has_eight_bit(const char *p, size_t n)
{
	uint64_t any = 0, word;
	unsigned char tail = 0;

	for (; n >= sizeof word; p += sizeof word, n -= sizeof word) {
		memcpy(&word, p, sizeof word);
		any |= word;
	}
	for (; n > 0; p++, n--)
		tail |= (unsigned char)*p;
	return (any & UINT64_C(0x8080808080808080)) != 0 || (tail & 0x80) != 0;
}

static void note_bytes(struct line_in *l, const char *p, size_t n)
{
	if (n == 0)
		return;
	if (!l->eight_bit)
		l->eight_bit = has_eight_bit(p, n);
	if (!l->nul)
		l->nul = memchr(p, '\0', n) != NULL;
}

/* One feed: bytes from run to at are settled and wait to be copied together. */
struct feed {
	struct line_in *l;
	struct buf *out;
	const char *run, *at, *end;
};

static void flush_run(struct feed *f, const char *next)
{
	if (f->at > f->run)
		buf_addn(f->out, f->run, (size_t)(f->at - f->run));
	f->run = f->at = next;
}

/* Replace the stray CRs in [from, to) on the way out. */
static void note_stray_cr(struct feed *f, const char *from, const char *to)
{
	const char *cr = from < to ? memchr(from, '\r', (size_t)(to - from)) : NULL;

	if (cr == NULL)
		return;
	f->l->bare_cr = true;
	if (!f->l->replace_stray)
		return;
	for (; cr != NULL; cr = memchr(cr + 1, '\r', (size_t)(to - cr - 1))) {
		f->at = cr;
		flush_run(f, cr + 1);
		buf_addc(f->out, ' ');
	}
}

static void note_size(struct line_in *l, size_t more)
{
	l->line_size += more;
	if (l->line_size > LINE_SOFT_MAX)
		l->long_lines = true;
}

enum dot { DOT_DATA, DOT_WAIT, DOT_DROPPED, DOT_END };

/* A line begins with '.': the end of data, a line to be dropped, or the first of two dots. RFC 5321 section 4.1.1.4: only
 * CRLF.CRLF ends the data; what some hosts take for it (LF.CRLF, CRLF.LF) must neither end it nor go out to them. */
static enum dot leading_dot(struct feed *f)
{
	const char *p = f->at;
	size_t left = (size_t)(f->end - p);
	bool crlf = left >= 3 && p[1] == '\r' && p[2] == '\n';

	if (left == 1 || (left == 2 && p[1] == '\r'))
		return DOT_WAIT;
	if (crlf && f->l->crlf_before) {
		flush_run(f, p + 3);
		return DOT_END;
	}
	if (crlf || p[1] == '\n') {
		flush_run(f, p + (crlf ? 3 : 2));
		f->l->crlf_before = crlf;
		f->l->bare_lf |= !crlf;
		return DOT_DROPPED;
	}
	flush_run(f, p + 1);
	f->l->dot_lines |= p[1] == '.';
	return DOT_DATA;
}

/* The LF at lf ends a line whose unsettled part begins at f->at. */
static void end_line(struct feed *f, const char *lf)
{
	struct line_in *l = f->l;
	bool crlf = lf > f->at && lf[-1] == '\r';
	const char *from = f->at, *to = crlf ? lf - 1 : lf;

	note_stray_cr(f, from, to);
	note_size(l, (size_t)(to - from));
	if (crlf) {
		f->at = lf + 1;
	} else {
		l->bare_lf = true;
		f->at = lf;
		flush_run(f, lf + 1);
		buf_addn(f->out, "\r\n", 2);
	}
	l->crlf_before = crlf;
	l->at_start = true;
	l->line_size = 0;
}

/* No LF in sight: take what cannot be the beginning of a line end. */
static void part_of_line(struct feed *f)
{
	const char *to = f->end[-1] == '\r' ? f->end - 1 : f->end, *from = f->at;

	note_stray_cr(f, from, to);
	note_size(f->l, (size_t)(to - from));
	f->at = to;
}

size_t line_in_feed(struct line_in *l, struct str in, struct buf *out, bool *end)
{
	struct feed f = { l, out, in.p, in.p, in.p + in.n };
	size_t used;

	*end = false;
	while (f.at < f.end) {
		const char *lf;

		if (l->at_start && *f.at == '.') {
			enum dot dot = leading_dot(&f);

			*end = dot == DOT_END;
			if (dot == DOT_WAIT || dot == DOT_END)
				break;
			if (dot == DOT_DROPPED)
				continue;
		}
		l->at_start = false;
		lf = memchr(f.at, '\n', (size_t)(f.end - f.at));
		if (lf == NULL) {
			if (f.at < f.end)
				part_of_line(&f);
			break;
		}
		end_line(&f, lf);
	}
	used = (size_t)(f.at - in.p);
	flush_run(&f, f.at);
	note_bytes(l, in.p, used);
	return used;
}

/* ---- out ---- */

/* Dots are looked for, not line ends: most content has fewer of them, and base64 none. */
void line_out_stuff(struct str in, bool *at_start, struct buf *out)
{
	const char *from = in.p, *end = in.p + in.n;

	if (in.n == 0)
		return;
	for (const char *dot = in.p; (dot = dot < end ? memchr(dot, '.', (size_t)(end - dot)) : NULL) != NULL; dot++) {
		if (dot == in.p ? !*at_start : dot[-1] != '\n')
			continue;
		buf_addn(out, from, (size_t)(dot - from));
		buf_addc(out, '.');
		from = dot;
	}
	*at_start = end[-1] == '\n';
	buf_addn(out, from, (size_t)(end - from));
}

size_t line_to_lf(struct str in, struct buf *out)
{
	struct str rest = in;

	while (rest.n > 0) {
		ptrdiff_t cr = str_chr(rest, '\r');

		if (cr < 0) {
			buf_add(out, rest);
			return in.n;
		}
		buf_addn(out, rest.p, (size_t)cr);
		rest = str_skip(rest, (size_t)cr);
		if (rest.n == 1)
			break;
		if (rest.p[1] != '\n')
			buf_addc(out, '\r');
		rest = str_skip(rest, 1);
	}
	return in.n - rest.n;
}
