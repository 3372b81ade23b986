/* t/fuzz/fuzz_addr.c - paths, quoting, domains, xtext: what was parsed lies inside the input, and quoting is undone by unquoting. */
#include "lib/mail/addr.h"
#include "t/fuzz/fuzz.h"

static void round_trips(struct arena *a, struct str in)
{
	struct buf x = { 0 }, back = { 0 };

	addr_xtext_encode(&x, in);
	check(addr_xtext_decode(&back, buf_str(&x)) && str_eq(buf_str(&back), in));
	addr_xtext_decode(&back, in);
	if (addr_split(in).domain.n == 0 || addr_domain_valid(addr_split(in).domain))
		check(str_eq(addr_unquote(a, addr_quote(a, in)), in));
	addr_unquote(a, in);
	buf_done(&x);
	buf_done(&back);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str in = fuzz_str(data, size), ext, ip;
	struct arena *a = arena_new("fuzz");

	for (unsigned flags = 0; flags < 8; flags++) {
		struct addr got = { STR_NONE, STR_NONE };
		const char *why = NULL;
		ptrdiff_t used = addr_parse_path(in, flags, &got, &why);

		check(used < 0 ? why != NULL : used > 0 && (size_t)used <= size);
		check(got.local.n + got.domain.n <= size);
		check(str_any(got.local, "\r\n") < 0 && str_any(got.domain, "\r\n <>") < 0);
	}
	check(addr_base(in, "+-", &ext).n + ext.n == size);
	addr_literal(in, &ip);
	round_trips(a, in);
	arena_free(a);
	return 0;
}
