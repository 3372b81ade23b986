/* policyd/net.c - client networks as text. */
#include "policyd/net.h"

#include "lib/mail/ip.h"
#include "policyd/policyd.h"

struct str net_text(const struct settings *s, struct arena *a, struct str address)
{
	struct ip ip;
	struct buf text = { 0 };
	struct str net;
	unsigned bits;

	if (!ip_parse(address, &ip))
		return STR_NONE;
	bits = (unsigned)conf_int(s->conf, ip.v4 ? "greylist_ipv4_prefix" : "greylist_ipv6_prefix");
	ip = ip_mask(&ip, bits);
	ip_print(&text, &ip);
	net = arena_printf(a, "%.*s/%u", (int)text.n, text.p, bits);
	buf_done(&text);
	return net;
}
