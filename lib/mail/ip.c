/* lib/mail/ip.c - IP addresses and networks. */
#include "lib/mail/ip.h"

#include <arpa/inet.h>
#include <string.h>

#define V4_AT 12 /* where the four octets of a v4-mapped address begin; RFC 4291 section 2.5.5.2 */

static const uint8_t v4_prefix[V4_AT] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };

bool ip_parse(struct str s, struct ip *out)
{
	char text[INET6_ADDRSTRLEN];
	struct ip ip = { .v4 = false };

	if (str_startsi(s, STR("IPv6:")))
		s = str_skip(s, 5);
	if (s.n == 0 || s.n >= sizeof text || memchr(s.p, '\0', s.n) != NULL)
		return false;
	memcpy(text, s.p, s.n);
	text[s.n] = '\0';
	if (strchr(text, ':') == NULL) {
		memcpy(ip.b, v4_prefix, sizeof v4_prefix);
		if (inet_pton(AF_INET, text, ip.b + V4_AT) != 1)
			return false;
	} else if (inet_pton(AF_INET6, text, ip.b) != 1) {
		return false;
	}
	ip.v4 = memcmp(ip.b, v4_prefix, sizeof v4_prefix) == 0;
	*out = ip;
	return true;
}

void ip_print(struct buf *out, const struct ip *a)
{
	char text[INET6_ADDRSTRLEN];

	if (a->v4)
		inet_ntop(AF_INET, a->b + V4_AT, text, sizeof text);
	else
		inet_ntop(AF_INET6, a->b, text, sizeof text);
	buf_addz(out, text);
}

/* The prefix length counted in all 128 bits. */
static unsigned bits_of_128(bool v4, unsigned bits)
{
	return v4 ? V4_AT * 8 + bits : bits;
}

/* Do the first bits of a and b agree? */
static bool same_prefix(const uint8_t *a, const uint8_t *b, unsigned bits)
{
	unsigned whole = bits / 8, part = bits % 8;

	if (memcmp(a, b, whole) != 0)
		return false;
	return part == 0 || ((a[whole] ^ b[whole]) >> (8 - part)) == 0;
}

struct ip ip_mask(const struct ip *a, unsigned bits)
{
	unsigned all = bits_of_128(a->v4, bits);
	struct ip out = *a;

	for (unsigned i = 0; i < sizeof out.b; i++) {
		unsigned keep = all <= i * 8 ? 0 : all - i * 8;

		if (keep < 8)
			out.b[i] = (uint8_t)(out.b[i] & (0xff00u >> keep));
	}
	return out;
}

bool ip_in_net(const struct ip *a, const struct ip_net *n)
{
	return a->v4 == n->base.v4 && same_prefix(a->b, n->base.b, bits_of_128(n->base.v4, n->bits));
}

/* "/bits" behind an address. A v4-mapped address may give its bits in either family. */
static bool parse_bits(struct str s, bool mapped_text, bool v4, unsigned *bits, const char **why)
{
	uint64_t n;

	if (!str_to_u64(s, v4 && !mapped_text ? 32 : 128, &n)) {
		*why = "bad net/mask pattern: the prefix length is out of range";
		return false;
	}
	if (v4 && mapped_text) {
		if (n < V4_AT * 8) {
			*why = "bad net/mask pattern: a prefix of a v4-mapped address has at least 96 bits";
			return false;
		}
		n -= V4_AT * 8;
	}
	*bits = (unsigned)n;
	return true;
}

bool ip_net_parse(struct str s, struct ip_net *out, const char **why)
{
	struct str rest = s, host = str_cut(&rest, '/');
	bool has_bits = host.n < s.n;
	struct ip_net net;
	struct ip masked;

	if (host.n >= 2 && host.p[0] == '[' && host.p[host.n - 1] == ']')
		host = str_sub(host, 1, host.n - 2);
	if (!ip_parse(host, &net.base)) {
		*why = "bad network or address value";
		return false;
	}
	net.bits = net.base.v4 ? 32 : 128;
	if (has_bits && !parse_bits(rest, str_chr(host, ':') >= 0, net.base.v4, &net.bits, why))
		return false;
	masked = ip_mask(&net.base, net.bits);
	if (memcmp(masked.b, net.base.b, sizeof masked.b) != 0) {
		*why = "non-null host address bits";
		return false;
	}
	*out = net;
	return true;
}
