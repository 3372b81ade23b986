/* lib/mail/ip.h - IP addresses and networks as text and as bytes; v4 is held as v4-mapped v6 for matching. */
#ifndef GATEPOST_LIB_MAIL_IP_H
#define GATEPOST_LIB_MAIL_IP_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/str.h"

struct ip {
	uint8_t b[16];
	bool v4; /* b[12..15] */
};

struct ip_net {
	struct ip base;
	unsigned bits; /* prefix length in its own family: 0..32 or 0..128 */
};

bool ip_parse(struct str s, struct ip *out); /* "192.0.2.1", "2001:db8::1", "::ffff:1.2.3.4" (becomes v4), "IPv6:..." */
void ip_print(struct buf *out, const struct ip *a);
/* "net/bits", "[v6]/bits", or a plain address. *why: static text when false. Host bits set is an error. */
bool ip_net_parse(struct str s, struct ip_net *out, const char **why);
bool ip_in_net(const struct ip *a, const struct ip_net *n);
/* The network of a: first bits kept, rest zero. */
struct ip ip_mask(const struct ip *a, unsigned bits);

#endif
