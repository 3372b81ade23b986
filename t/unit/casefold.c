/* t/unit/casefold.c - addresses that differ in case alone. */
#include "lib/mail/casefold.h"

#include "t/unit/tap.h"

static const struct {
	const char *in, *out;
} rows[] = {
	{ "", "" },
	{ "Ann@Example.ORG", "ann@example.org" },
	{ "GR\xc3\x9c\xc3\x9f" "E@b", "gr\xc3\xbcsse@b" },
	{ "gr\xc3\xbcSSe@b", "gr\xc3\xbcsse@b" },
	{ "\xe1\xba\x9e", "ss" },                                           /* capital sharp s */
	{ "\xce\xa3\xcf\x82\xcf\x83", "\xcf\x83\xcf\x83\xcf\x83" },         /* three sigmas */
	{ "\xd0\x98\xd0\xb2\xd0\xb0\xd0\xbd", "\xd0\xb8\xd0\xb2\xd0\xb0\xd0\xbd" }, /* Ivan */
	{ "\xf0\x90\x90\x80", "\xf0\x90\x90\xa8" },                         /* Deseret: beyond 16 bits */
	{ "\xe7\x94\xb2@B", "\xe7\x94\xb2@b" },                             /* no case */
	{ "\xff" "AB", "\xff" "ab" },                                       /* not UTF-8 */
};

int main(void)
{
	struct arena *a = arena_new("test");

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		is_str(casefold(a, str_z(rows[i].in)), str_z(rows[i].out), rows[i].in);
	arena_free(a);
	return done_testing();
}
