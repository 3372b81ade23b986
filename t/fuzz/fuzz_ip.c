/* t/fuzz/fuzz_ip.c - addresses and networks: what is printed parses to the same again, and a network contains its own base. */
#include "lib/mail/ip.h"

#include <string.h>

#include "t/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str in = fuzz_str(data, size);
	struct buf text = { 0 };
	struct ip ip, again;
	struct ip_net net;
	const char *why = NULL;

	if (ip_parse(in, &ip)) {
		ip_print(&text, &ip);
		check(ip_parse(buf_str(&text), &again) && memcmp(&ip.b, &again.b, sizeof ip.b) == 0 && ip.v4 == again.v4);
	}
	if (ip_net_parse(in, &net, &why)) {
		check(net.bits <= (net.base.v4 ? 32 : 128) && ip_in_net(&net.base, &net));
		again = ip_mask(&net.base, net.bits);
		check(memcmp(&again.b, &net.base.b, sizeof again.b) == 0);
	} else {
		check(why != NULL);
	}
	buf_done(&text);
	return 0;
}
