/* t/unit/authres.c - Authentication-Results: reading, whose it is, writing. */
#include "lib/mail/authres.h"

#include "t/unit/tap.h"

/* What is read, as "id|method=result type.name=value ...|..."; NULL: no such field. */
static const struct {
	const char *value, *read;
} rows[] = {
	{ " example.org 1; none", "example.org" },
	{ " example.org", "example.org" },
	{ " example.com;\r\n\tauth=pass (cram-md5) smtp.auth=sender@example.net;\r\n\tspf=pass smtp.mailfrom=example.net",
		"example.com|auth=pass smtp.auth=sender@example.net|spf=pass smtp.mailfrom=example.net" },
	{ " (a (nested) comment) \"quo\\\"ted\" ; DKIM = PASS header . d = a.test", "quo\"ted|dkim=pass header.d=a.test" },
	{ "a.test; dkim/1=fail reason=\"x y\" header.b=\"a/b=\"", "a.test|dkim=fail (x y) header.b=a/b=" },
	{ "a.test; spf=pass smtp.mailfrom=\"a b\"@c.test;", "a.test|spf=pass smtp.mailfrom=a b@c.test" },
	{ "a.test; x-own=whatever x.y=z", "a.test|x-own=whatever x.y=z" },
	{ "a.test; dkim=foo", NULL },
	{ "a.test; dkim", NULL },
	{ "a.test; dkim=pass header.d", NULL },
	{ "a.test; dkim=pass header.d=\"open", NULL },
	{ "a.test 2; none", NULL },
	{ "a.test; none; dkim=pass", NULL },
	{ "", NULL },
	{ "\"\"", NULL },
};

static void describe(const struct authres *ar, struct buf *out)
{
	buf_add(out, ar->id);
	for (size_t i = 0; i < ar->count; i++) {
		const struct authres_result *r = &ar->results[i];

		buf_addf(out, "|%.*s=%.*s", STRF(r->method), STRF(r->result));
		if (r->reason.n > 0)
			buf_addf(out, " (%.*s)", STRF(r->reason));
		for (size_t j = 0; j < r->property_count; j++)
			buf_addf(out, " %.*s.%.*s=%.*s", STRF(r->properties[j].type), STRF(r->properties[j].name),
				STRF(r->properties[j].value));
	}
}

static void test_reading(void)
{
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct arena *a = arena_new("test");
		struct buf text = { 0 };
		struct authres ar;
		bool valid = authres_parse(a, str_z(rows[i].value), &ar);

		ok(valid == (rows[i].read != NULL), "\"%s\" is %s", rows[i].value, rows[i].read != NULL ? "a field" : "none");
		if (valid)
			describe(&ar, &text);
		is_str(buf_str(&text), str_z(rows[i].read), "what it says");
		buf_done(&text);
		arena_free(a);
	}
}

static void test_writing(void)
{
	static const struct {
		const char *address, *written;
	} addresses[] = {
		{ "a@b.test", "a@b.test" },
		{ "b.test", "b.test" },
		{ "", "\"\"" },
		{ "a b@c.test", "\"a b@c.test\"" },
		{ "a@b;x", "\"a@b;x\"" },
		{ "a@[192.0.2.1]", "\"a@[192.0.2.1]\"" },
	};
	struct buf b = { 0 };

	for (size_t i = 0; i < sizeof addresses / sizeof *addresses; i++) {
		buf_clear(&b);
		authres_add_address(&b, str_z(addresses[i].address));
		is_str(buf_str(&b), str_z(addresses[i].written), addresses[i].address);
	}
	buf_clear(&b);
	authres_add_value(&b, STR("a\"\r\n(b"));
	authres_add_comment(&b, STR("c)d\\"));
	is_str(buf_str(&b), STR("\"a\\\"\?\?(b\" (c?d?)"), "nothing gets out of a value or a comment");
	buf_done(&b);
}

int main(void)
{
	test_reading();
	test_writing();
	ok(authres_claims(STR(" (x) MX.test 1; none"), STR("mx.test")), "ours");
	ok(!authres_claims(STR("mx.test.evil; none"), STR("mx.test")), "not ours");
	return done_testing();
}
