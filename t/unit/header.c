/* t/unit/header.c - header blocks taken apart and put together, edits that cannot break out of their field, addresses. */
#include "lib/mail/header.h"

#include "t/unit/tap.h"

static const struct {
	const char *in;
	size_t body;
	bool missing;
	const char *fields; /* name=value joined with '|' */
	const char *printed;
} blocks[] = {
	{ "A: 1\r\nB:2\r\n\r\nbody", 13, false, "A= 1|B=2|", "A: 1\r\nB:2\r\n" },
	{ "A: 1\nB: 2\n\nbody", 11, false, "A= 1|B= 2|", "A: 1\r\nB: 2\r\n" },
	{ "A: 1\r\n\t2\r\n 3\r\n\r\n", 16, false, "A= 1\r\n\t2\r\n 3|", "A: 1\r\n\t2\r\n 3\r\n" },
	{ "A: 1\n 2\nB:\n\n", 12, false, "A= 1\r\n 2|B=|", "A: 1\r\n 2\r\nB:\r\n" },
	{ "\r\nbody", 2, false, "", "" },
	{ "", 0, false, "", "" },
	{ "A: 1", 4, false, "A= 1|", "A: 1\r\n" },
	{ "A: 1\r\nno header\r\n", 6, true, "A= 1|", "A: 1\r\n" },
	{ " body\r\n", 0, true, "", "" },
	{ ": x\r\n", 0, true, "", "" },
	{ "A b: x\r\n", 0, true, "", "" },
	{ "Subject : x\r\n\r\n", 15, false, "Subject= x|", "Subject : x\r\n" },
	{ "\xe4: x\r\n", 0, true, "", "" },
	{ "From ann Mon\r\nA: 1\r\n\r\n", 22, false, "X-Mailbox-Line= From ann Mon|A= 1|", "X-Mailbox-Line: From ann Mon\r\nA: 1\r\n" },
	{ ">From ann\nA: 1\n\n", 16, false, "X-Mailbox-Line= >From ann|A= 1|", "X-Mailbox-Line: >From ann\r\nA: 1\r\n" },
	{ "A: 1\r\nFrom ann\r\n", 6, true, "A= 1|", "A: 1\r\n" },
	{ "A: http://x:1\r\n\r\n", 17, false, "A= http://x:1|", "A: http://x:1\r\n" },
};

static const struct {
	const char *name, *value;
	bool space;
	const char *text;
} added[] = {
	{ "X-A", "1", true, "X-A: 1" },
	{ "X-A", "1", false, "X-A:1" },
	{ "X-A", " 1", true, "X-A: 1" },
	{ "X-A", "", true, "X-A: " },
	{ "X-A", "1\n\t2", true, "X-A: 1\r\n\t2" },
	{ "X-A", "1\r\n 2\r\n", true, "X-A: 1\r\n 2" },
	{ "X-A", "1\nBcc: ann", true, "X-A: 1\r\n\tBcc: ann" },
	{ "X-A", "1\r\n\r\nbody", true, "X-A: 1\r\n\tbody" },
	{ "X-A", "1\rBcc: ann", true, "X-A: 1 Bcc: ann" },
	{ "X\r\nA:", "1", true, "X--A-: 1" },
};

static const struct {
	const char *in, *out; /* addresses joined with '|' */
} addresses[] = {
	{ "ann@example.org", "ann@example.org|" },
	{ " Ann B <ann@example.org>, bob@example.org", "ann@example.org|bob@example.org|" },
	{ "\"B, Ann\" <ann@example.org>", "ann@example.org|" },
	{ "ann@example.org (Ann (the B), \\) x)", "ann@example.org|" },
	{ "(c)ann(c)@(c)example.org", "ann@example.org|" },
	{ "friends: ann@example.org, Bob <bob@example.org>;, cy@example.org", "ann@example.org|bob@example.org|cy@example.org|" },
	{ "undisclosed-recipients:;", "" },
	{ "<@a.example,@b.example:ann@example.org>", "ann@example.org|" },
	{ "\"ann b\"@example.org", "ann b@example.org|" },
	{ "<\"a\\\"b\"@example.org>", "a\"b@example.org|" },
	{ "ann @ example . org", "ann@example.org|" },
	{ "ann@a.test bob@b.test, ann bob@c.test", "ann@a.test|bob@b.test|ann bob@c.test|" },
	{ "x@y.test, ann@a.test Smith <ann@b.test>, z", "x@y.test|ann@b.test|z|" },
	{ "ann@[192.0.2.1], joe", "ann@[192.0.2.1]|joe|" },
	{ "ann@example.org,\r\n\tbob@example.org,,", "ann@example.org|bob@example.org|" },
	{ "<ann@example.org> trailing <bob@example.org>", "ann@example.org|" },
	{ "<>", "" },
	{ "", "" },
	{ "((((", "" },
	{ "\"ann", "ann|" },
	{ "a\\", "a\\|" },
};

static struct str joined(struct arena *a, const struct header *h)
{
	struct buf b = { 0 };
	struct str s;

	for (size_t i = 0; i < h->count; i++)
		buf_addf(&b, "%.*s=%.*s|", STRF(h->fields[i].name), STRF(h->fields[i].value));
	s = arena_dup(a, buf_str(&b));
	buf_done(&b);
	return s;
}

static void check_block(size_t i)
{
	struct arena *a = arena_new("test");
	struct header h;
	struct buf b = { 0 };
	bool missing;

	header_init(&h, a);
	is_int((long long)header_parse(&h, str_z(blocks[i].in), &missing), (long long)blocks[i].body, "where the body is");
	ok(missing == blocks[i].missing, "empty line");
	is_str(joined(a, &h), str_z(blocks[i].fields), "fields");
	header_print(&h, &b);
	is_str(buf_str(&b), str_z(blocks[i].printed), "printed");
	is_int((long long)header_size(&h), (long long)b.n, "size");
	buf_done(&b);
	arena_free(a);
}

static void edits(struct arena *a)
{
	struct header h;
	bool missing;

	header_init(&h, a);
	header_parse(&h, STR("Received: x\r\nA: 1\r\nB: 2\r\na: 3\r\n\r\n"), &missing);
	h.fields[0].hidden = true;
	ok(header_find(&h, "received", 1) == NULL, "hidden fields are not found");
	is_str(header_find(&h, "A", 2)->value, STR(" 3"), "second of a name, any case");
	ok(header_find(&h, "A", 3) == NULL, "no third");
	header_replace(&h, header_find(&h, "a", 1), STR("one"), true);
	header_insert(&h, 0, STR("First"), STR("0"), true);
	header_insert(&h, 99, STR("Last"), STR("9"), true);
	header_append(&h, STR("End"), STR("10"), false);
	header_find(&h, "B", 1)->deleted = true;
	ok(header_find(&h, "B", 1) == NULL, "deleted fields are not found");
	is_str(joined(a, &h), STR("First= 0|Received= x|A= one|B= 2|a= 3|Last= 9|End=10|"), "all edits");
	is_int((long long)header_size(&h), 54, "deleted fields are not counted");
}

static void check_addresses(struct arena *a, size_t i)
{
	struct str *found;
	size_t n = header_addresses(a, str_z(addresses[i].in), &found);
	struct buf b = { 0 };

	for (size_t k = 0; k < n; k++)
		buf_addf(&b, "%.*s|", STRF(found[k]));
	is_str(buf_str(&b), str_z(addresses[i].out), addresses[i].in);
	buf_done(&b);
}

static void many_fields(struct arena *a)
{
	struct buf b = { 0 };
	struct header h;
	bool missing;

	for (size_t i = 0; i < 30000; i++)
		buf_addz(&b, "a:\r\n");
	header_init(&h, a);
	ok(header_parse(&h, buf_str(&b), &missing) < b.n && missing, "the number of fields is bounded");
	is_int((long long)h.count, 20000, "fields kept");
	buf_done(&b);
}

int main(void)
{
	struct arena *a = arena_new("test");
	struct buf comment = { 0 };

	for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++)
		check_block(i);
	for (size_t i = 0; i < sizeof added / sizeof *added; i++) {
		struct header h;

		header_init(&h, a);
		header_append(&h, str_z(added[i].name), str_z(added[i].value), added[i].space);
		is_str(h.fields[0].text, str_z(added[i].text), added[i].text);
	}
	edits(a);
	is_str(header_unfold(a, STR(" a\r\n\tb\n c\r\n")), STR(" a\tb c"), "unfolded");
	is_str(header_unfold(a, STR("a\rb")), STR("a\rb"), "nothing to unfold");
	for (size_t i = 0; i < sizeof addresses / sizeof *addresses; i++)
		check_addresses(a, i);
	many_fields(a);
	header_add_comment(&comment, STR("joe (x)\\\r\nTo: y"));
	is_str(buf_str(&comment), STR("(joe ?x????To: y)"), "nothing ends a comment early");
	buf_done(&comment);
	arena_free(a);
	return done_testing();
}
