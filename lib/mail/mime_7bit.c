/* lib/mail/mime_7bit.c - 8-bit MIME content as quoted-printable, part by part. */
#include "lib/mail/mime_7bit.h"

#define QP_COLUMN 72 /* a line is broken behind this: an octet may take three, "=" one more, and 76 is the limit */

/* ---- quoted-printable ---- */

void mime_qp_line(struct buf *out, struct str line)
{
	static const char hex[] = "0123456789ABCDEF";
	size_t column = 0;

	for (size_t i = 0; i < line.n; i++) {
		unsigned char c = (unsigned char)line.p[i];
		bool blank = c == ' ' || c == '\t';

		if (column > QP_COLUMN) {
			buf_addz(out, "=\r\n");
			column = 0;
		}
		if ((blank && i + 1 < line.n) || (c > ' ' && c < 127 && c != '=')) {
			buf_addc(out, (char)c);
			column++;
		} else {
			buf_addc(out, '=');
			buf_addc(out, hex[c >> 4]);
			buf_addc(out, hex[c & 15]);
			column += 3;
		}
	}
	buf_addz(out, "\r\n");
}

/* ---- encodings in headers ---- */

static bool is_8bit(enum mime_encoding encoding)
{
	return encoding == MIME_8BIT || encoding == MIME_BINARY;
}

/* A field that will not be true any more. */
static bool outdated(struct str field)
{
	struct str value = field, name = str_trim(str_cut(&value, ':'));

	return str_eqiz(name, "Content-Transfer-Encoding") && is_8bit(mime_encoding_of(value));
}

static const char *new_encoding(const struct mime_walk *w)
{
	return w->composite ? "7bit" : "quoted-printable";
}

void mime_7bit_header(struct mime_7bit *m, struct header *h)
{
	m->walk = (struct mime_walk){
		.life = m->life, .structure = true, .nesting = m->nesting, .boundary_length = m->boundary_length, .ctx = m
	};
	mime_begin(&m->walk, h);
	for (size_t i = 0; i < h->count; i++)
		h->fields[i].deleted |= outdated(h->fields[i].text);
	if (is_8bit(m->walk.encoding))
		header_append(h, STR("Content-Transfer-Encoding"), str_z(new_encoding(&m->walk)), true);
}

/* ---- the body ---- */

static void add_line(struct buf *out, struct str line)
{
	buf_add(out, line);
	buf_addz(out, "\r\n");
}

static void body_line(struct mime_7bit *m, struct str line)
{
	if (is_8bit(m->walk.encoding) && !m->walk.composite)
		mime_qp_line(m->out, line);
	else
		add_line(m->out, line);
}

static void header_end(struct mime_7bit *m, struct str line)
{
	if (is_8bit(m->walk.encoding))
		buf_addf(m->out, "Content-Transfer-Encoding: %s\r\n", new_encoding(&m->walk));
	add_line(m->out, STR_NONE);
	if (line.n > 0)
		body_line(m, line);
}

static bool visit(struct mime_walk *w, enum mime_class what, struct str text)
{
	struct mime_7bit *m = w->ctx;

	switch (what) {
	case MIME_PART_HEADER:
	case MIME_NESTED_HEADER:
		if (!outdated(text))
			add_line(m->out, text);
		break;
	case MIME_HEADER_END:
		header_end(m, text);
		break;
	case MIME_BOUNDARY:
		add_line(m->out, text);
		break;
	case MIME_BODY:
		body_line(m, text);
	}
	m->stopped = w->too_deep || (m->out->n >= MIME_7BIT_PIECE && !m->full(m));
	return !m->stopped;
}

bool mime_7bit_body(struct mime_7bit *m, struct str body)
{
	m->walk.visit = visit;
	mime_walk(&m->walk, body);
	return !m->stopped;
}
