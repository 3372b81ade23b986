/* lib/mail/casefold.c - Unicode case folding of UTF-8: the C library's lower case, and the few letters where folding is something else. */
#include "lib/mail/casefold.h"

#include <locale.h>
#include <pthread.h>
#include <stdint.h>
#include <wctype.h>

#include "lib/base/utf8.h"

/* Letters that fold otherwise than to their lower case (Unicode CaseFolding.txt, status C and F), as far as people write them. */
static const struct special {
	uint32_t letter;
	const char *folded;
} specials[] = {
	{ 0x00b5, "\xce\xbc" },     { 0x00df, "ss" },           { 0x0130, "i\xcc\x87" },    { 0x0149, "\xca\xbcn" },
	{ 0x017f, "s" },            { 0x01f0, "j\xcc\x8c" },    { 0x0345, "\xce\xb9" },     { 0x03c2, "\xcf\x83" },
	{ 0x03d0, "\xce\xb2" },     { 0x03d1, "\xce\xb8" },     { 0x03d5, "\xcf\x86" },     { 0x03d6, "\xcf\x80" },
	{ 0x0587, "\xd5\xa5\xd6\x82" }, { 0x1e9e, "ss" },       { 0xfb00, "ff" },           { 0xfb01, "fi" },
	{ 0xfb02, "fl" },           { 0xfb03, "ffi" },          { 0xfb04, "ffl" },          { 0xfb05, "st" },
	{ 0xfb06, "st" },
};

static locale_t unicode; /* (locale_t)0: not on this system; then letters beyond ASCII stay as they are */

static void find_unicode(void)
{
	unicode = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
}

/* The character at the front of valid UTF-8. */
static size_t decode(struct str s, uint32_t *letter)
{
	unsigned char first = (unsigned char)s.p[0];
	size_t n = first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;

	*letter = n == 1 ? first : first & (0x7fu >> n);
	for (size_t i = 1; i < n; i++)
		*letter = *letter << 6 | ((unsigned char)s.p[i] & 0x3f);
	return n;
}

static void fold_letter(struct buf *out, uint32_t letter)
{
	for (size_t i = 0; i < sizeof specials / sizeof *specials; i++) {
		if (specials[i].letter == letter) {
			buf_addz(out, specials[i].folded);
			return;
		}
	}
	utf8_put(out, unicode != (locale_t)0 ? (uint32_t)towlower_l((wint_t)letter, unicode) : letter);
}

struct str casefold(struct arena *a, struct str s)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct str low = arena_lower(a, s);
	struct buf b = { 0 };

	if (utf8_ascii(s) || !utf8_valid(s))
		return low;
	pthread_once(&once, find_unicode);
	while (low.n > 0) {
		uint32_t letter;

		low = str_skip(low, decode(low, &letter));
		fold_letter(&b, letter);
	}
	low = arena_dup(a, buf_str(&b));
	buf_done(&b);
	return low;
}
