/* lib/base/utf8.c - UTF-8 validity by RFC 3629 section 4: no overlong forms, no surrogates, nothing above U+10FFFF. */
#include "lib/base/utf8.h"

/* First byte range, number of bytes, and the range of the second byte; further ones are 80..BF. */
static const struct form {
	unsigned char from, to, size, second_from, second_to;
} forms[] = {
	{ 0x00, 0x7f, 1, 0, 0 },
	{ 0xc2, 0xdf, 2, 0x80, 0xbf },
	{ 0xe0, 0xe0, 3, 0xa0, 0xbf },
	{ 0xe1, 0xec, 3, 0x80, 0xbf },
	{ 0xed, 0xed, 3, 0x80, 0x9f },
	{ 0xee, 0xef, 3, 0x80, 0xbf },
	{ 0xf0, 0xf0, 4, 0x90, 0xbf },
	{ 0xf1, 0xf3, 4, 0x80, 0xbf },
	{ 0xf4, 0xf4, 4, 0x80, 0x8f },
};

static const struct form *form_of(unsigned char first)
{
	for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
		if (first >= forms[i].from && first <= forms[i].to)
			return &forms[i];
	}
	return NULL;
}

/* Octets of the character that s begins with; 0: none does. */
static size_t char_size(struct str s)
{
	const unsigned char *p = (const unsigned char *)s.p;
	const struct form *f = form_of(p[0]);

	if (f == NULL || s.n < f->size)
		return 0;
	if (f->size > 1 && (p[1] < f->second_from || p[1] > f->second_to))
		return 0;
	for (size_t i = 2; i < f->size; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	}
	return f->size;
}

bool utf8_valid(struct str s)
{
	while (s.n > 0) {
		size_t n = char_size(s);

		if (n == 0)
			return false;
		s = str_skip(s, n);
	}
	return true;
}

size_t utf8_beyond_ascii(struct str s)
{
	size_t count = 0, i = 0;
	uint64_t word;

	for (; i + sizeof word <= s.n; i += sizeof word) {
		memcpy(&word, s.p + i, sizeof word);
		word &= 0x8080808080808080u;
		if (word != 0)
			count += (size_t)__builtin_popcountll(word);
	}
	for (; i < s.n; i++)
		count += (unsigned char)s.p[i] >> 7;
	return count;
}

bool utf8_ascii(struct str s)
{
	return utf8_beyond_ascii(s) == 0;
}

void utf8_put(struct buf *out, uint32_t v)
{
	if (v >= 0x10000)
		buf_addc(out, (char)(0xf0 | v >> 18));
	if (v >= 0x10000)
		buf_addc(out, (char)(0x80 | (v >> 12 & 0x3f)));
	else if (v >= 0x800)
		buf_addc(out, (char)(0xe0 | v >> 12));
	if (v >= 0x800)
		buf_addc(out, (char)(0x80 | (v >> 6 & 0x3f)));
	else if (v >= 0x80)
		buf_addc(out, (char)(0xc0 | v >> 6));
	buf_addc(out, (char)(v >= 0x80 ? 0x80 | (v & 0x3f) : v));
}
