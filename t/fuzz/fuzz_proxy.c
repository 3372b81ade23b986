/* t/fuzz/fuzz_proxy.c - PROXY protocol headers: a verdict does not change when more octets arrive, and a refusal has a reason. */
#include "mta/smtpd/proxy.h"

#include "t/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str in = fuzz_str(data, size);
	struct proxy_header h;
	const char *why = NULL;
	ptrdiff_t n = proxy_parse(in, &h, &why);

	check((n < 0) == (why != NULL));
	check(n <= (ptrdiff_t)size && n <= PROXY_HEADER_MAX);
	if (n > 0) {
		struct proxy_header again;

		check(proxy_parse(str_sub(in, 0, (size_t)n), &again, &why) == n);
		check(proxy_parse(str_sub(in, 0, (size_t)n - 1), &again, &why) == 0);
		check(h.client_port <= UINT16_MAX && h.server_port <= UINT16_MAX);
	}
	if (n == 0)
		check(size < PROXY_HEADER_MAX);
	return 0;
}
