/* t/fuzz/fuzz_spf_record.c - SPF records and explanations. What passes is given to libspf2's macro expander, too. */
#include "lib/net/dns.h"
#include "policyd/spf_lib.h"
#include "policyd/spf_record.h"
#include "t/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str text = fuzz_str(data, size), out;
	struct arena *a = arena_new("fuzz");
	struct spf_question q = { STR_INIT("192.0.2.1"), STR_INIT("helo.example"), STR_NONE, STR_INIT("mx.example"), 0 };
	struct spf_dns dns = { .a = a };
	struct spf_record r;
	const char *why;
	struct spf_lib *lib = spf_lib_new(&q, STR("joe+x-y@mail.example.org"), &dns);

	check(lib != NULL);
	if (spf_record_selects(text) && spf_record_parse(a, text, &r, &why)) {
		check(r.count <= size);
		for (size_t i = 0; i < r.count; i++)
			if (r.terms[i].mechanism == SPF_MECH_EXISTS && str_find(r.terms[i].spec, STR("{p")) < 0 &&
				str_find(r.terms[i].spec, STR("{P")) < 0)
				(void)spf_lib_expand(lib, STR("example.org"), r.terms[i].spec, &out);
	}
	if (size <= SPF_SPEC_MAX && spf_explanation_valid(text) && str_find(text, STR("{p")) < 0 && str_find(text, STR("{P")) < 0)
		(void)spf_lib_expand(lib, STR("example.org"), text, &out);
	arena_free(a);
	return 0;
}
