/* lib/mail/header.c - the header block as a list of fields, and edits on it. Addresses in fields are in header_addr.c. */
#include "lib/mail/header.h"

#include <string.h>

/* More fields than this are no header any more: what follows is body. Bounds what a message of "a:" lines can make us hold. */
#define FIELDS_MAX 20000
#define FIELDS_FIRST 32

void header_init(struct header *h, struct arena *life)
{
	*h = (struct header){ .life = life };
}

/* ---- parsing ---- */

static void make_room(struct header *h)
{
	size_t cap = h->cap > 0 ? 2 * h->cap : FIELDS_FIRST;
	struct header_field *fields;

	if (h->count < h->cap)
		return;
	fields = arena_alloc(h->life, cap * sizeof *fields);
	if (h->count > 0)
		memcpy(fields, h->fields, h->count * sizeof *fields);
	h->fields = fields;
	h->cap = cap;
}

/* Octets of the line at the front of s with its LF. */
static size_t line_size(struct str s)
{
	ptrdiff_t lf = str_chr(s, '\n');

	return lf < 0 ? s.n : (size_t)lf + 1;
}

static struct str chomp(struct str line)
{
	if (line.n > 0 && line.p[line.n - 1] == '\n')
		line.n--;
	if (line.n > 0 && line.p[line.n - 1] == '\r')
		line.n--;
	return line;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* Octets of the field name at the front of line, 0 when it is no header line. Blanks before the colon are obsolete syntax. */
static size_t name_size(struct str line)
{
	size_t n = 0, colon;

	while (n < line.n && line.p[n] > ' ' && line.p[n] < 127 && line.p[n] != ':')
		n++;
	for (colon = n; colon < line.n && is_blank(line.p[colon]); colon++)
		;
	return colon < line.n && line.p[colon] == ':' ? n : 0;
}

bool header_is_field(struct str s)
{
	size_t n = name_size(s);

	return n > 0 && s.p[n] == ':';
}

/* Octets of the field at the front of s: its first line and the lines that begin with a blank. */
static size_t field_size(struct str s)
{
	size_t n = line_size(s);

	while (n < s.n && is_blank(s.p[n]))
		n += line_size(str_skip(s, n));
	return n;
}

/* Folds made with a bare LF become CRLF; any other text stays where it is. */
static struct str with_crlf(struct arena *a, struct str text)
{
	char *p;
	size_t n = 0, bare = 0;

	for (ptrdiff_t at = str_chr(text, '\n'); at >= 0;) {
		ptrdiff_t next = str_chr(str_skip(text, (size_t)at + 1), '\n');

		bare += at == 0 || text.p[at - 1] != '\r';
		at = next < 0 ? -1 : at + 1 + next;
	}
	if (bare == 0)
		return text;
	p = arena_alloc(a, text.n + bare);
	for (size_t i = 0; i < text.n; i++) {
		if (text.p[i] == '\n' && (i == 0 || text.p[i - 1] != '\r'))
			p[n++] = '\r';
		p[n++] = text.p[i];
	}
	return str_n(p, n);
}

static void set_text(struct header_field *f, struct str text, size_t name)
{
	ptrdiff_t colon = str_chr(str_skip(text, name), ':');

	f->text = text;
	f->name = str_sub(text, 0, name);
	f->value = str_skip(text, name + (size_t)colon + 1);
}

static void add_field(struct header *h, struct str text, size_t name)
{
	make_room(h);
	h->fields[h->count] = (struct header_field){ .hidden = false };
	set_text(&h->fields[h->count++], with_crlf(h->life, text), name);
}

/* The mbox separator line that some senders leave in front of the header. Returns its octets, 0 when there is none. */
static size_t mailbox_line(struct header *h, struct str message)
{
	size_t n = line_size(message);
	struct str line = chomp(str_sub(message, 0, n));

	if (!str_starts(line, STR("From ")) && !str_starts(line, STR(">From ")))
		return 0;
	add_field(h, arena_printf(h->life, "X-Mailbox-Line: %.*s", STRF(line)), strlen("X-Mailbox-Line"));
	return n;
}

size_t header_parse(struct header *h, struct str message, bool *missing_blank)
{
	size_t at = mailbox_line(h, message);

	*missing_blank = false;
	while (at < message.n) {
		struct str rest = str_skip(message, at);
		size_t line = line_size(rest), name;

		if (chomp(str_sub(rest, 0, line)).n == 0)
			return at + line;
		name = name_size(str_sub(rest, 0, line));
		if (name == 0 || h->count >= FIELDS_MAX) {
			*missing_blank = true;
			return at;
		}
		line = field_size(rest);
		add_field(h, chomp(str_sub(rest, 0, line)), name);
		at += line;
	}
	return message.n;
}

/* ---- finding and editing ---- */

struct header_field *header_find(struct header *h, const char *name, size_t n)
{
	struct str wanted = str_z(name);

	for (size_t i = 0; i < h->count; i++) {
		struct header_field *f = &h->fields[i];

		if (!f->deleted && !f->hidden && str_eqi(f->name, wanted) && --n == 0)
			return f;
	}
	return NULL;
}

/* A value from a program (milter, table) made fit for a header: CRLF folds, each followed by a blank, so that no value can begin
 * a second field or the body. */
static void add_value(struct buf *b, struct str value)
{
	bool first = true;

	while (value.n > 0) {
		size_t n = line_size(value);
		struct str line = chomp(str_sub(value, 0, n));

		value = str_skip(value, n);
		if (!first && line.n == 0)
			continue;
		if (!first)
			buf_addz(b, is_blank(line.p[0]) ? "\r\n" : "\r\n\t");
		for (size_t i = 0; i < line.n; i++) /* CR and NUL have no business in a header */
			buf_addc(b, line.p[i] == '\r' || line.p[i] == '\0' ? ' ' : line.p[i]);
		first = false;
	}
}

static struct str field_text(struct arena *a, struct str name, struct str value, bool space)
{
	struct buf b = { 0 };
	struct str text;

	for (size_t i = 0; i < name.n; i++) /* nothing in a name may end it, or the line */
		buf_addc(&b, name.p[i] > ' ' && name.p[i] < 127 && name.p[i] != ':' ? name.p[i] : '-');
	buf_addc(&b, ':');
	if (space && (value.n == 0 || !is_blank(value.p[0])))
		buf_addc(&b, ' ');
	add_value(&b, value);
	text = arena_dup(a, buf_str(&b));
	buf_done(&b);
	return text;
}

void header_insert(struct header *h, size_t at, struct str name, struct str value, bool space)
{
	struct str text = field_text(h->life, name, value, space);

	make_room(h);
	if (at > h->count)
		at = h->count;
	memmove(&h->fields[at + 1], &h->fields[at], (h->count - at) * sizeof *h->fields);
	h->fields[at] = (struct header_field){ .hidden = false };
	set_text(&h->fields[at], text, name.n);
	h->count++;
}

void header_append(struct header *h, struct str name, struct str value, bool space)
{
	header_insert(h, h->count, name, value, space);
}

void header_replace(struct header *h, struct header_field *f, struct str value, bool space)
{
	struct str name = f->name;

	set_text(f, field_text(h->life, name, value, space), name.n);
}

size_t header_size(const struct header *h)
{
	size_t n = 0;

	for (size_t i = 0; i < h->count; i++)
		n += h->fields[i].deleted ? 0 : h->fields[i].text.n + 2;
	return n;
}

void header_print(const struct header *h, struct buf *out)
{
	buf_reserve(out, header_size(h));
	for (size_t i = 0; i < h->count; i++) {
		if (h->fields[i].deleted)
			continue;
		buf_add(out, h->fields[i].text);
		buf_addn(out, "\r\n", 2);
	}
}

struct str header_unfold(struct arena *a, struct str value)
{
	char *p;
	size_t n = 0;

	if (str_chr(value, '\n') < 0)
		return value;
	p = arena_alloc(a, value.n + 1);
	for (size_t i = 0; i < value.n; i++) {
		size_t end = value.p[i] == '\r' && i + 1 < value.n && value.p[i + 1] == '\n' ? i + 1 : i;

		if (value.p[end] == '\n' && (end + 1 == value.n || is_blank(value.p[end + 1])))
			i = end;
		else
			p[n++] = value.p[i];
	}
	return str_n(p, n);
}

bool header_is_mime(struct str name)
{
	static const char *const names[] = { "Content-Description", "Content-Disposition", "Content-Id", "Content-Transfer-Encoding", "Content-Type",
		"MIME-Version" };

	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (str_eqiz(name, names[i]))
			return true;
	return false;
}

void header_add_comment(struct buf *out, struct str text)
{
	size_t from;

	buf_addc(out, '(');
	from = out->n;
	buf_add_safe(out, text);
	for (size_t i = from; i < out->n; i++)
		if (strchr("()\\", out->p[i]) != NULL)
			out->p[i] = '?';
	buf_addc(out, ')');
}
