/* t/unit/spf_record.c - what is an SPF record and what is not. */
#include "policyd/spf_record.h"

#include "t/unit/tap.h"

static const struct {
	const char *text;
	bool good;
} records[] = {
	{ "v=spf1", true },
	{ "v=spf1  a  mx -all ", true },
	{ "v=spf1 A:ExAmple.org/24//64 ~all", true },
	{ "v=spf1 a/0//0 ?all", true },
	{ "v=spf1 ip4:192.0.2.0/24 ip6:2001:db8::/32 -all", true },
	{ "v=spf1 include:%{d1r}.example.org redirect=_spf.%{d}", true },
	{ "v=spf1 exists:%{ir}.%{l1r+-}._spf.%{d} exp=why.%{d2}", true },
	{ "v=spf1 moo.cow-far_out=man:dog/cat ip4:1.2.3.4 -all", true },
	{ "v=spf1 ptr ptr:example.org exists:%{p}.example.org", true },
	{ "v=spf1 a:example.org. -all", true },
	{ "v=spf1 ip4:192.0.2.0/33", false },
	{ "v=spf1 ip4:192.0.2.0/08", false },
	{ "v=spf1 ip4:192.0.2", false },
	{ "v=spf1 ip4", false },
	{ "v=spf1 ip6:2001:db8::/129", false },
	{ "v=spf1 a:", false },
	{ "v=spf1 a:example.org:8080", false },
	{ "v=spf1 a:museum", false },
	{ "v=spf1 a:192.0.2.1", false },
	{ "v=spf1 a:example.-com", false },
	{ "v=spf1 all:example.org", false },
	{ "v=spf1 all/8", false },
	{ "v=spf1 exists", false },
	{ "v=spf1 exists:example.org/24", false },
	{ "v=spf1 include", false },
	{ "v=spf1 ptr/0", false },
	{ "v=spf1 mx//129", false },
	{ "v=spf1 -redirect=example.org", false },
	{ "v=spf1 redirect=example.org redirect=example.net", false },
	{ "v=spf1 exp=example.org exp=example.net", false },
	{ "v=spf1 exp= -all", false },
	{ "v=spf1 =vuln", false },
	{ "v=spf1 foo=%abc -all", false },
	{ "v=spf1 exists:%{x}.example.org", false },
	{ "v=spf1 exists:%{d0}.example.org", false },
	{ "v=spf1 exists:%{c}.example.org", false },
	{ "v=spf1 exists:%{d.example.org", false },
	{ "v=spf1 a:ex\tample.org", false },
	{ "v=spf1 unknown", false },
	{ "v=spf1 ++all", false },
};

static void test_terms(struct arena *a)
{
	struct spf_record r;
	const char *why;

	ok(spf_record_parse(a, STR("v=spf1 ~mx:mail.example.org/20//48 redirect=r.example exp=e.example"), &r, &why),
		"a record with everything");
	is_int((long long)r.count, 1, "modifiers are no terms");
	is_int(r.terms[0].mechanism, SPF_MECH_MX, "mechanism");
	ok(r.terms[0].qualifier == '~' && r.terms[0].bits4 == 20 && r.terms[0].bits6 == 48, "qualifier and prefixes");
	is_str(r.terms[0].spec, STR("mail.example.org"), "domain-spec");
	is_str(r.redirect, STR("r.example"), "redirect");
	is_str(r.exp, STR("e.example"), "exp");
}

int main(void)
{
	struct arena *a = arena_new("test");

	for (size_t i = 0; i < sizeof records / sizeof *records; i++) {
		struct spf_record r;
		const char *why;

		ok(spf_record_parse(a, str_z(records[i].text), &r, &why) == records[i].good, "%s: %s", records[i].good ? "good" : "bad",
			records[i].text);
	}
	test_terms(a);
	ok(spf_record_selects(STR("V=SPF1 -all")) && spf_record_selects(STR("v=spf1")), "version matches in any case");
	ok(!spf_record_selects(STR("v=spf10 -all")) && !spf_record_selects(STR(" v=spf1")), "near misses are other records");
	ok(spf_explanation_valid(STR("%{i} may not send for %{o}: see %{r}")), "explanation with blanks and %%{r}");
	ok(!spf_explanation_valid(STR("100% wrong")), "explanation with a stray percent sign");
	arena_free(a);
	return done_testing();
}
