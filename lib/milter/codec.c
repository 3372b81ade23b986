/* lib/milter/codec.c - packets of the milter protocol as bytes: building, and taking apart what filters send. */
#include "lib/milter/codec.h"

#include <string.h>

#include "lib/mail/dsn.h"

size_t packet_begin(struct buf *b, char command)
{
	size_t at = b->n;

	buf_addn(b, "\0\0\0", 4);
	buf_addc(b, command);
	return at;
}

static void put_u32(unsigned char *p, uint32_t v)
{
	p[0] = (unsigned char)(v >> 24);
	p[1] = (unsigned char)(v >> 16);
	p[2] = (unsigned char)(v >> 8);
	p[3] = (unsigned char)v;
}

void packet_end(struct buf *b, size_t at)
{
	put_u32((unsigned char *)b->p + at, (uint32_t)(b->n - at - 4));
}

void packet_simple(struct buf *b, char command)
{
	packet_end(b, packet_begin(b, command));
}

void packet_u32(struct buf *b, uint32_t v)
{
	unsigned char p[4];

	put_u32(p, v);
	buf_addn(b, p, sizeof p);
}

void packet_z(struct buf *b, struct str s)
{
	ptrdiff_t nul = str_chr(s, '\0');

	buf_add(b, nul < 0 ? s : str_sub(s, 0, (size_t)nul));
	buf_addc(b, '\0');
}

void packet_head(struct buf *b, char command, size_t n)
{
	packet_u32(b, (uint32_t)n + 1);
	buf_addc(b, command);
}

static uint32_t get_u32(const unsigned char *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

bool packet_get_u32(struct str *rest, uint32_t *v)
{
	if (rest->n < 4)
		return false;
	*v = get_u32((const unsigned char *)rest->p);
	*rest = str_skip(*rest, 4);
	return true;
}

/* As packet_get_u32(): text up to a NUL. */
static bool get_z(struct str *rest, struct str *s)
{
	ptrdiff_t nul = str_chr(*rest, '\0');

	if (nul < 0)
		return false;
	*s = str_sub(*rest, 0, (size_t)nul);
	*rest = str_skip(*rest, (size_t)nul + 1);
	return true;
}

uint32_t packet_length(const unsigned char head[PACKET_HEAD])
{
	return get_u32(head);
}

bool packet_head_parse(const unsigned char head[PACKET_HEAD], size_t *payload, char *command)
{
	uint32_t n = get_u32(head);

	if (n == 0 || n > PACKET_REPLY_MAX)
		return false;
	*payload = n - 1;
	*command = (char)head[4];
	return true;
}

/* ---- replies ---- */

/* form: u = u32, z = string, o = optional string, b = the rest as bytes; in order. */
static const struct reply_form {
	char command;
	const char *name, *form;
} forms[] = {
	{ '+', "SMFIR_ADDRCPT", "z" },
	{ '-', "SMFIR_DELRCPT", "z" },
	{ '2', "SMFIR_ADDRCPT_PAR", "zo" },
	{ '4', "SMFIR_SHUTDOWN", "" },
	{ 'a', "SMFIR_ACCEPT", "" },
	{ 'b', "SMFIR_REPLBODY", "b" },
	{ 'c', "SMFIR_CONTINUE", "" },
	{ 'd', "SMFIR_DISCARD", "" },
	{ 'e', "SMFIR_CHGFROM", "zo" },
	{ 'f', "SMFIR_CONN_FAIL", "" },
	{ 'h', "SMFIR_ADDHEADER", "zz" },
	{ 'i', "SMFIR_INSHEADER", "uzz" },
	{ 'm', "SMFIR_CHGHEADER", "uzz" },
	{ 'p', "SMFIR_PROGRESS", "" },
	{ 'q', "SMFIR_QUARANTINE", "z" },
	{ 'r', "SMFIR_REJECT", "" },
	{ 's', "SMFIR_SKIP", "" },
	{ 't', "SMFIR_TEMPFAIL", "" },
	{ 'y', "SMFIR_REPLYCODE", "z" },
};

static const struct reply_form *form_find(char command)
{
	for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
		if (forms[i].command == command)
			return &forms[i];
	return NULL;
}

const char *reply_name(char command)
{
	const struct reply_form *f = form_find(command);

	return f != NULL ? f->name : NULL;
}

static bool take_field(char kind, struct str *rest, struct reply *out, struct str *text)
{
	switch (kind) {
	case 'u':
		return packet_get_u32(rest, &out->index);
	case 'b':
		*text = *rest;
		*rest = STR_NONE;
		return true;
	case 'o':
		return rest->n == 0 || get_z(rest, text);
	default:
		return get_z(rest, text);
	}
}

bool reply_parse(char command, struct str payload, struct reply *out)
{
	const struct reply_form *f = form_find(command);
	struct str *text;

	*out = (struct reply){ .command = command, .a = STR_NONE, .b = STR_NONE };
	if (f == NULL)
		return false;
	text = &out->a;
	for (const char *kind = f->form; *kind != '\0'; kind++) {
		if (!take_field(*kind, &payload, out, text))
			return false;
		if (*kind != 'u')
			text = &out->b;
	}
	return payload.n == 0;
}

/* "550" at the front of a line, then blank or hyphen or the end. */
static bool line_code(struct str line, short *smtp)
{
	uint64_t v;

	if (line.n < 3 || (line.p[0] != '4' && line.p[0] != '5') || !str_to_u64(str_sub(line, 0, 3), 599, &v))
		return false;
	*smtp = (short)v;
	return line.n == 3 || line.p[3] == ' ' || line.p[3] == '-';
}

/* The filter wrote for a printf: "%%" is "%", a lone "%" goes; control characters become blanks. */
static void add_unescaped(struct buf *out, struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		bool percent = s.p[i] == '%';

		if (percent && (i + 1 == s.n || s.p[i + 1] != '%'))
			continue;
		i += percent;
		buf_addc(out, (unsigned char)s.p[i] < ' ' ? ' ' : s.p[i]);
	}
}

struct reply_lines { /* what was learnt of a reply while reading its lines */
	struct code code;
	bool same_enhanced; /* every line so far begins with code's c.s.d */
	size_t count;
};

/* One line: its place in the reply must be right, and its enhanced code must agree with the class. */
static bool line_check(struct reply_lines *r, struct str line, bool last)
{
	struct code c = { 0, 0, 0, 0 };
	struct str text;
	short smtp;

	if (!line_code(line, &smtp) || (r->count > 0 && smtp != r->code.smtp))
		return false;
	if (!last && (line.n < 4 || line.p[3] != '-'))
		return false;
	if (last && r->count > 0 && line.n > 3 && line.p[3] == '-')
		return false;
	text = str_skip(line, 4);
	if (text.n > 0 && text.p[0] >= '0' && text.p[0] <= '9' && text.p[0] != line.p[0])
		return false;
	dsn_parse(text, &c);
	if (r->count == 0)
		r->code = CODE(smtp, c.c, c.s, c.d);
	if (c.c == 0 || c.c != r->code.c || c.s != r->code.s || c.d != r->code.d)
		r->same_enhanced = false;
	r->count++;
	return true;
}

static struct str next_line(struct str *rest)
{
	struct str line = str_cut(rest, '\n');

	while (line.n > 0 && line.p[line.n - 1] == '\r')
		line.n--;
	return line;
}

bool reply_text_parse(struct str in, struct code *code, struct buf *text)
{
	struct reply_lines r = { .same_enhanced = true };
	struct str rest;
	size_t from = text->n;

	while (in.n > 0 && (in.p[in.n - 1] == '\n' || in.p[in.n - 1] == '\r'))
		in.n--;
	for (rest = in; rest.n > 0 || r.count == 0;) {
		struct str line = next_line(&rest);

		if (!line_check(&r, line, rest.n == 0))
			return false;
	}
	if (!r.same_enhanced)
		r.code.c = 0, r.code.s = r.code.d = 0;
	for (rest = in; rest.n > 0;) {
		struct str line = str_skip(next_line(&rest), 4);
		struct code c;

		if (r.same_enhanced)
			line = str_skip(line, dsn_parse(line, &c));
		if (text->n > from)
			buf_addc(text, '\n');
		add_unescaped(text, line);
	}
	*code = r.code;
	return true;
}

/* ---- negotiation ---- */

bool optneg_parse(struct str payload, struct optneg *out)
{
	if (!packet_get_u32(&payload, &out->version) || !packet_get_u32(&payload, &out->actions) ||
		!packet_get_u32(&payload, &out->protocol))
		return false;
	out->lists = payload;
	return true;
}

bool optneg_next_list(struct str *lists, uint32_t *stage, struct str *names)
{
	return packet_get_u32(lists, stage) && get_z(lists, names);
}

/* ---- export ---- */

void packet_str(struct buf *b, struct str s)
{
	packet_u32(b, (uint32_t)s.n);
	buf_add(b, s);
}

bool packet_get_str(struct str *rest, struct str *s)
{
	struct str at = *rest;
	uint32_t n;

	if (!packet_get_u32(&at, &n) || n > at.n)
		return false;
	*s = str_sub(at, 0, n);
	*rest = str_skip(at, n);
	return true;
}
