/* lib/mail/mime.c - the MIME structure of a body, line by line. */
#include "lib/mail/mime.h"

#include <string.h>

enum kind { KIND_LEAF, KIND_MULTIPART, KIND_MESSAGE };

struct mime_level { /* an open multipart */
	struct str boundary;
	bool digest;
};

struct part { /* what the fields of a part say */
	enum kind kind;
	enum mime_encoding encoding;
	struct str boundary;
	bool digest;
};

enum mode { IN_CONTENT, IN_PART_HEADER, IN_NESTED_HEADER };

/* ---- fields ---- */

/* Cut one parameter off: up to a ';' outside quotes. */
static struct str next_param(struct str *rest)
{
	bool quoted = false;
	size_t n = 0;
	struct str param;

	for (; n < rest->n && (quoted || rest->p[n] != ';'); n++) {
		if (rest->p[n] == '\\' && quoted)
			n++;
		else if (rest->p[n] == '"')
			quoted = !quoted;
	}
	param = str_sub(*rest, 0, n);
	*rest = str_skip(*rest, n + 1);
	return str_trim(param);
}

static struct str unquoted(struct arena *a, struct str s)
{
	struct buf b = { 0 };
	struct str out;

	if (s.n == 0 || s.p[0] != '"')
		return str_word(&s, " \t\r\n(");
	for (size_t i = 1; i < s.n && s.p[i] != '"'; i++) {
		if (s.p[i] == '\\' && i + 1 < s.n)
			i++;
		buf_addc(&b, s.p[i]);
	}
	out = arena_dup(a, buf_str(&b));
	buf_done(&b);
	return out;
}

static void read_type(struct mime_walk *w, struct str value, struct part *p)
{
	struct str rest = header_unfold(w->life, value), type = next_param(&rest);

	p->kind = KIND_LEAF;
	type = str_word(&type, " \t(");
	if (str_startsi(type, STR("message/")) && !str_eqi(type, STR("message/delivery-status")) && !str_eqi(type, STR("message/partial")) &&
		!str_eqi(type, STR("message/external-body")))
		p->kind = KIND_MESSAGE;
	if (!str_startsi(type, STR("multipart/")))
		return;
	p->kind = KIND_MULTIPART;
	p->digest = str_eqi(type, STR("multipart/digest"));
	while (rest.n > 0) {
		struct str param = next_param(&rest), name = str_trim(str_cut(&param, '='));

		if (str_eqi(name, STR("boundary")))
			p->boundary = str_sub(unquoted(w->life, str_trim(param)), 0, w->boundary_length);
	}
	while (p->boundary.n > 0 && p->boundary.p[p->boundary.n - 1] == ' ')
		p->boundary.n--;
}

enum mime_encoding mime_encoding_of(struct str value)
{
	static const struct {
		const char *name;
		enum mime_encoding encoding;
	} names[] = { { "7bit", MIME_7BIT }, { "8bit", MIME_8BIT }, { "binary", MIME_BINARY } };
	struct str word = str_word(&value, " \t\r\n(;");

	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (str_eqiz(word, names[i].name))
			return names[i].encoding;
	return word.n > 0 ? MIME_ENCODED : MIME_7BIT;
}

static void read_field(struct mime_walk *w, struct str field, struct part *p)
{
	struct str value = field, name = str_trim(str_cut(&value, ':'));

	if (str_eqi(name, STR("Content-Type")))
		read_type(w, value, p);
	else if (str_eqi(name, STR("Content-Transfer-Encoding")))
		p->encoding = mime_encoding_of(value);
}

/* ---- structure ---- */

/* The fields of a part are read: what follows them? */
static enum mode enter(struct mime_walk *w, const struct part *p)
{
	w->encoding = p->encoding;
	w->composite = p->kind != KIND_LEAF;
	w->segment_octets = 0;
	if (p->kind != KIND_LEAF && p->encoding == MIME_ENCODED)
		w->bad_encoding = true;
	if (p->kind == KIND_MULTIPART && p->boundary.n > 0 && w->depth == w->nesting)
		w->too_deep = true;
	else if (p->kind == KIND_MULTIPART && p->boundary.n > 0)
		w->levels[w->depth++] = (struct mime_level){ p->boundary, p->digest };
	if (p->kind == KIND_MESSAGE && p->encoding != MIME_ENCODED)
		return IN_NESTED_HEADER;
	return IN_CONTENT;
}

/* A line that ends the part we are in: its boundary is one of the open ones. Boundaries may begin with one another: the longest line
 * match is not looked for, the innermost one counts, as for other readers. */
static bool at_boundary(struct mime_walk *w, struct str line, struct part *next, bool *closing)
{
	if (w->depth == 0 || line.n < 2 || line.p[0] != '-' || line.p[1] != '-')
		return false;
	line = str_skip(line, 2);
	for (size_t i = w->depth; i-- > 0;) {
		struct str rest;

		if (!str_starts(line, w->levels[i].boundary))
			continue;
		rest = str_skip(line, w->levels[i].boundary.n);
		*closing = str_starts(rest, STR("--"));
		if (str_trim(*closing ? str_skip(rest, 2) : rest).n > 0)
			continue;
		w->depth = *closing ? i : i + 1;
		*next = (struct part){ .kind = w->levels[i].digest ? KIND_MESSAGE : KIND_LEAF, .boundary = STR_NONE };
		return true;
	}
	return false;
}

/* Octets of a header line's name and colon, 0 when it is none. */
static size_t field_name(struct str line)
{
	size_t n = 0;

	while (n < line.n && line.p[n] > ' ' && line.p[n] < 127 && line.p[n] != ':')
		n++;
	while (n > 0 && n < line.n && (line.p[n] == ' ' || line.p[n] == '\t'))
		n++;
	return n > 0 && n < line.n && line.p[n] == ':' ? n + 1 : 0;
}

static size_t line_size(struct str s)
{
	ptrdiff_t lf = str_chr(s, '\n');

	return lf < 0 ? s.n : (size_t)lf + 1;
}

static size_t field_size(struct str s)
{
	size_t n = line_size(s);

	while (n < s.n && (s.p[n] == ' ' || s.p[n] == '\t'))
		n += line_size(str_skip(s, n));
	return n;
}

static struct str chomp(struct str s)
{
	if (s.n > 0 && s.p[s.n - 1] == '\n')
		s.n--;
	if (s.n > 0 && s.p[s.n - 1] == '\r')
		s.n--;
	return s;
}

struct position {
	struct str rest;
	enum mode mode;
	struct part part;
};

/* One line, or one field. False: visit() has had enough. */
static bool step(struct mime_walk *w, struct position *at)
{
	size_t n = line_size(at->rest);
	struct str line = chomp(str_sub(at->rest, 0, n));
	enum mime_class what = MIME_BODY;
	bool closing;

	if (at_boundary(w, line, &at->part, &closing)) {
		at->mode = closing ? IN_CONTENT : IN_PART_HEADER;
		w->encoding = MIME_7BIT;
		w->composite = false;
		w->segment_octets = 0;
		what = MIME_BOUNDARY;
	} else if (at->mode != IN_CONTENT && line.n > 0 && field_name(line) > 0) {
		n = field_size(at->rest);
		line = chomp(str_sub(at->rest, 0, n));
		what = at->mode == IN_PART_HEADER ? MIME_PART_HEADER : MIME_NESTED_HEADER;
		read_field(w, line, &at->part);
	} else if (at->mode != IN_CONTENT) {
		at->mode = enter(w, &at->part);
		at->part = (struct part){ .boundary = STR_NONE };
		what = MIME_HEADER_END;
	}
	at->rest = str_skip(at->rest, n);
	if (!w->visit(w, what, line))
		return false;
	if (what >= MIME_HEADER_END)
		w->segment_octets += n;
	return true;
}

void mime_begin(struct mime_walk *w, const struct header *primary)
{
	struct part part = { .boundary = STR_NONE };

	w->depth = 0;
	w->levels = arena_alloc(w->life, (w->nesting + 1) * sizeof *w->levels);
	for (size_t i = 0; i < primary->count && w->structure; i++)
		if (!primary->fields[i].deleted)
			read_field(w, primary->fields[i].text, &part);
	w->in_nested = enter(w, &part) == IN_NESTED_HEADER;
}

void mime_walk(struct mime_walk *w, struct str body)
{
	struct position at = { .rest = body, .mode = w->in_nested ? IN_NESTED_HEADER : IN_CONTENT, .part = { .boundary = STR_NONE } };

	while (at.rest.n > 0 && step(w, &at))
		;
}
