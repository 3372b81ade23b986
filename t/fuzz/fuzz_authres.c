/* t/fuzz/fuzz_authres.c - Authentication-Results fields: what is read, whose it is said to be, and that what is written can be read. */
#include "lib/mail/authres.h"
#include "t/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str text = fuzz_str(data, size);
	struct arena *a = arena_new("fuzz");
	struct buf made = { 0 };
	struct authres ar;

	if (authres_parse(a, text, &ar)) {
		check(ar.count <= AUTHRES_RESULTS_MAX && ar.id.n > 0);
		for (size_t i = 0; i < ar.count; i++)
			check(ar.results[i].method.n > 0 && ar.results[i].result.n > 0 &&
				ar.results[i].property_count <= AUTHRES_PROPERTIES_MAX);
	}
	(void)authres_claims(text, STR("mx.example"));
	buf_addz(&made, "mx.example; dkim=pass");
	authres_add_comment(&made, text);
	buf_addz(&made, " header.d=");
	authres_add_value(&made, text);
	buf_addz(&made, " smtp.mailfrom=");
	authres_add_address(&made, text);
	check(str_any(buf_str(&made), "\r\n") < 0 && str_chr(buf_str(&made), '\0') < 0);
	check(authres_claims(buf_str(&made), STR("mx.example")) && authres_parse(a, buf_str(&made), &ar) && ar.count == 1);
	check(ar.results[0].property_count == 2);
	buf_done(&made);
	arena_free(a);
	return 0;
}
