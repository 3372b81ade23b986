/* t/unit/addr.c - paths, quoting, extensions, domains, xtext. */
#include "lib/mail/addr.h"

#include <string.h>

#include "t/unit/tap.h"

static const struct {
	const char *in;
	unsigned flags;
	ptrdiff_t used;
	const char *local, *domain;
} paths[] = {
	{ "<ann@example.org> SIZE=10", 0, 17, "ann", "example.org" },
	{ "<ann@example.org>", ADDR_STRICT, 17, "ann", "example.org" },
	{ "ann@example.org SIZE=10", 0, 15, "ann", "example.org" },
	{ "ann@example.org", ADDR_STRICT, -1, "-", "-" },
	{ "< ann@example.org >", 0, 19, "ann", "example.org" },
	{ "<>", ADDR_NULL_OK, 2, "", "" },
	{ "<> BODY=8BITMIME", ADDR_NULL_OK, 2, "", "" },
	{ "<>", 0, -1, "-", "-" },
	{ "", ADDR_NULL_OK, -1, "-", "-" },
	{ "<postmaster>", ADDR_STRICT, 12, "postmaster", "" },
	{ "<@a.example,@b.example:ann@example.org>", 0, 39, "ann", "example.org" },
	{ "<@a.example:ann@example.org>", ADDR_STRICT, 28, "ann", "example.org" },
	{ "<@a.example>", 0, 12, "", "a.example" },
	{ "<@a.example>", ADDR_STRICT, -1, "-", "-" },
	{ "<@>", 0, -1, "-", "-" },
	{ "<@a.example:>", 0, -1, "-", "-" },
	{ "<@a.example,@b.example>", 0, -1, "-", "-" },
	{ "@a.example", 0, -1, "-", "-" },
	{ "<a.example,@b:ann@example.org>", 0, -1, "-", "-" },
	{ "<\"ann b\"@example.org>", 0, 21, "\"ann b\"", "example.org" },
	{ "<\"a@b\"@example.org>", 0, 19, "\"a@b\"", "example.org" },
	{ "<\"a\\\"b>\"@example.org>", 0, 21, "\"a\\\"b>\"", "example.org" },
	{ "<\"ann@example.org>", 0, -1, "-", "-" },
	{ "<\"ann\\", 0, -1, "-", "-" },
	{ "<\"ann\"bob@example.org>", ADDR_STRICT, -1, "-", "-" },
	{ "<\"ann\".bob@example.org>", 0, 23, "\"ann\".bob", "example.org" },
	{ "<ann..b@example.org>", 0, 20, "ann..b", "example.org" },
	{ "<ann..b@example.org>", ADDR_STRICT, -1, "-", "-" },
	{ "<.ann@example.org>", 0, 18, ".ann", "example.org" },
	{ "<.ann@example.org>", ADDR_STRICT, -1, "-", "-" },
	{ "<ann.@example.org>", ADDR_STRICT, -1, "-", "-" },
	{ "<ann@example.org", 0, -1, "-", "-" },
	{ "<ann@example.org>x", 0, -1, "-", "-" },
	{ "<ann@example.org>>", 0, -1, "-", "-" },
	{ "<<ann@example.org>>", 0, -1, "-", "-" },
	{ "<ann@>", 0, -1, "-", "-" },
	{ "<ann@example.org.>", 0, 18, "ann", "example.org." },
	{ "<ann@example.org.>", ADDR_STRICT, -1, "-", "-" },
	{ "<ann@example..org>", 0, -1, "-", "-" },
	{ "<ann@-example.org>", 0, -1, "-", "-" },
	{ "<ann@192.0.2.1>", 0, 15, "ann", "192.0.2.1" },
	{ "<ann@192.0.2.1>", ADDR_STRICT, -1, "-", "-" },
	{ "<ann@[192.0.2.1]>", 0, 17, "ann", "[192.0.2.1]" },
	{ "<ann@[IPv6:2001:db8::1]>", 0, 24, "ann", "[IPv6:2001:db8::1]" },
	{ "<ann@[192.0.2.300]>", 0, -1, "-", "-" },
	{ "<ann@[junk]>", 0, -1, "-", "-" },
	{ "<ann,bob@example.org>", 0, -1, "-", "-" },
	{ "<ann@a.example,bob@b.example>", 0, -1, "-", "-" },
	{ "<ann b@example.org>", 0, -1, "-", "-" },
	{ "<a%b@example.org>", 0, 17, "a%b", "example.org" },
	{ "<a!b@example.org>", 0, 17, "a!b", "example.org" },
	{ "<joe+x@example.org>", 0, 19, "joe+x", "example.org" },
	{ "<\xc3\xa4@example.org>", 0, -1, "-", "-" },
	{ "<\xc3\xa4@example.org>", ADDR_UTF8, 16, "\xc3\xa4", "example.org" },
	{ "<ann@\xc3\xa4.example>", ADDR_UTF8, 16, "ann", "\xc3\xa4.example" },
	{ "<\xc3@example.org>", ADDR_UTF8, -1, "-", "-" },
	{ "<a\x01@example.org>", 0, 16, "a\x01", "example.org" },
	{ "<a\x01@example.org>", ADDR_STRICT, -1, "-", "-" },
	{ "<a\r@example.org>", 0, -1, "-", "-" },
	{ "<a\177@example.org>", 0, -1, "-", "-" },
	{ "<a@b@example.org>", 0, 17, "a@b", "example.org" },
	{ "<a@b@c.@example.org>", 0, 20, "a@b@c.", "example.org" },
	{ "<a@b@example.org>", ADDR_STRICT, -1, "-", "-" },
	{ "<a@@example.org>", 0, -1, "-", "-" },
	{ "<(comment)ann@example.org (\\) (x)) >", 0, 36, "ann", "example.org" },
	{ "<(comment)ann@example.org>", ADDR_STRICT, -1, "-", "-" },
	{ "<(comment ann@example.org>", 0, -1, "-", "-" },
	{ "<\"a\rb\"@example.org>", 0, -1, "-", "-" },
};

static const struct {
	const char *in, *local, *domain;
} splits[] = {
	{ "ann@example.org", "ann", "example.org" },
	{ "ann", "ann", "" },
	{ "\"a@b\"@example.org", "\"a@b\"", "example.org" },
	{ "\"a@b\"", "\"a@b\"", "" },
	{ "a@b@c", "a@b", "c" },
	{ "", "", "" },
};

static const struct {
	const char *in, *delimiters, *base, *ext;
} bases[] = {
	{ "joe+x", "+", "joe", "+x" },
	{ "joe+x-y", "-+", "joe", "+x-y" },
	{ "joe-x+y", "+", "joe-x", "+y" },
	{ "+joe", "+", "+joe", "" },
	{ "joe+", "+", "joe", "+" },
	{ "joe+x", "", "joe+x", "" },
	{ "Double-Bounce", "-", "Double-Bounce", "" },
	{ "mailer-daemon", "-", "mailer-daemon", "" },
	{ "owner-list", "-", "owner-list", "" },
	{ "list-request", "-", "list-request", "" },
	{ "owner+list", "+", "owner", "+list" },
	{ "list-x", "-", "list", "-x" },
};

static const struct {
	const char *internal, *external;
} quotes[] = {
	{ "ann@example.org", "ann@example.org" },
	{ "ann", "ann" },
	{ "", "" },
	{ "ann b@example.org", "\"ann b\"@example.org" },
	{ "a@b@example.org", "\"a@b\"@example.org" },
	{ "a\"b\\c@example.org", "\"a\\\"b\\\\c\"@example.org" },
	{ "ann..b@example.org", "\"ann..b\"@example.org" },
	{ ".ann@example.org", "\".ann\"@example.org" },
	{ "@example.org", "\"\"@example.org" },
	{ "\xc3\xa4@example.org", "\xc3\xa4@example.org" },
};

static const struct {
	const char *domain;
	bool valid;
} domains[] = {
	{ "example.org", true },
	{ "localhost", true },
	{ "_dmarc.example.org", true },
	{ "a-b.c", true },
	{ "1.example", true },
	{ "[192.0.2.1]", true },
	{ "[IPv6:::1]", true },
	{ "", false },
	{ ".", false },
	{ "example.org.", false },
	{ ".example.org", false },
	{ "-a.example", false },
	{ "a-.example", false },
	{ "exa mple.org", false },
	{ "192.0.2.1", false },
	{ "[192.0.2]", false },
	{ "[]", false },
	{ "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.example", true },
	{ "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.example", false },
};

static const struct {
	const char *plain, *xtext;
} xtexts[] = {
	{ "ann@example.org", "ann@example.org" },
	{ "a+b=c d", "a+2Bb+3Dc+20d" },
	{ "\r\n\xff", "+0D+0A+FF" },
	{ NULL, "a b" },
	{ NULL, "a+2" },
	{ NULL, "a+GG" },
	{ NULL, "\xff" },
};

static const struct {
	const char *plain, *unitext;
} unitexts[] = {
	{ "j\xc3\xb6rg@o.test", "j\xc3\xb6rg@o.test" },
	{ "j\xc3\xb6rg@o.test", "j\\x{f6}rg@o.test" },
	{ "\xf0\x9f\x98\x80", "\\x{1F600}" },
	{ NULL, "\\x{}" },
	{ NULL, "\\x{110000}" },
	{ NULL, "\\x{D800}" },
	{ NULL, "\\x{f6" },
	{ NULL, "a\\b" },
	{ NULL, "\xff" },
};

static void check_path(size_t i)
{
	struct addr a = { STR("-"), STR("-") };
	const char *why = NULL;
	ptrdiff_t used = addr_parse_path(str_z(paths[i].in), paths[i].flags, &a, &why);

	is_int(used, paths[i].used, paths[i].in);
	is_str(a.local, str_z(paths[i].local), "local part");
	is_str(a.domain, str_z(paths[i].domain), "domain");
	ok((used < 0) == (why != NULL), "a refusal has a reason");
}

static void check_xtext(size_t i)
{
	struct buf b = { 0 };

	if (xtexts[i].plain != NULL) {
		addr_xtext_encode(&b, str_z(xtexts[i].plain));
		is_str(buf_str(&b), str_z(xtexts[i].xtext), "encoded");
		buf_clear(&b);
	}
	ok(addr_xtext_decode(&b, str_z(xtexts[i].xtext)) == (xtexts[i].plain != NULL), "decoding %s", xtexts[i].xtext);
	is_str(buf_str(&b), str_z(xtexts[i].plain), "decoded");
	buf_done(&b);
}

static void check_unitext(size_t i)
{
	struct buf b = { 0 };

	ok(addr_unitext_decode(&b, str_z(unitexts[i].unitext)) == (unitexts[i].plain != NULL), "decoding %s", unitexts[i].unitext);
	is_str(buf_str(&b), str_z(unitexts[i].plain), "decoded");
	buf_done(&b);
}

static void too_long(void)
{
	char path[ADDR_PATH_MAX + 20];
	struct addr a;
	const char *why;

	memset(path, 'a', sizeof path);
	path[0] = '<';
	memcpy(path + sizeof path - 12, "@example.org", 12);
	is_int(addr_parse_path(str_n(path, sizeof path), 0, &a, &why), -1, "no end");
	path[sizeof path - 1] = '>';
	is_int(addr_parse_path(str_n(path, sizeof path), 0, &a, &why), -1, "longer than any path");
	is_str(str_z(why), STR("Path too long"), "reason");
}

int main(void)
{
	struct arena *a = arena_new("test");

	for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
		check_path(i);
	too_long();
	for (size_t i = 0; i < sizeof splits / sizeof *splits; i++) {
		struct addr s = addr_split(str_z(splits[i].in));

		is_str(s.local, str_z(splits[i].local), splits[i].in);
		is_str(s.domain, str_z(splits[i].domain), splits[i].in);
	}
	for (size_t i = 0; i < sizeof bases / sizeof *bases; i++) {
		struct str ext;

		is_str(addr_base(str_z(bases[i].in), bases[i].delimiters, &ext), str_z(bases[i].base), bases[i].in);
		is_str(ext, str_z(bases[i].ext), "extension");
	}
	struct str ext;

	addr_set_owner_request_special(false);
	is_str(addr_base(STR("owner-list"), "-", &ext), STR("owner"), "owner_request_special = no");
	is_str(addr_base(STR("list-request"), "-", &ext), STR("list"), "... for both");
	addr_set_owner_request_special(true);
	for (size_t i = 0; i < sizeof quotes / sizeof *quotes; i++) {
		is_str(addr_quote(a, str_z(quotes[i].internal)), str_z(quotes[i].external), "quoted");
		is_str(addr_unquote(a, str_z(quotes[i].external)), str_z(quotes[i].internal), "and back");
	}
	for (size_t i = 0; i < sizeof domains / sizeof *domains; i++)
		ok(addr_domain_valid(str_z(domains[i].domain)) == domains[i].valid, "domain '%s'", domains[i].domain);
	for (size_t i = 0; i < sizeof xtexts / sizeof *xtexts; i++)
		check_xtext(i);
	for (size_t i = 0; i < sizeof unitexts / sizeof *unitexts; i++)
		check_unitext(i);
	arena_free(a);
	return done_testing();
}
