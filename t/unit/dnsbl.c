/* t/unit/dnsbl.c - filters of DNS list answers. */
#include "lib/mail/dnsbl.h"

#include "t/unit/tap.h"

static const struct {
	const char *text;
	bool good;
	unsigned char address[4];
	bool counts;
} cases[] = {
	{ "bl.test", true, { 10, 1, 2, 3 }, true },
	{ "bl.test=127.0.0.2", true, { 127, 0, 0, 2 }, true },
	{ "bl.test=127.0.0.2", true, { 127, 0, 0, 3 }, false },
	{ "bl.test=127.0.0.[2..11]", true, { 127, 0, 0, 11 }, true },
	{ "bl.test=127.0.0.[2..11]", true, { 127, 0, 0, 12 }, false },
	{ "bl.test=127.0.[1;3..5].[2;4]", true, { 127, 0, 4, 4 }, true },
	{ "bl.test=127.0.[1;3..5].[2;4]", true, { 127, 0, 2, 4 }, false },
	{ "bl.test=127.0.0.[0..255]", true, { 127, 0, 0, 255 }, true },
	{ "bl.test=", false, { 0 }, false },
	{ "=127.0.0.2", false, { 0 }, false },
	{ "bl.test=127.0.0", false, { 0 }, false },
	{ "bl.test=127.0.0.2.5", false, { 0 }, false },
	{ "bl.test=127.0.0.256", false, { 0 }, false },
	{ "bl.test=127.0.0.[11..2]", false, { 0 }, false },
	{ "bl.test=127.0.0.[2..", false, { 0 }, false },
	{ "bl.test=127.0.0.[]", false, { 0 }, false },
	{ "bl.test=127.[0]0.0.1", false, { 0 }, false },
};

int main(void)
{
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct dnsbl d;
		const char *why = NULL;
		bool good = dnsbl_parse(str_z(cases[i].text), &d, &why);

		ok(good == cases[i].good, "%s is %s", cases[i].text, cases[i].good ? "good" : "refused");
		if (good)
			ok(dnsbl_counts(&d, cases[i].address) == cases[i].counts, "  %d.%d.%d.%d %s", cases[i].address[0],
				cases[i].address[1], cases[i].address[2], cases[i].address[3],
				cases[i].counts ? "counts" : "does not count");
	}
	return done_testing();
}
