/* t/unit/nexthop.c - next hop texts, and in which order servers are tried. */
#include "mta/smtp/nexthop.h"

#include "t/unit/tap.h"

static const struct {
	const char *text;
	const char *host; /* NULL: refused */
	int port;
	bool local, mx;
} hops[] = {
	{ "example.org", "example.org", 25, false, true },
	{ "example.org:587", "example.org", 587, false, true },
	{ "example.org:submission", "example.org", 587, false, true },
	{ "[example.org]", "example.org", 25, false, false },
	{ "[example.org]:2525", "example.org", 2525, false, false },
	{ "[192.0.2.1]:25", "192.0.2.1", 25, false, false },
	{ "[2001:db8::1]:26", "2001:db8::1", 26, false, false },
	{ "[IPv6:2001:db8::1]", "2001:db8::1", 25, false, false },
	{ "2001:db8::1", "2001:db8::1", 25, false, true },
	{ "inet:localhost:24", "localhost", 24, false, false },
	{ "inet:[::1]:lmtp", "::1", 24, false, false },
	{ "unix:/run/x:y", "/run/x:y", 0, true, false },
	{ "unix:private/x", "private/x", 0, true, false },
	{ "", NULL, 0, false, false },
	{ ":25", NULL, 0, false, false },
	{ "[]", NULL, 0, false, false },
	{ "[host", NULL, 0, false, false },
	{ "[host]x", NULL, 0, false, false },
	{ "host:", NULL, 0, false, false },
	{ "host:0", NULL, 0, false, false },
	{ "host:70000", NULL, 0, false, false },
	{ "host:no-such-service", NULL, 0, false, false },
	{ "unix:", NULL, 0, false, false },
};

static void check_hop(size_t i)
{
	struct nexthop h = { .port = 1 };
	struct err e = ERR_INIT;
	int r = nexthop_parse(str_z(hops[i].text), 25, true, &h, &e);

	if (hops[i].host == NULL) {
		ok(r == -1 && e.kind == ERR_TEMP && h.port == 1, "'%s' is refused, for now", hops[i].text);
		return;
	}
	is_int(r, 0, hops[i].text);
	is_str(h.host, str_z(hops[i].host), "host");
	is_int(h.port, hops[i].port, "port");
	ok(h.local == hops[i].local && h.mx == hops[i].mx, "kind");
}

/* "10a4 20b6": preference, name, family. */
static size_t list(const char *text, struct server *s)
{
	struct str rest = str_z(text), word;
	size_t n = 0;

	for (; (word = str_word(&rest, " ")).n > 0; n++) {
		uint64_t pref = 0;

		str_to_u64(str_sub(word, 0, 2), 99, &pref);
		s[n] = (struct server){ .host = str_sub(word, 2, 1), .pref = (uint16_t)pref };
		s[n].addr.u.sa.sa_family = word.p[3] == '6' ? AF_INET6 : AF_INET;
	}
	return n;
}

static void is_order(const struct server *s, size_t n, const char *want, const char *name)
{
	struct buf b = { 0 };

	for (size_t i = 0; i < n; i++)
		buf_add(&b, s[i].host);
	is_str(buf_str(&b), str_z(want), name);
	buf_done(&b);
}

static const struct {
	const char *in;
	enum family_preference prefer;
	const char *want;
} orders[] = {
	{ "20a4 10b4 10c4 05d6", PREFER_ANY, "dbca" },
	{ "10a4 10b6 10c4 10d6", PREFER_ANY, "abcd" },
	{ "10a4 10b6 10c4 10d6", PREFER_V6, "bdac" },
	{ "10a6 10b4 05c6", PREFER_V4, "cba" },
	{ "", PREFER_ANY, "" },
};

static void shuffling(void)
{
	struct server s[4];
	bool first[2] = { false, false };

	for (int i = 0; i < 200; i++) {
		size_t n = list("10a4 10b4 20c4 30d4", s);

		servers_order(s, n, true, PREFER_ANY);
		first[str_eqz(s[0].host, "b")] = true;
		if (!str_eqz(s[2].host, "c") || !str_eqz(s[3].host, "d"))
			ok(false, "preference goes before chance");
	}
	ok(first[0] && first[1], "equal servers take turns");
}

static const struct {
	const char *in;
	size_t limit;
	const char *want;
} balances[] = {
	{ "10a4 10b4 10c4 10d6 10e6", 3, "abdce" },
	{ "10a4 10b6 10c4 10d6", 3, "abcd" },
	{ "10a6 10b6 10c6", 2, "abc" },
	{ "10a4 10b6", 5, "ab" },
	{ "10a4 10b4 10c6", 1, "abc" },
};

static char own_name;
static struct server *own_list;
static size_t own_count;

static bool is_own(const struct sock_addr *a)
{
	for (size_t i = 0; i < own_count; i++) {
		if (&own_list[i].addr == a)
			return own_list[i].host.p[0] == own_name;
	}
	return false;
}

static const struct {
	const char *in;
	char own;
	size_t left;
} cuts[] = {
	{ "10a4 20b4 20c4 30d4", 'x', 4 },
	{ "10a4 20b4 20c4 30d4", 'c', 1 },
	{ "10a4 20b4 20c4 30d4", 'a', 0 },
	{ "10a4 10b4", 'b', 0 },
	{ "10a4 20b4", 'b', 1 },
};

int main(void)
{
	struct server s[8];

	for (size_t i = 0; i < sizeof hops / sizeof *hops; i++)
		check_hop(i);
	for (size_t i = 0; i < sizeof orders / sizeof *orders; i++) {
		size_t n = list(orders[i].in, s);

		servers_order(s, n, false, orders[i].prefer);
		is_order(s, n, orders[i].want, orders[i].in);
	}
	shuffling();
	for (size_t i = 0; i < sizeof balances / sizeof *balances; i++) {
		size_t n = list(balances[i].in, s);

		servers_balance(s, n, balances[i].limit);
		is_order(s, n, balances[i].want, balances[i].in);
	}
	for (size_t i = 0; i < sizeof cuts / sizeof *cuts; i++) {
		own_list = s;
		own_count = list(cuts[i].in, s);
		own_name = cuts[i].own;
		is_int((long long)servers_cut_own(s, own_count, is_own), (long long)cuts[i].left, cuts[i].in);
	}
	return done_testing();
}
