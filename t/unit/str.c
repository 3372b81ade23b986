/* t/unit/str.c - slices and buffers. */
#include "lib/base/str.h"

#include "t/unit/tap.h"

static void compare(void)
{
	static const struct {
		const char *a, *b;
		int cmp, cmpi;
	} rows[] = {
		{ "", "", 0, 0 },
		{ "a", "", 1, 1 },
		{ "abc", "abd", -1, -1 },
		{ "ab", "abc", -1, -1 },
		{ "ABC", "abc", -1, 0 },
		{ "a\xff", "a\x01", 1, 1 }, /* bytes are unsigned */
		{ "[", "A", 1, -1 },
	};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct str a = str_z(rows[i].a), b = str_z(rows[i].b);
		int c = str_cmp(a, b), ci = str_cmpi(a, b);

		is_int((c > 0) - (c < 0), rows[i].cmp, "str_cmp");
		is_int((ci > 0) - (ci < 0), rows[i].cmpi, "str_cmpi");
		ok(str_eq(a, b) == (rows[i].cmp == 0), "str_eq agrees");
		ok(str_eqi(a, b) == (rows[i].cmpi == 0), "str_eqi agrees");
	}
	ok(str_eqz(STR("x"), "x") && !str_eqz(STR("X"), "x") && str_eqiz(STR("X"), "x"), "compare with NUL-terminated");
	ok(str_starts(STR("abc"), STR("ab")) && !str_starts(STR("a"), STR("ab")), "starts");
	ok(str_startsi(STR("ABc"), STR("ab")) && !str_startsi(STR("b"), STR("ab")), "startsi");
	ok(str_ends(STR("abc"), STR("bc")) && !str_ends(STR("c"), STR("bc")), "ends");
	ok(str_endsi(STR("aBC"), STR("bc")) && !str_endsi(STR("bcd"), STR("bc")), "endsi");
}

static void search(void)
{
	struct str s = STR("one,two,three");

	is_int(str_chr(s, ','), 3, "first");
	is_int(str_rchr(s, ','), 7, "last");
	is_int(str_chr(s, ';'), -1, "absent");
	is_int(str_chr(STR_NONE, 'x'), -1, "in nothing");
	is_int(str_find(s, STR("two")), 4, "find");
	is_int(str_find(s, STR("four")), -1, "find absent");
	is_int(str_find(s, STR("")), 0, "find nothing");
	is_int(str_any(s, ";,"), 3, "any of a set");
	is_int(str_any(str_n("a\0b", 3), "xyz"), -1, "NUL is in no set");
	is_str(str_sub(s, 4, 3), STR("two"), "sub");
	is_str(str_sub(s, 8, 99), STR("three"), "sub is clipped");
	is_str(str_sub(s, 99, 1), STR(""), "sub behind the end");
	is_str(str_skip(s, 8), STR("three"), "skip");
	is_str(str_skip(s, 99), STR(""), "skip is clipped");
	is_str(str_trim(STR(" \t a b \r\n")), STR("a b"), "trim");
	is_str(str_trim(STR(" \r")), STR(""), "trim all");
}

static void words(void)
{
	struct str rest = STR("a:b::c");

	is_str(str_cut(&rest, ':'), STR("a"), "cut");
	is_str(str_cut(&rest, ':'), STR("b"), "cut again");
	is_str(str_cut(&rest, ':'), STR(""), "cut an empty part");
	is_str(str_cut(&rest, ':'), STR("c"), "cut the last");
	is_int((long long)rest.n, 0, "nothing left");
	rest = STR("  one, two\tthree ");
	is_str(str_word(&rest, " ,\t"), STR("one"), "word");
	is_str(str_word(&rest, " ,\t"), STR("two"), "word");
	is_str(str_word(&rest, " ,\t"), STR("three"), "word");
	is_str(str_word(&rest, " ,\t"), STR(""), "no more words");
	rest = STR("a, { b { c, d } e } ,f:{ g=h } {open x");
	is_str(str_word_braced(&rest), STR("a"), "plain word");
	is_str(str_word_braced(&rest), STR("{ b { c, d } e }"), "nested group");
	is_str(str_word_braced(&rest), STR("f:{ g=h }"), "a group inside a word belongs to it");
	is_str(str_word_braced(&rest), STR("{open x"), "unbalanced: the rest");
	is_str(str_word_braced(&rest), STR(""), "no more");
}

static void numbers(void)
{
	static const struct {
		const char *text;
		uint64_t max;
		bool valid;
		uint64_t value;
	} rows[] = {
		{ "0", 10, true, 0 },
		{ "10", 10, true, 10 },
		{ "11", 10, false, 7 },
		{ "", 10, false, 7 },
		{ "-1", 10, false, 7 },
		{ "1x", 10, false, 7 },
		{ " 1", 10, false, 7 },
		{ "18446744073709551615", UINT64_MAX, true, UINT64_MAX },
		{ "18446744073709551616", UINT64_MAX, false, 7 },
		{ "99999999999999999999999", UINT64_MAX, false, 7 },
	};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		uint64_t v = 7;

		ok(str_to_u64(str_z(rows[i].text), rows[i].max, &v) == rows[i].valid && v == rows[i].value, "number \"%s\"", rows[i].text);
	}
}

static void buffers(void)
{
	struct buf b = { 0 };
	char big[500];

	ok(strcmp(buf_z(&b), "") == 0 && b.p == NULL, "an empty buffer is an empty text without memory");
	buf_add(&b, STR("one"));
	buf_addc(&b, ' ');
	buf_addz(&b, "two");
	buf_addf(&b, " %d", 3);
	buf_add_lower(&b, STR(" FOUR"));
	is_str(buf_str(&b), STR("one two 3 four"), "appended");
	ok(b.p[b.n] == '\0', "NUL behind");
	buf_consume(&b, 4);
	buf_truncate(&b, 5);
	is_str(buf_str(&b), STR("two 3"), "front and end taken off");
	buf_truncate(&b, 100);
	is_int((long long)b.n, 5, "truncating to more is nothing");
	buf_clear(&b);
	memset(big, 'x', sizeof big);
	buf_addf(&b, "%.*s", (int)sizeof big, big);
	is_int((long long)b.n, sizeof big, "formatted text larger than the room there was");
	memset(buf_reserve(&b, 1000), 'y', 1000);
	b.n += 1000;
	is_int((long long)strlen(buf_z(&b)), 1500, "written in place");
	buf_clear(&b);
	buf_add_safe(&b, str_n("a\r\nb\0\x7f\xc3\xa9%s", 10));
	is_str(buf_str(&b), STR("a??b????%s"), "only printable ASCII passes");
	buf_done(&b);
	ok(b.p == NULL && b.n == 0 && b.cap == 0, "done");
}

int main(void)
{
	compare();
	search();
	words();
	numbers();
	buffers();
	return done_testing();
}
