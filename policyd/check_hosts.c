/* policyd/check_hosts.c - check_*_mx_access, _ns_access, _a_access: the hosts that serve a domain, looked up by name and address.
 * The names come from a stranger's DNS: how many of them are looked at is bounded, and none of them may permit.
 */
#include <string.h>

#include "lib/base/log.h"
#include "lib/mail/addr.h"
#include "lib/mail/ip.h"
#include "lib/net/dns.h"
#include "lib/net/sock.h"
#include "policyd/check_access.h"

#define HOSTS_LOOKED_AT 20 /* of one answer */

struct hosts {
	struct str names[HOSTS_LOOKED_AT];
	size_t count;
};

static struct str subject_domain(enum access_subject subject, const struct request *r)
{
	switch (subject) {
	case ACCESS_CLIENT:
		return r->client_name;
	case ACCESS_REVERSE_CLIENT:
		return r->reverse_client_name;
	case ACCESS_HELO:
		return r->helo;
	case ACCESS_SENDER:
		return request_domain(r->sender);
	default:
		return request_domain(r->recipient);
	}
}

static bool lookup_address(const struct access *access, struct request *r, struct str ip, struct verdict *v)
{
	return access_lookup(access, r, access_ip_keys(r->life, ip), v);
}

static void take_names(const struct dns_answer *answer, struct hosts *out)
{
	for (size_t i = 0; i < answer->count && out->count < HOSTS_LOOKED_AT; i++)
		if (answer->records[i].name.n > 0)
			out->names[out->count++] = answer->records[i].name;
}

/* MX hosts, or the domain itself when it has none (RFC 5321 section 5.1); nothing for a null MX. */
static enum dns_result find_mx(struct request *r, struct str domain, struct hosts *out)
{
	struct dns_answer answer;

	dns_ask(r->life, domain, DNS_MX, request_dns_deadline(r), &answer);
	take_names(&answer, out);
	if (answer.result == DNS_NODATA || answer.result == DNS_NXDOMAIN)
		out->names[out->count++] = domain;
	return answer.result;
}

/* Name servers of the domain, or of the nearest parent that has some. */
static enum dns_result find_ns(struct request *r, struct str domain, struct hosts *out)
{
	struct dns_answer answer;

	for (;;) {
		dns_ask(r->life, domain, DNS_NS, request_dns_deadline(r), &answer);
		take_names(&answer, out);
		if (answer.result != DNS_NODATA && answer.result != DNS_NXDOMAIN)
			return answer.result;
		str_cut(&domain, '.');
		if (str_chr(domain, '.') < 0)
			return answer.result;
	}
}

static bool lookup_host(const struct rule *rule, struct request *r, struct str host, struct verdict *v)
{
	const struct access *access = rule->state;
	struct sock_addr *addrs;
	size_t count;

	if (rule->check->variant % 4 != HOSTS_A && access_lookup(access, r, access_host_keys(r->life, host, r->settings->parents_plain), v))
		return true;
	if (dns_addresses(r->life, host, 3, request_dns_deadline(r), &addrs, &count) == DNS_TEMPFAIL)
		log_warn("%s: cannot look up the addresses of \"%.*s\"", rule->check->name, STRF(host));
	for (size_t i = 0; i < count; i++) {
		struct buf text = { 0 };
		struct str ip;

		sock_addr_text(&addrs[i], &text);
		ip = arena_dup(r->life, buf_str(&text));
		buf_done(&text);
		if (lookup_address(access, r, ip, v))
			return true;
	}
	return false;
}

static void lookup_hosts(const struct rule *rule, struct request *r, struct str domain, struct verdict *v)
{
	enum hosts_kind kind = (enum hosts_kind)(rule->check->variant % 4);
	struct hosts hosts = { .count = 0 };
	enum dns_result result = DNS_OK;

	if (kind == HOSTS_A)
		hosts.names[hosts.count++] = domain;
	else
		result = kind == HOSTS_MX ? find_mx(r, domain, &hosts) : find_ns(r, domain, &hosts);
	if (result == DNS_TEMPFAIL)
		trouble_verdict(rule, r, TROUBLE_DNS, "cannot look up the hosts", v);
	if (result == DNS_TEMPFAIL || result == DNS_BADNAME)
		log_warn("%s: cannot look up the hosts of \"%.*s\"", rule->check->name, STRF(domain));
	for (size_t i = 0; i < hosts.count; i++)
		if (lookup_host(rule, r, hosts.names[i], v))
			return;
}

void hosts_eval(const struct rule *rule, struct request *r, struct verdict *v)
{
	struct str domain = subject_domain((enum access_subject)(rule->check->variant / 4), r), literal = STR_NONE;
	struct ip ip;

	if (domain.n == 0 || str_eqiz(domain, "unknown"))
		return;
	if (addr_literal(domain, &literal) || ip_parse(domain, &ip)) {
		if (rule->check->variant % 4 != HOSTS_NS)
			lookup_address(rule->state, r, literal.n > 0 ? literal : domain, v);
	} else {
		lookup_hosts(rule, r, domain, v);
	}
	access_forbid_permit(rule, domain, v);
}
