/* t/unit/matchlist.c - lib/table/matchlist.c: names, parents, networks, negation, files, tables. */
#include "lib/base/fs.h"
#include "lib/table/table.h"
#include "t/unit/tap.h"

static const struct {
	const char *list;
	unsigned flags;
	const char *subject;
	char want; /* y, n, f: failed */
} cases[] = {
	{ "a.example, b.example", MATCH_HOST, "B.Example", 'y' },
	{ "a.example", MATCH_HOST, "x.a.example", 'n' },
	{ ".a.example", MATCH_HOST, "x.a.example", 'y' },
	{ ".a.example", MATCH_HOST, "a.example", 'n' },
	{ "a.example", MATCH_HOST | MATCH_PARENT, "x.a.example", 'y' },
	{ "a.example", MATCH_HOST | MATCH_PARENT, "xa.example", 'n' },
	{ "!x.a.example, .a.example", MATCH_HOST, "x.a.example", 'n' },
	{ "!x.a.example, .a.example", MATCH_HOST, "y.a.example", 'y' },
	{ "[192.0.2.1]", MATCH_HOST, "[192.0.2.1]", 'y' },
	{ "inline:{ a.example=1 }", MATCH_HOST, "a.example", 'y' },
	{ "inline:{ .a.example=1 }", MATCH_HOST, "x.a.example", 'y' },
	{ "inline:{ a.example=1 }", MATCH_HOST | MATCH_PARENT, "x.y.a.example", 'y' },
	{ "inline:{ a.example=1 }", MATCH_HOST, "x.a.example", 'n' },
	{ "a.example, fail:x, b.example", MATCH_HOST, "a.example", 'y' },
	{ "a.example, fail:x, b.example", MATCH_HOST, "b.example", 'f' },
	{ "a.example .b.example inline:{ .c.example=1 }", MATCH_HOST | MATCH_WHOLE, "A.example", 'y' },
	{ "a.example .b.example inline:{ .c.example=1 }", MATCH_HOST | MATCH_WHOLE, "x.b.example", 'n' },
	{ "a.example .b.example inline:{ .c.example=1 }", MATCH_HOST | MATCH_WHOLE, "x.c.example", 'n' },
	{ "", MATCH_HOST, "a.example", 'n' },
	{ "static:all", MATCH_HOST, "anything", 'y' },
	{ "192.0.2.0/24", MATCH_ADDR, "192.0.2.77", 'y' },
	{ "192.0.2.0/24 10.0.0.1", MATCH_ADDR, "10.0.0.2", 'n' },
	{ "192.0.2.0/24 10.0.0.1", MATCH_ADDR, "10.0.0.1", 'y' },
	{ "!192.0.2.7, 192.0.2.0/24", MATCH_ADDR, "192.0.2.7", 'n' },
	{ "[::1]/128 [2001:db8::]/32", MATCH_ADDR, "2001:db8::9", 'y' },
	{ "[2001:db8::1]", MATCH_ADDR, "2001:db8::1", 'y' },
	{ "0.0.0.0/0", MATCH_ADDR, "2001:db8::1", 'n' },
	{ "cidr:{{192.0.2.0/25 ok}}", MATCH_ADDR, "192.0.2.1", 'y' },
	{ "cidr:{{192.0.2.0/25 ok}}", MATCH_ADDR, "192.0.2.200", 'n' },
	{ "127.0.0.1, mx.example", MATCH_ADDR | MATCH_HOST, "127.0.0.1", 'y' },
};

static const struct {
	const char *list;
	unsigned flags;
} refused[] = {
	{ "192.0.2.1/24", MATCH_ADDR },
	{ "192.0.2.0/33", MATCH_ADDR },
	{ "300.1.1.1", MATCH_ADDR },
	{ "[::1", MATCH_ADDR },
	{ "!", MATCH_HOST },
	{ "/nonexistent/file", MATCH_HOST },
	{ "nosuch:type", MATCH_HOST },
};

static char ask(const struct matchlist *m, unsigned flags, const char *subject)
{
	struct err e = ERR_INIT;
	enum table_answer a = flags & MATCH_ADDR ? matchlist_addr(m, str_z(subject), &e) : matchlist_host(m, str_z(subject), &e);

	return a == TABLE_FOUND ? 'y' : a == TABLE_MISSING ? 'n' : 'f';
}

static void test_file(void)
{
	char path[] = "/tmp/gatepost-list-XXXXXX";
	int fd = mkstemp(path);
	struct buf list = { 0 };
	struct matchlist *m;
	struct err e = ERR_INIT;

	ok(fd >= 0 && fs_write_all(fd, "# nets\n10.0.0.0/8,\n  192.0.2.1\n!172.16.0.1 172.16.0.0/12\n", 57, &e) == 0, "write a file");
	buf_addf(&list, "%s, 198.51.100.0/24", path);
	m = matchlist_open(buf_z(&list), MATCH_ADDR, ".", &e);
	if (ok(m != NULL, "a file of patterns: %s", e.text)) {
		ok(ask(m, MATCH_ADDR, "192.0.2.1") == 'y' && ask(m, MATCH_ADDR, "172.16.0.1") == 'n' &&
				ask(m, MATCH_ADDR, "172.16.0.2") == 'y',
			"its patterns count in place");
		ok(ask(m, MATCH_ADDR, "198.51.100.1") == 'y', "and those behind it");
	}
	matchlist_close(m);
	buf_truncate(&list, 0);
	buf_addf(&list, "!%s, 0.0.0.0/0", path);
	m = matchlist_open(buf_z(&list), MATCH_ADDR, ".", &e);
	ok(m != NULL && ask(m, MATCH_ADDR, "10.1.1.1") == 'n' && ask(m, MATCH_ADDR, "172.16.0.1") == 'y',
		"a negated file turns each pattern");
	matchlist_close(m);
	buf_done(&list);
	(void)close(fd);
	(void)unlink(path);
}

int main(void)
{
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct err e = ERR_INIT;
		struct matchlist *m = matchlist_open(cases[i].list, cases[i].flags, ".", &e);

		if (!ok(m != NULL, "open \"%s\"", cases[i].list)) {
			diag("%s", e.text);
			continue;
		}
		ok(ask(m, cases[i].flags, cases[i].subject) == cases[i].want, "\"%s\": %s is %c", cases[i].list, cases[i].subject,
			cases[i].want);
		matchlist_close(m);
	}
	for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
		struct err e = ERR_INIT;
		struct matchlist *m = matchlist_open(refused[i].list, refused[i].flags, ".", &e);

		ok(m == NULL, "refused \"%s\": %s", refused[i].list, e.text);
		matchlist_close(m);
	}
	test_file();
	return done_testing();
}
