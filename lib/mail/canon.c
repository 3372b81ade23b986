/* lib/mail/canon.c - canonical forms. The body's: empty lines and, relaxed, blanks are counted and put only when something follows them. */
#include "lib/mail/canon.h"

#include <ctype.h>
#include <string.h>

/* ---- header ---- */

static bool is_wsp(char c)
{
	return c == ' ' || c == '\t';
}

/* Unfolded, runs of white space one blank, none at either end. */
static void relaxed_value(struct buf *out, struct str value)
{
	bool blank = false;
	size_t from = out->n;

	for (size_t i = 0; i < value.n; i++) {
		char c = value.p[i];

		if (is_wsp(c) || c == '\r' || c == '\n') {
			blank = true;
			continue;
		}
		if (blank && out->n > from)
			buf_addc(out, ' ');
		blank = false;
		buf_addc(out, c);
	}
}

void canon_field(struct buf *out, enum canon how, struct str name, struct str value)
{
	if (how == CANON_SIMPLE) {
		buf_add(out, name);
		buf_addc(out, ':');
		buf_add(out, value);
	} else {
		buf_add_lower(out, str_trim(name));
		buf_addc(out, ':');
		relaxed_value(out, value);
	}
	buf_add(out, STR("\r\n"));
}

void canon_without_b(struct buf *out, struct str value)
{
	struct str rest = value;

	while (rest.n > 0) {
		bool last = str_chr(rest, ';') < 0;
		struct str part = str_cut(&rest, ';'), content = part, name = str_cut(&content, '=');

		if (str_eqz(str_trim(name), "b") && name.n < part.n)
			buf_add(out, str_sub(part, 0, name.n + 1));
		else
			buf_add(out, part);
		if (!last)
			buf_addc(out, ';');
	}
}

/* ---- body ---- */

static void flush(struct canon_body *b)
{
	if (b->used > 0)
		b->put(b->ctx, b->room, b->used);
	b->used = 0;
}

static void emit(struct canon_body *b, const char *p, size_t n)
{
	while (n > 0) {
		size_t part = sizeof b->room - b->used < n ? sizeof b->room - b->used : n;

		memcpy(b->room + b->used, p, part);
		b->used += part;
		p += part;
		n -= part;
		if (b->used == sizeof b->room)
			flush(b);
	}
}

/* Octets of a line, no line end and, relaxed, no white space among them. What was held back comes before them. */
static void content(struct canon_body *b, const char *p, size_t n)
{
	for (; b->empty_lines > 0; b->empty_lines--)
		emit(b, "\r\n", 2);
	if (b->blank)
		emit(b, " ", 1);
	b->blank = false;
	b->line_open = b->any = true;
	emit(b, p, n);
}

static void line_end(struct canon_body *b)
{
	b->blank = false;
	if (b->line_open)
		emit(b, "\r\n", 2);
	else
		b->empty_lines++;
	b->line_open = false;
}

static bool is_plain(const struct canon_body *b, char c)
{
	return c != '\r' && (b->how == CANON_SIMPLE || !is_wsp(c));
}

void canon_body_init(struct canon_body *b, enum canon how, void (*put)(void *ctx, const char *p, size_t n), void *ctx)
{
	*b = (struct canon_body){ .how = how, .put = put, .ctx = ctx };
}

void canon_body_feed(struct canon_body *b, const char *p, size_t n)
{
	size_t i = 0, from;

	while (i < n) {
		if (b->cr) {
			b->cr = false;
			if (p[i] == '\n') {
				line_end(b);
				i++;
				continue;
			}
			content(b, "\r", 1);
		}
		for (from = i; i < n && is_plain(b, p[i]);)
			i++;
		if (i > from)
			content(b, p + from, i - from);
		if (i == n)
			break;
		if (p[i] == '\r')
			b->cr = true;
		else
			b->blank = true;
		i++;
	}
}

void canon_body_end(struct canon_body *b)
{
	if (b->cr)
		content(b, "\r", 1);
	if (b->line_open)
		emit(b, "\r\n", 2);
	else if (b->how == CANON_SIMPLE && !b->any)
		emit(b, "\r\n", 2); /* section 3.4.3: no body at all is one line end */
	flush(b);
}
