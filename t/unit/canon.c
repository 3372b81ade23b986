/* t/unit/canon.c - DKIM's canonical forms, with the examples of RFC 6376 section 3.4.5, and tag lists. */
#include "lib/mail/canon.h"

#include "lib/mail/taglist.h"
#include "t/unit/tap.h"

static void put(void *ctx, const char *p, size_t n)
{
	buf_addn(ctx, p, n);
}

static const struct {
	const char *body, *simple, *relaxed;
} bodies[] = {
	{ " C \r\nD \t E\r\n\r\n\r\n", " C \r\nD \t E\r\n", " C\r\nD E\r\n" },
	{ "", "\r\n", "" },
	{ "\r\n\r\n", "\r\n", "" },
	{ "a", "a\r\n", "a\r\n" },
	{ "a\r", "a\r\r\n", "a\r\r\n" },
	{ "\r\na\r\n \t\r\n", "\r\na\r\n \t\r\n", "\r\na\r\n" },
};

static const struct {
	const char *name, *value, *simple, *relaxed;
} fields[] = {
	{ "A", " X", "A: X\r\n", "a:X\r\n" },
	{ "B ", " Y\t\r\n\tZ  ", "B : Y\t\r\n\tZ  \r\n", "b:Y Z\r\n" },
	{ "C", "", "C:\r\n", "c:\r\n" },
};

static const struct {
	const char *text, *b, *why;
} lists[] = {
	{ " v=1; b = A\r\n\t B ; c=", "A\r\n\t B", NULL },
	{ "v=1;b=x;", "x", NULL },
	{ "b=x;b=y", "", "a tag occurs twice" },
	{ "b=x;;c=y", "", "a tag without \"=\"" },
	{ "=x", "", "a tag's name is malformed" },
	{ "a=\1", "", "a tag's value has control characters" },
	{ "", "", "no tags" },
	{ " ; ", "", "a tag without \"=\"" },
};

static void test_body(enum canon how, const char *body, const char *want)
{
	struct buf out = { 0 };
	struct canon_body b;

	canon_body_init(&b, how, put, &out);
	for (const char *p = body; *p != '\0'; p++)
		canon_body_feed(&b, p, 1);
	canon_body_end(&b);
	is_str(buf_str(&out), str_z(want), how == CANON_SIMPLE ? "simple body" : "relaxed body");
	buf_done(&out);
}

static void test_field(enum canon how, const char *name, const char *value, const char *want)
{
	struct buf out = { 0 };

	canon_field(&out, how, str_z(name), str_z(value));
	is_str(buf_str(&out), str_z(want), how == CANON_SIMPLE ? "simple field" : "relaxed field");
	buf_done(&out);
}

int main(void)
{
	struct buf bare = { 0 };

	for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
		test_body(CANON_SIMPLE, bodies[i].body, bodies[i].simple);
		test_body(CANON_RELAXED, bodies[i].body, bodies[i].relaxed);
	}
	for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
		test_field(CANON_SIMPLE, fields[i].name, fields[i].value, fields[i].simple);
		test_field(CANON_RELAXED, fields[i].name, fields[i].value, fields[i].relaxed);
	}
	canon_without_b(&bare, STR(" bh=x; b = AA\r\n\tBB; d=b;"));
	is_str(buf_str(&bare), STR(" bh=x; b =; d=b;"), "without b=");
	buf_done(&bare);
	for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
		struct taglist l;
		const char *why;

		ok(taglist_parse(str_z(lists[i].text), &l, &why) == (lists[i].why == NULL), "\"%s\"", lists[i].text);
		is_str(lists[i].why == NULL ? taglist_get(&l, "b") : str_z(why), str_z(lists[i].why == NULL ? lists[i].b : lists[i].why),
			"b, or why not");
	}
	return done_testing();
}
