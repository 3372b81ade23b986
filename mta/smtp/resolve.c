/* mta/smtp/resolve.c - from a next hop to the addresses of its servers, in the order they are tried. */
#include <netdb.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/net/dns.h"
#include "lib/net/fiber.h"
#include "mta/smtp/smtp.h"

#define MX_MAX 100 /* MX records looked at; RFC 5321 section 5.1 expects a few */
#define ADDRESSES_MAX 200 /* addresses kept of all of them */
#define SMTP_PORT 25

struct search {
	struct arena *a;
	const struct nexthop *hop;
	struct server *v;
	size_t count;
	bool secure; /* the list of hosts is */
	enum dns_result worst; /* of host lookups that brought nothing: TEMPFAIL before the others */
	struct str missed; /* the host of that lookup */
};

static void add_server(struct search *s, const struct server *found, const struct sock_addr *addr)
{
	struct server *one;

	if (s->count == ADDRESSES_MAX)
		return;
	one = &s->v[s->count++];
	*one = *found;
	one->addr = *addr;
	sock_addr_set_port(&one->addr, s->hop->port);
}

/* ---- smtp_dns_reply_filter ---- */

static void record_value(enum dns_type type, const struct dns_record *r, struct buf *out)
{
	struct sock_addr addr;

	if (type == DNS_MX) {
		buf_addf(out, "%u %.*s.", r->pref, STRF(r->name));
	} else {
		dns_record_address(type, r, &addr);
		sock_addr_text(&addr, out);
	}
}

/* "name. ttl IN type [preference] value" in the table: is it to be taken for absent? */
static bool filter_ignores(struct str name, enum dns_type type, const struct dns_record *r, uint32_t ttl)
{
	const char *word = type == DNS_MX ? "MX" : type == DNS_A ? "A" : "AAAA";
	struct buf text = { 0 }, answer = { 0 };
	struct err e = ERR_INIT;
	bool ignore = false;

	if (cfg->dns_filter.count == 0)
		return false;
	buf_addf(&text, "%.*s. %u IN %s ", STRF(name), (unsigned)ttl, word);
	record_value(type, r, &text);
	switch (tables_lookup(&cfg->dns_filter, buf_str(&text), &answer, &e)) {
	case TABLE_FOUND:
		ignore = str_eqiz(str_trim(buf_str(&answer)), "IGNORE");
		if (ignore)
			log_info("ignoring DNS RR: %s", buf_z(&text));
		else
			log_warn("DNS reply filter: unknown action \"%s\"", buf_z(&answer));
		break;
	case TABLE_FAILED:
		log_warn("%s", e.text);
		break;
	case TABLE_MISSING:
		break;
	}
	buf_done(&text);
	buf_done(&answer);
	return ignore;
}

/* ---- one host ---- */

struct native_job {
	const char *name;
	unsigned families;
	int result;
	struct addrinfo *found;
};

static void native_lookup(void *arg)
{
	struct native_job *job = arg;
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM };

	hints.ai_family = job->families == 1 ? AF_INET : job->families == 2 ? AF_INET6 : AF_UNSPEC;
	job->result = getaddrinfo(job->name, NULL, &hints, &job->found);
}

/* The system's own lookup (hosts file, NIS and what else it is told to ask). */
static enum dns_result add_native(struct search *s, const struct server *host)
{
	struct native_job job = { .name = arena_z(s->a, host->host), .families = cfg->families };

	offload(native_lookup, &job);
	if (job.result != 0)
		return job.result == EAI_AGAIN ? DNS_TEMPFAIL : DNS_NXDOMAIN;
	for (struct addrinfo *i = job.found; i != NULL; i = i->ai_next) {
		struct sock_addr addr = { .len = i->ai_addrlen };

		memcpy(&addr.u, i->ai_addr, i->ai_addrlen);
		add_server(s, host, &addr);
	}
	freeaddrinfo(job.found);
	return DNS_OK;
}

/* What one answer brings. Secure only together: an attacker needs no more than one forged address. */
static enum dns_result add_answer(struct search *s, struct server *host, enum dns_type type, const struct dns_answer *answer)
{
	size_t before = s->count;
	struct sock_addr addr;

	if (answer->result != DNS_OK)
		return answer->result;
	host->secure &= answer->secure;
	host->alias_of = answer->cname;
	for (size_t i = 0; i < answer->count; i++) {
		dns_record_address(type, &answer->records[i], &addr);
		if (!filter_ignores(answer->cname, type, &answer->records[i], answer->ttl))
			add_server(s, host, &addr);
	}
	return s->count > before ? DNS_OK : DNS_NODATA;
}

static enum dns_result add_dns(struct search *s, struct server *host)
{
	struct dns_answer answers[2];
	size_t first = s->count;
	enum dns_result r4, r6;

	dns_ask_addresses(s->a, host->host, cfg->families, deadline_in(cfg->dns_ms), answers);
	host->secure = true;
	r4 = add_answer(s, host, DNS_A, &answers[0]);
	r6 = add_answer(s, host, DNS_AAAA, &answers[1]);
	for (size_t i = first; i < s->count; i++)
		s->v[i].secure = host->secure;
	return dns_join(r4, r6);
}

static void add_host(struct search *s, struct str name, uint16_t pref)
{
	struct server host = { .host = name, .pref = pref, .alias_of = name };
	struct sock_addr literal;
	enum dns_result r = DNS_NXDOMAIN;
	struct err e;

	if (sock_parse_ip(name, s->hop->port, &literal, &e) == 0) {
		add_server(s, &host, &literal);
		return;
	}
	if (cfg->use_dns)
		r = add_dns(s, &host);
	if (r != DNS_OK && cfg->use_native)
		r = add_native(s, &host);
	if (r != DNS_OK && s->worst != DNS_TEMPFAIL) {
		s->worst = r;
		s->missed = name;
	}
}

/* ---- what to say when nothing was found ---- */

static int not_found(struct search *s, struct str name, const char *type, enum dns_result r, struct failure *why)
{
	struct code code = r == DNS_TEMPFAIL ? CODE(0, 4, 4, 3) : CODE(0, 5, 4, 4);
	const char *reason = r == DNS_TEMPFAIL ? "Host not found, try again"
			     : r == DNS_NODATA ? "Host found but no data record of requested type"
					       : "Host not found";

	failure_local(
		s->a, code, why, "Host or domain name not found. Name service error for name=%.*s type=%s: %s", STRF(name), type, reason);
	return -1;
}

static int no_address(struct search *s, struct failure *why)
{
	return not_found(s, s->missed, cfg->families & 2 ? "AAAA" : "A", s->worst, why);
}

static int no_mx_address(struct search *s, struct failure *why)
{
	log_warn("no MX host for %.*s has a valid address record", STRF(s->hop->host));
	no_address(s, why);
	if (cfg->defer_no_mx_address && why->code.c == 5)
		why->code = CODE(0, 4, 4, 4);
	return -1;
}

/* ---- MX ---- */

static bool is_null_mx(const struct dns_answer *mx)
{
	return mx->count == 1 && mx->records[0].name.n == 0; /* RFC 7505 */
}

static int add_mx_hosts(struct search *s, const struct dns_answer *mx, struct failure *why)
{
	if (is_null_mx(mx)) {
		failure_local(s->a, CODE(0, 5, 1, 0), why, "Domain %.*s does not accept mail (nullMX)", STRF(s->hop->host));
		return -1;
	}
	for (size_t i = 0; i < mx->count && i < MX_MAX; i++) {
		if (!filter_ignores(s->hop->host, DNS_MX, &mx->records[i], mx->ttl))
			add_host(s, mx->records[i].name, mx->records[i].pref);
	}
	return s->count > 0 ? 0 : no_mx_address(s, why);
}

/* The domain's MX hosts, or the domain itself when there are no MX records (RFC 5321 section 5.1). */
static int add_domain(struct search *s, struct failure *why)
{
	struct dns_answer mx;

	dns_ask(s->a, s->hop->host, DNS_MX, deadline_in(cfg->dns_ms), &mx);
	s->secure = mx.secure;
	if (mx.result == DNS_OK)
		return add_mx_hosts(s, &mx, why);
	if (mx.result == DNS_TEMPFAIL && !cfg->ignore_mx_error)
		return not_found(s, s->hop->host, "MX", mx.result, why);
	add_host(s, s->hop->host, 0);
	return s->count > 0 ? 0 : no_address(s, why);
}

static int find(struct search *s, struct failure *why)
{
	struct sock_addr literal;
	struct err e;

	if (s->hop->mx && cfg->use_dns && sock_parse_ip(s->hop->host, s->hop->port, &literal, &e) < 0)
		return add_domain(s, why);
	add_host(s, s->hop->host, 0);
	return s->count > 0 ? 0 : no_address(s, why);
}

static int loops(struct search *s, struct servers *out, struct failure *why)
{
	out->loops = true;
	failure_local(s->a, CODE(0, 5, 4, 6), why, "mail for %.*s loops back to myself", STRF(s->hop->host));
	return -1;
}

static int resolve_local(struct search *s, struct failure *why)
{
	struct sock_addr addr;
	struct err e;

	if (sock_parse_unix(s->hop->host, &addr, &e) < 0) {
		failure_local(s->a, CODE(0, 4, 3, 5), why, "%s", e.text);
		return -1;
	}
	s->v[s->count++] = (struct server){ .host = str_z(cfg->myhostname), .addr = addr, .alias_of = str_z(cfg->myhostname), .secure = true };
	return 0;
}

int resolve_servers(struct arena *a, const struct nexthop *hop, struct servers *out, struct failure *why)
{
	struct search s = { .a = a, .hop = hop, .worst = DNS_NXDOMAIN, .missed = hop->host, .secure = true };
	size_t count;

	*out = (struct servers){ .best_mx = true };
	s.v = arena_alloc(a, ADDRESSES_MAX * sizeof *s.v);
	if (hop->local ? resolve_local(&s, why) < 0 : find(&s, why) < 0)
		return -1;
	servers_order(s.v, s.count, cfg->shuffle && !hop->local, cfg->prefer);
	count = s.count;
	/* Other ports are other programs: a filter on this very host, mostly. */
	if (hop->mx && hop->port == SMTP_PORT && !cfg->lmtp)
		s.count = servers_cut_own(s.v, s.count, own_address);
	if (s.count == 0)
		return loops(&s, out, why);
	out->best_mx = s.count == count;
	if (cfg->balance && cfg->prefer == PREFER_ANY)
		servers_balance(s.v, s.count, cfg->mx_address_limit);
	if (cfg->mx_address_limit > 0 && s.count > cfg->mx_address_limit)
		s.count = cfg->mx_address_limit;
	out->secure = s.secure;
	out->v = s.v;
	out->count = s.count;
	return 0;
}
