/* t/unit/ip.c - addresses and networks, as text and for matching. */
#include "lib/mail/ip.h"

#include "t/unit/tap.h"

static const struct {
	const char *in, *out; /* out NULL: no address */
} addresses[] = {
	{ "192.0.2.1", "192.0.2.1" },
	{ "2001:DB8::1", "2001:db8::1" },
	{ "IPv6:2001:db8::1", "2001:db8::1" },
	{ "ipv6:::1", "::1" },
	{ "::ffff:192.0.2.1", "192.0.2.1" },
	{ "0.0.0.0", "0.0.0.0" },
	{ "192.0.2.256", NULL },
	{ "192.0.2", NULL },
	{ "192.0.2.1 ", NULL },
	{ "", NULL },
	{ "IPv6:", NULL },
	{ "1:2:3:4:5:6:7:8:9", NULL },
	{ "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", NULL },
};

static const struct {
	const char *net, *ip;
	int want; /* 1 inside, 0 outside, -1 no network */
} nets[] = {
	{ "192.0.2.0/24", "192.0.2.255", 1 },
	{ "192.0.2.0/24", "192.0.3.0", 0 },
	{ "192.0.2.128/25", "192.0.2.127", 0 },
	{ "192.0.2.128/25", "192.0.2.128", 1 },
	{ "0.0.0.0/0", "255.255.255.255", 1 },
	{ "0.0.0.0/0", "::1", 0 },
	{ "::/0", "2001:db8::1", 1 },
	{ "::/0", "192.0.2.1", 0 },
	{ "[2001:db8::]/32", "2001:db8:ffff::1", 1 },
	{ "2001:db8::/33", "2001:db8:8000::", 0 },
	{ "192.0.2.1", "192.0.2.1", 1 },
	{ "192.0.2.1", "192.0.2.2", 0 },
	{ "192.0.2.1/32", "::ffff:192.0.2.1", 1 },
	{ "[::ffff:192.0.2.0]/120", "192.0.2.7", 1 },
	{ "[::ffff:192.0.2.0]/95", "192.0.2.7", -1 },
	{ "192.0.2.1/24", "192.0.2.1", -1 },
	{ "192.0.2.0/33", "192.0.2.1", -1 },
	{ "192.0.2.0/", "192.0.2.1", -1 },
	{ "192.0.2.0/x", "192.0.2.1", -1 },
	{ "host/24", "192.0.2.1", -1 },
	{ "", "192.0.2.1", -1 },
};

static const struct {
	const char *ip;
	unsigned bits;
	const char *want;
} masks[] = {
	{ "192.0.2.255", 24, "192.0.2.0" },
	{ "192.0.2.255", 30, "192.0.2.252" },
	{ "192.0.2.255", 32, "192.0.2.255" },
	{ "192.0.2.255", 0, "0.0.0.0" },
	{ "2001:db8:ffff::1", 36, "2001:db8:f000::" },
	{ "2001:db8::1", 0, "::" },
};

static void check_net(const char *net, const char *text, int want)
{
	struct ip_net n;
	struct ip ip;
	const char *why = NULL;

	ok(ip_parse(str_z(text), &ip), "%s is an address", text);
	if (!ip_net_parse(str_z(net), &n, &why)) {
		ok(want == -1 && why != NULL, "'%s' is no network", net);
		return;
	}
	is_int(ip_in_net(&ip, &n), want, net);
}

int main(void)
{
	struct ip ip;
	struct buf b = { 0 };

	for (size_t i = 0; i < sizeof addresses / sizeof *addresses; i++) {
		buf_clear(&b);
		if (ip_parse(str_z(addresses[i].in), &ip))
			ip_print(&b, &ip);
		is_str(buf_str(&b), str_z(addresses[i].out), addresses[i].in);
	}
	for (size_t i = 0; i < sizeof nets / sizeof *nets; i++)
		check_net(nets[i].net, nets[i].ip, nets[i].want);
	for (size_t i = 0; i < sizeof masks / sizeof *masks; i++) {
		buf_clear(&b);
		ip_parse(str_z(masks[i].ip), &ip);
		ip = ip_mask(&ip, masks[i].bits);
		ip_print(&b, &ip);
		is_str(buf_str(&b), str_z(masks[i].want), masks[i].ip);
	}
	buf_done(&b);
	return done_testing();
}
