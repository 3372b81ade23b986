/* t/fuzz/fuzz_policy.c - attribute lines of policy requests, and restriction arguments that are text. */
#include "lib/mail/dnsbl.h"
#include "lib/proto/policy.h"
#include "policyd/access_keys.h"
#include "t/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str rest = fuzz_str(data, size);
	struct arena *a = arena_new("fuzz");
	struct policy_request *r = arena_alloc(a, sizeof *r);
	struct dnsbl d;
	const char *why;
	struct err e = ERR_INIT;

	while (rest.n > 0) {
		struct str line = str_cut(&rest, '\n');

		(void)policy_take_line(line, a, r, &e);
		(void)dnsbl_parse(line, &d, &why);
	}
	check(r->count <= POLICY_ATTRS_MAX);
	for (size_t i = 0; i < r->count; i++) {
		check(r->attrs[i].name.n > 0 && str_any(r->attrs[i].value, "\r\n") < 0);
		(void)access_host_keys(a, r->attrs[i].value, i % 2);
		(void)access_ip_keys(a, r->attrs[i].value);
		if (str_chr(r->attrs[i].value, '@') >= 0)
			(void)access_mail_keys(a, r->attrs[i].value, "+-", i % 2);
	}
	arena_free(a);
	return 0;
}
