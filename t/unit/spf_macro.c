/* t/unit/spf_macro.c - the examples of RFC 7208 section 7.4, and the limits. */
#include "policyd/spf_macro.h"

#include "t/unit/tap.h"

static const struct {
	const char *client, *text, *want;
} cases[] = {
	{ "192.0.2.3", "%{s}", "strong-bad@email.example.com" },
	{ "192.0.2.3", "%{o}", "email.example.com" },
	{ "192.0.2.3", "%{d4}", "email.example.com" },
	{ "192.0.2.3", "%{d2}", "example.com" },
	{ "192.0.2.3", "%{d1}", "com" },
	{ "192.0.2.3", "%{dr}", "com.example.email" },
	{ "192.0.2.3", "%{d2r}", "example.email" },
	{ "192.0.2.3", "%{l-}", "strong.bad" },
	{ "192.0.2.3", "%{lr-}", "bad.strong" },
	{ "192.0.2.3", "%{l1r-}", "strong" },
	{ "192.0.2.3", "%{ir}.%{v}._spf.%{d2}", "3.2.0.192.in-addr._spf.example.com" },
	{ "192.0.2.3", "%{ir}.%{v}.%{l1r-}.lp._spf.%{d2}", "3.2.0.192.in-addr.strong.lp._spf.example.com" },
	{ "192.0.2.3", "%{d2}.trusted-domains.example.net", "example.com.trusted-domains.example.net" },
	{ "2001:db8::cb01", "%{ir}.%{v}._spf.%{d2}",
		"1.0.B.C.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.B.D.0.1.0.0.2.ip6._spf.example.com" },
	{ "2001:db8::cb01", "%{c} %{h} %{r}", "2001:db8::cb01 helo.example mx.example" },
	{ "192.0.2.3", "%{S}", "strong-bad%40email.example.com" },
	{ "192.0.2.3", "100%% sure%_about%-it", "100% sure about%20it" },
	{ "192.0.2.3", "%{L}", "strong-bad" },
};

int main(void)
{
	struct arena *a = arena_new("test");
	struct spf_dns dns = { .a = a };
	struct spf_values v = { STR_INIT("strong-bad"), STR_INIT("email.example.com"), STR_INIT("helo.example"), STR_INIT("mx.example"),
		&dns };
	struct buf many = { 0 };
	struct str out;

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		ip_parse(str_z(cases[i].client), &dns.client);
		spf_macro_expand(a, &v, STR("email.example.com"), str_z(cases[i].text), false, &out);
		is_str(out, str_z(cases[i].want), cases[i].text);
	}
	for (int i = 0; i < 40; i++)
		buf_addz(&many, "%{o}.");
	spf_macro_expand(a, &v, STR("example.com"), buf_str(&many), true, &out);
	ok(out.n <= 253 && out.n > 240 && str_ends(out, STR(".email.example.com")), "a name too long loses labels on the left");
	spf_macro_expand(a, &v, STR("example.com"), buf_str(&many), false, &out);
	is_int((long long)out.n, 512, "a text too long loses its end");
	buf_done(&many);
	arena_free(a);
	return done_testing();
}
