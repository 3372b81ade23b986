/* t/unit/utf8.c - valid and invalid UTF-8. */
#include "lib/base/utf8.h"

#include "t/unit/tap.h"

static const struct {
	const char *text;
	bool valid;
} rows[] = {
	{ "", true },
	{ "plain", true },
	{ "\xc2\x80 \xdf\xbf", true },
	{ "\xe0\xa0\x80 \xed\x9f\xbf \xee\x80\x80 \xef\xbf\xbf", true },
	{ "\xf0\x90\x80\x80 \xf4\x8f\xbf\xbf", true },
	{ "\x80", false },                 /* a continuation alone */
	{ "\xc0\xaf", false },             /* overlong '/' */
	{ "\xc1\xbf", false },
	{ "\xe0\x9f\xbf", false },         /* overlong */
	{ "\xf0\x8f\xbf\xbf", false },     /* overlong */
	{ "\xed\xa0\x80", false },         /* surrogate */
	{ "\xf4\x90\x80\x80", false },     /* above U+10FFFF */
	{ "\xf5\x80\x80\x80", false },
	{ "\xff", false },
	{ "\xc3", false },                 /* cut short */
	{ "\xe2\x82", false },
	{ "\xf0\x9f\x98", false },
	{ "\xc3(", false },
	{ "\xe2\x82(", false },
	{ "ok \xe2\x82\xac then \xfe", false },
};

int main(void)
{
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		ok(utf8_valid(str_z(rows[i].text)) == rows[i].valid, "row %zu is %s", i, rows[i].valid ? "valid" : "invalid");
	ok(utf8_ascii(STR("a\x7f")) && !utf8_ascii(STR("a\x80")), "ASCII");
	ok(utf8_beyond_ascii(STR("seven..")) == 0 && utf8_beyond_ascii(STR("eigh\xc3\xa4t then \xff...\x80")) == 4, "bytes beyond it");
	return done_testing();
}
