/* lib/net/dns_peer.c - hosts and addresses: forward lookups of both families at once, reverse names, and who a client is. */
#include <string.h>

#include "lib/net/dns.h"
#include "lib/net/dns_ask.h"
#include "lib/net/dns_hosts.h"
#include "lib/net/sock.h"

#define ADDRESSES_MAX 64
#define PTR_TRIED 4 /* PTR names whose forward lookup may confirm a client */

static void add_address(struct sock_addr *to, enum dns_type type, struct str data)
{
	memset(to, 0, sizeof *to);
	if (type == DNS_A) {
		to->len = sizeof to->u.in;
		to->u.in.sin_family = AF_INET;
		memcpy(&to->u.in.sin_addr, data.p, sizeof to->u.in.sin_addr);
	} else {
		to->len = sizeof to->u.in6;
		to->u.in6.sin6_family = AF_INET6;
		memcpy(&to->u.in6.sin6_addr, data.p, sizeof to->u.in6.sin6_addr);
	}
}

enum dns_result dns_join(enum dns_result a, enum dns_result b)
{
	static const int rank[] = { [DNS_OK] = 4, [DNS_TEMPFAIL] = 3, [DNS_NODATA] = 2, [DNS_NXDOMAIN] = 1, [DNS_BADNAME] = 0 };

	return rank[a] > rank[b] ? a : b;
}

/* The hosts file's addresses of the wanted families. */
static size_t addresses_from_file(struct str host, unsigned families, struct sock_addr *addrs)
{
	size_t count = dns_hosts_addresses(host, addrs, ADDRESSES_MAX), kept = 0;

	for (size_t i = 0; i < count; i++)
		if (families & (addrs[i].u.sa.sa_family == AF_INET ? 1u : 2u))
			addrs[kept++] = addrs[i];
	return kept;
}

static const enum dns_type address_types[] = { DNS_A, DNS_AAAA };

void dns_record_address(enum dns_type type, const struct dns_record *r, struct sock_addr *out)
{
	add_address(out, type, r->data);
}

void dns_ask_addresses(struct arena *a, struct str host, unsigned families, int64_t deadline, struct dns_answer answers[2])
{
	struct dns_question q[2];

	for (unsigned i = 0; i < 2; i++)
		if (families & 1u << i)
			dns_question_start(&q[i], host, address_types[i]);
	for (unsigned i = 0; i < 2; i++) {
		answers[i] = (struct dns_answer){ .result = DNS_BADNAME };
		if (families & 1u << i)
			dns_question_finish(&q[i], a, deadline, &answers[i]);
	}
}

enum dns_result dns_addresses(
	struct arena *a, struct str host, unsigned families, int64_t deadline, struct sock_addr **addrs, size_t *count)
{
	struct dns_answer answers[2];
	enum dns_result all = DNS_BADNAME;

	*addrs = arena_alloc(a, ADDRESSES_MAX * sizeof **addrs);
	*count = families & DNS_HOSTS_FILE ? addresses_from_file(host, families, *addrs) : 0;
	if (*count > 0)
		return DNS_OK;
	dns_ask_addresses(a, host, families, deadline, answers);
	for (unsigned i = 0; i < 2; i++) {
		for (size_t k = 0; k < answers[i].count && *count < ADDRESSES_MAX; k++)
			dns_record_address(address_types[i], &answers[i].records[k], &(*addrs)[(*count)++]);
		all = dns_join(all, answers[i].result);
	}
	return all;
}

static bool parse_address(struct str ip, struct sock_addr *out)
{
	struct err e = ERR_INIT;

	if (str_startsi(ip, STR("IPv6:")))
		ip = str_skip(ip, 5);
	if (sock_parse_ip(ip, 0, out, &e) < 0)
		return false;
	if (out->u.sa.sa_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&out->u.in6.sin6_addr)) {
		char v4[4];

		memcpy(v4, (const char *)&out->u.in6.sin6_addr + 12, sizeof v4);
		add_address(out, DNS_A, str_n(v4, sizeof v4));
	}
	return true;
}

bool dns_reverse_name(struct str ip, struct str zone, struct buf *out)
{
	static const char digits[] = "0123456789abcdef";
	struct sock_addr a;
	const unsigned char *b;

	if (!parse_address(ip, &a))
		return false;
	if (a.u.sa.sa_family == AF_INET) {
		b = (const unsigned char *)&a.u.in.sin_addr;
		buf_addf(out, "%u.%u.%u.%u.", b[3], b[2], b[1], b[0]);
	} else {
		b = (const unsigned char *)&a.u.in6.sin6_addr;
		for (int i = 15; i >= 0; i--)
			buf_addf(out, "%c.%c.", digits[b[i] & 15], digits[b[i] >> 4]);
	}
	if (zone.n > 0)
		buf_add(out, zone);
	else
		buf_addz(out, a.u.sa.sa_family == AF_INET ? "in-addr.arpa" : "ip6.arpa");
	return true;
}

/* A name that may stand in logs and headers as a host: LDH labels and '_', not an address in disguise. */
static bool plausible_host(struct str name)
{
	struct sock_addr a;

	if (name.n == 0 || name.n > 255 || parse_address(name, &a))
		return false;
	for (size_t i = 0; i < name.n; i++) {
		char c = name.p[i];

		if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.'))
			return false;
	}
	return true;
}

static int confirm(struct arena *a, struct str name, const struct sock_addr *peer, int64_t deadline)
{
	struct sock_addr *addrs;
	size_t count;
	enum dns_result result = dns_addresses(a, name, peer->u.sa.sa_family == AF_INET ? 1 : 2, deadline, &addrs, &count);

	for (size_t i = 0; i < count; i++)
		if (dns_same_address(&addrs[i], peer))
			return 2;
	return result == DNS_TEMPFAIL ? 4 : 5;
}

int dns_peer_name(struct arena *a, struct str ip, int64_t deadline, struct str *name, struct str *reverse)
{
	struct sock_addr peer;
	struct dns_answer answer;
	struct buf question = { 0 };
	int code = 5;

	*name = *reverse = STR("unknown");
	if (!parse_address(ip, &peer))
		return 5;
	if (plausible_host(arena_lower(a, dns_hosts_name(&peer)))) {
		*name = *reverse = arena_dup(a, dns_hosts_name(&peer));
		return 2;
	}
	dns_reverse_name(ip, STR_NONE, &question);
	dns_ask(a, buf_str(&question), DNS_PTR, deadline, &answer);
	buf_done(&question);
	if (answer.result == DNS_TEMPFAIL)
		return 4;
	for (size_t i = 0; i < answer.count && i < PTR_TRIED && code != 2; i++) {
		struct str candidate = answer.records[i].name;
		int one;

		if (!plausible_host(candidate))
			continue;
		if (str_eqz(*reverse, "unknown"))
			*reverse = candidate;
		one = confirm(a, candidate, &peer, deadline);
		if (one == 2)
			*reverse = *name = candidate;
		code = one < code ? one : code;
	}
	return code;
}
