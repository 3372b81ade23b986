/* t/unit/alias.c - what an alias or a .forward line stands for. */
#include "mta/local/alias.h"

#include "t/unit/tap.h"

static const char kinds[] = {
	[TARGET_ADDRESS] = 'a', [TARGET_USER] = 'u', [TARGET_FILE] = 'f', [TARGET_COMMAND] = 'c', [TARGET_INCLUDE] = 'i'
};

static const struct {
	const char *value, *want; /* kind letter, text, "|" between targets; NULL: refused */
	bool file;
} rows[] = {
	{ "joe", "a joe", false },
	{ "joe, jane@example.com", "a joe|a jane@example.com", false },
	{ " joe ,, jane ,", "a joe|a jane", false },
	{ "", "", false },
	{ "Joe Doe <joe@example.com>", "a joe@example.com", false },
	{ "\"Doe, Joe\" <joe@example.com> (work), jane", "a joe@example.com|a jane", false },
	{ "joe (a (nested) comment, with comma)", "a joe", false },
	{ "\"john doe\"@example.com", "a john doe@example.com", false },
	{ "\\joe", "u joe", false },
	{ "\\joe, jane", "u joe|a jane", false },
	{ "/var/mail/archive", "f /var/mail/archive", false },
	{ "\"/var/mail/with space, comma\"", "f /var/mail/with space, comma", false },
	{ "/path/Maildir/", "f /path/Maildir/", false },
	{ "|/usr/bin/procmail", "c /usr/bin/procmail", false },
	{ "\"|/usr/bin/cmd -a 'b, c' \\\"q\\\" $X (y) <z>\"", "c /usr/bin/cmd -a 'b, c' \"q\" $X (y) <z>", false },
	{ "|\"/usr/bin/vacation joe\"", "c /usr/bin/vacation joe", false },
	{ "| \"cmd 'a, b' \\\"q\\\"\", jane", "c cmd 'a, b' \"q\"|a jane", false },
	{ "|cmd \"a b\" c", "c cmd \"a b\" c", false },
	{ "| cmd <in", "c cmd <in", false },
	{ ":include:/etc/list", "i /etc/list", false },
	{ "\":include:/etc/a list\"", "i /etc/a list", false },
	{ ":INCLUDE: /etc/list", "i /etc/list", false },
	{ ":include:/etc/one :include:\"/etc/a list\" joe", "i /etc/one|i /etc/a list|a joe", false },
	{ "/dev/null joe", "f /dev/null|a joe", false },
	{ "\"|cmd x\" joe", "c cmd x|a joe", false },
	{ "~/box, \"~/my box\"", "f ~/box|f ~/my box", false },
	{ "joe jane\tjim", "a joe|a jane|a jim", false },
	{ "joe \\jane", "a joe|u jane", false },
	{ "joe @ example . com", "a joe@example.com", false },
	{ "joe (a)jane", "a joe|a jane", false },
	{ "joe; jane;", "a joe|a jane", false },
	{ "friends: joe, Jane Doe <jane>; jim", "a joe|a jane|a jim", false },
	{ "<joe> jane, John <>", "a joe|a jane", false },
	{ "<@a.test,@b.test:joe@c.test> (x), jane", "a @a.test,@b.test:joe@c.test|a jane", false },
	{ "joe@[IPv6:::1], jane", "a joe@[IPv6:::1]|a jane", false },
	{ "joe@[x", "a joe@[x", false },
	{ "\"a\" \"b\"", "a a|a b", false },
	{ "joe # x", "a joe|a #|a x", false },
	{ "\"joe", NULL, false },
	{ "joe (", NULL, false },
	{ "joe\n# jane\n\njim, bob\n", "a joe|a jim|a bob", true },
	{ "# nobody\n", "", true },
	{ "joe\r\n\"|cmd x\"\r\n", "a joe|c cmd x", true },
};

int main(void)
{
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct arena *a = arena_new("test");
		struct err e = ERR_INIT;
		struct buf got = { 0 };
		struct target *t = NULL;
		size_t count = 0;
		int r = rows[i].file ? alias_parse_file(a, str_z(rows[i].value), &t, &count, &e)
				     : alias_parse(a, str_z(rows[i].value), &t, &count, &e);

		for (size_t k = 0; k < count; k++)
			buf_addf(&got, "%s%c %.*s", k > 0 ? "|" : "", kinds[t[k].kind], STRF(t[k].text));
		if (rows[i].want == NULL)
			ok(r < 0, "refused: %s", rows[i].value);
		else
			is_str(r < 0 ? str_z(e.text) : buf_str(&got), str_z(rows[i].want),
				rows[i].file ? "lines of a file" : rows[i].value);
		buf_done(&got);
		arena_free(a);
	}
	return done_testing();
}
