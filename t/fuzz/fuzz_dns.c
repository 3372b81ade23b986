/* t/fuzz/fuzz_dns.c - DNS answers. The first octet chooses the type that was asked for. */
#include "lib/net/dns_parse.h"
#include "t/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const enum dns_type types[] = { DNS_A, DNS_NS, DNS_CNAME, DNS_PTR, DNS_MX, DNS_TXT, DNS_AAAA, DNS_SRV, DNS_TLSA };
	enum dns_type type = types[size > 0 ? data[0] % (sizeof types / sizeof *types) : 0];
	struct arena *a = arena_new("fuzz");
	struct dns_answer answer;
	struct buf name = { 0 };
	const char *why;

	dns_parse(a, str_skip(fuzz_str(data, size), 1), type, &answer);
	check(answer.count <= DNS_RECORDS_MAX);
	check((answer.result == DNS_OK) == (answer.count > 0));
	check((answer.result == DNS_TEMPFAIL) == (answer.why != NULL));
	for (size_t i = 0; i < answer.count; i++) {
		check(type != DNS_A || answer.records[i].data.n == 4);
		check(type != DNS_AAAA || answer.records[i].data.n == 16);
		check(answer.records[i].name.n <= 4 * DNS_NAME_MAX);
	}
	check(arena_size(a) < (1u << 22));
	(void)dns_name_text(fuzz_str(data, size), &name, &why);
	buf_done(&name);
	arena_free(a);
	return 0;
}
