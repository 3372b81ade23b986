/* lib/base/json.c - writing JSON, and reading back the flat objects we wrote. */
#include "lib/base/json.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/utf8.h"

static void add_escaped(struct buf *b, unsigned char c)
{
	static const char shorts[] = "\"\"\\\\\bb\ff\nn\rr\tt";

	for (const char *s = shorts; *s != '\0'; s += 2) {
		if ((unsigned char)*s == c) {
			buf_addc(b, '\\');
			buf_addc(b, s[1]);
			return;
		}
	}
	buf_addf(b, "\\u%04x", c);
}

enum { PLAIN, HIGH, ESCAPED }; /* HIGH: plain in UTF-8 */

static unsigned char class_of(unsigned char c)
{
	if (c < ' ' || c == '"' || c == '\\' || c == 127)
		return ESCAPED;
	return c < 128 ? PLAIN : HIGH;
}

/* Bytes at the front that can be copied; most strings are nothing else. */
static size_t plain_run(struct str s, bool text)
{
	static unsigned char classes[256];
	static bool known;
	size_t n = 0;

	for (int c = 0; !known && c < 256; c++)
		classes[c] = class_of((unsigned char)c);
	known = true;
	while (n < s.n && (classes[(unsigned char)s.p[n]] == PLAIN || (text && classes[(unsigned char)s.p[n]] == HIGH)))
		n++;
	return n;
}

void json_add_string(struct buf *b, struct str s)
{
	size_t n = plain_run(s, false);
	bool text;

	buf_addc(b, '"');
	buf_addn(b, s.p, n);
	s = str_skip(s, n);
	text = s.n > 0 && utf8_valid(s);
	while (s.n > 0) {
		n = plain_run(s, text);
		buf_addn(b, s.p, n);
		s = str_skip(s, n);
		if (s.n == 0)
			break;
		if ((unsigned char)s.p[0] > 127)
			buf_addz(b, "\\ufffd");
		else
			add_escaped(b, (unsigned char)s.p[0]);
		s = str_skip(s, 1);
	}
	buf_addc(b, '"');
}

static void add_name(struct buf *b, const char *name)
{
	size_t n = strlen(name);
	char *at = buf_reserve(b, n + 4), *from = at;

	if (b->n > 0 && b->p[b->n - 1] != '{' && b->p[b->n - 1] != '[')
		*at++ = ',';
	*at++ = '"';
	memcpy(at, name, n);
	at += n;
	*at++ = '"';
	*at++ = ':';
	*at = '\0';
	b->n += (size_t)(at - from);
}

/* Events have many of these, nearly all of them plain: one look, one copy. */
void json_add_member(struct buf *b, const char *name, struct str value)
{
	char *at;

	add_name(b, name);
	if (plain_run(value, false) != value.n) {
		json_add_string(b, value);
		return;
	}
	at = buf_reserve(b, value.n + 2);
	*at++ = '"';
	if (value.n > 0)
		memcpy(at, value.p, value.n);
	at += value.n;
	*at++ = '"';
	*at = '\0';
	b->n += value.n + 2;
}

void json_add_number(struct buf *b, const char *name, int64_t value)
{
	add_name(b, name);
	buf_addf(b, "%" PRId64, value);
}

/* ---- reading ---- */

/* What follows `"name":`, a name of the object itself and not text inside a value: strings are stepped over. */
static bool find(struct str object, const char *name, struct str *rest)
{
	size_t n = strlen(name), i = 0;

	while (i < object.n) {
		size_t from = i + 1, end = from;

		if (object.p[i] != '"') {
			i++;
			continue;
		}
		while (end < object.n && object.p[end] != '"')
			end += object.p[end] == '\\' ? 2 : 1;
		if (end + 1 < object.n && object.p[end + 1] == ':' && end - from == n && memcmp(object.p + from, name, n) == 0) {
			*rest = str_skip(object, end + 2);
			return true;
		}
		i = end + 1;
	}
	return false;
}

static void add_utf8(struct buf *out, unsigned long c)
{
	if (c < 0x80) {
		buf_addc(out, (char)c);
	} else if (c < 0x800) {
		buf_addc(out, (char)(0xc0 | c >> 6));
		buf_addc(out, (char)(0x80 | (c & 0x3f)));
	} else {
		buf_addc(out, (char)(0xe0 | c >> 12));
		buf_addc(out, (char)(0x80 | (c >> 6 & 0x3f)));
		buf_addc(out, (char)(0x80 | (c & 0x3f)));
	}
}

/* One escape at s[0] == '\\'; its size. */
static size_t unescape(struct str s, struct buf *out)
{
	static const char from[] = "bfnrt", to[] = "\b\f\n\r\t";
	const char *at;
	char hex[5] = "";

	if (s.n < 2)
		return s.n;
	if (s.p[1] == 'u' && s.n >= 6) {
		memcpy(hex, s.p + 2, 4);
		add_utf8(out, strtoul(hex, NULL, 16));
		return 6;
	}
	at = strchr(from, s.p[1]);
	buf_addc(out, at != NULL && *at != '\0' ? to[at - from] : s.p[1]);
	return 2;
}

bool json_get_string(struct str object, const char *name, struct buf *out)
{
	struct str rest;

	buf_clear(out);
	if (!find(object, name, &rest) || rest.n == 0 || rest.p[0] != '"')
		return false;
	rest = str_skip(rest, 1);
	while (rest.n > 0 && rest.p[0] != '"') {
		size_t used = 1;

		if (rest.p[0] == '\\')
			used = unescape(rest, out);
		else
			buf_addc(out, rest.p[0]);
		rest = str_skip(rest, used);
	}
	return true;
}

bool json_get_number(struct str object, const char *name, int64_t *out)
{
	char text[24] = "";
	struct str rest;

	if (!find(object, name, &rest))
		return false;
	memcpy(text, rest.p, rest.n < sizeof text - 1 ? rest.n : sizeof text - 1);
	*out = strtoll(text, NULL, 10);
	return text[0] == '-' || (text[0] >= '0' && text[0] <= '9');
}
