/* t/fuzz/fuzz_spf_record.c - SPF records and explanations, and the macros of those that pass. */
#include "policyd/spf_macro.h"
#include "policyd/spf_record.h"
#include "t/fuzz/fuzz.h"

#define TEXT_MAX 600 /* octets of an expansion; more must have been cut */

static bool asks_dns(struct str s)
{
	return str_find(s, STR("{p")) >= 0 || str_find(s, STR("{P")) >= 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str text = fuzz_str(data, size), out;
	struct arena *a = arena_new("fuzz");
	struct spf_dns dns = { .a = a };
	struct spf_values v = { STR_INIT("joe+x-y"), STR_INIT("mail.example.org"), STR_INIT("helo.example"), STR_INIT("mx.example"), &dns };
	struct spf_record r = { .count = 0 };
	const char *why;

	if (spf_record_selects(text) && spf_record_parse(a, text, &r, &why)) {
		check(r.count <= size);
		for (size_t i = 0; i < r.count; i++) {
			if (r.terms[i].mechanism == SPF_MECH_IP4 || r.terms[i].mechanism == SPF_MECH_IP6 || asks_dns(r.terms[i].spec))
				continue;
			spf_macro_expand(a, &v, STR("example.org"), r.terms[i].spec, true, &out);
			check(out.n <= 253 || str_chr(out, '.') < 0);
		}
	}
	if (spf_explanation_valid(text) && !asks_dns(text)) {
		spf_macro_expand(a, &v, STR("example.org"), text, false, &out);
		check(out.n <= TEXT_MAX);
	}
	arena_free(a);
	return 0;
}
