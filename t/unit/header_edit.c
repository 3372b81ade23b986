/* t/unit/header_edit.c - addresses in header fields, changed by "x.test becomes y.test" or not at all. */
#include "lib/mail/header_edit.h"

#include <stdio.h>

#include "lib/mail/addr.h"
#include "t/unit/tap.h"

static const struct {
	const char *in, *want; /* want NULL: nothing changed */
} rows[] = {
	{ " a@x.test", " a@y.test" },
	{ " a@z.test", NULL },
	{ "", NULL },
	{ " Ann <a@x.test>", " Ann <a@y.test>" },
	{ " \"a@x.test\" <b@z.test>", NULL },
	{ " \"Q, u\" <a@x.test>, b@z.test", " \"Q, u\" <a@y.test>, b@z.test" },
	{ " (c) b@z.test", NULL },
	{ " (c) a@x.test", " a@y.test (c)" },
	{ " a@x.test, (c) b@z.test", " a@y.test, b@z.test (c)" },
	{ " a@x.test (c)", " a@y.test (c)" },
	{ " (c) Ann <a@x.test>", " (c) Ann <a@y.test>" },
	{ " friends: a@x.test, b@x.test;", " friends: a@y.test, b@y.test;" },
	{ " none: ;", NULL },
	{ "\r\n\ta@x.test,\r\n\tb@z.test", " a@y.test, b@z.test" },
	{ " not an address, a@x.test", " not an address, a@y.test" },
	{ " \"a b\"@x.test", " \"a b\"@y.test" },
	{ " Ann <a@x.test", " Ann <a@y.test" },
	{ " aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa@x.test, bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb@x.test",
		" aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa@y.test,\r\n\tbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb@y.test" },
};

static int move(struct header_edit *ed, struct str *address)
{
	struct addr a = addr_split(*address);

	if (str_eqz(*address, "fail@x.test"))
		return -1;
	if (str_eqz(a.domain, "x.test"))
		*address = arena_printf(ed->life, "%.*s@y.test", STRF(a.local));
	return 0;
}

static void test_rows(struct header_edit *ed)
{
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct str out = STR("unchanged");
		char name[32];
		int r = header_edit(ed, STR("To"), str_z(rows[i].in), &out);

		ok(r == (rows[i].want != NULL), "row %zu: changed or not", i);
		snprintf(name, sizeof name, "row %zu", i);
		is_str(out, rows[i].want != NULL ? str_z(rows[i].want) : STR("unchanged"), name);
	}
}

static void test_parties(void)
{
	ok(header_parties(STR("from")) == HEADER_SENDERS, "From");
	ok(header_parties(STR("Resent-Cc")) == HEADER_RCPTS, "Resent-Cc");
	ok(header_parties(STR("Subject")) == HEADER_NEITHER, "Subject");
}

int main(void)
{
	struct header_edit ed = { .life = arena_new("test"), .edit = move };
	struct str out;

	test_rows(&ed);
	ok(header_edit(&ed, STR("To"), STR(" a@x.test, fail@x.test, b@x.test"), &out) == -1, "edit() gives up");
	test_parties();
	arena_free(ed.life);
	return done_testing();
}
