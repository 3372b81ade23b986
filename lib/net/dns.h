/* lib/net/dns.h - DNS questions from fibers, answered by libunbound on the process's loop (cached, DNSSEC validating).
 * Answers are parsed by a bounded parser of our own into arena memory; names are lower-case text without a trailing dot.
 */
#ifndef GATEPOST_LIB_NET_DNS_H
#define GATEPOST_LIB_NET_DNS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/arena.h"
#include "lib/base/err.h"
#include "lib/base/str.h"

enum dns_type { DNS_A = 1, DNS_NS = 2, DNS_CNAME = 5, DNS_PTR = 12, DNS_MX = 15, DNS_TXT = 16, DNS_AAAA = 28, DNS_SRV = 33, DNS_TLSA = 52 };

enum dns_result {
	DNS_OK, /* at least one record of the asked type */
	DNS_NODATA, /* the name exists, without such records */
	DNS_NXDOMAIN, /* the name does not exist */
	DNS_TEMPFAIL, /* timeout, SERVFAIL, bogus DNSSEC: try again later */
	DNS_BADNAME /* not a name that can be asked for */
};

struct dns_record {
	uint16_t pref; /* MX preference */
	uint16_t weight, port; /* SRV */
	struct str name; /* MX, NS, PTR, CNAME, SRV: the name */
	struct str data; /* A: 4 bytes, AAAA: 16 bytes, TXT: strings joined, others: raw rdata */
	const struct str *txt; /* TXT: the strings as they are */
	size_t txt_count;
};

struct dns_answer {
	enum dns_result result;
	bool secure; /* DNSSEC validated */
	uint32_t ttl; /* seconds; of the answer, or of the negative answer */
	struct str cname; /* final name after CNAMEs, or the name asked */
	const struct dns_record *records;
	size_t count;
	const char *why; /* static text for DNS_TEMPFAIL and DNS_BADNAME */
};

/* servers: "", or blank/comma separated "addr" or "addr:port" / "addr@port" to forward to; empty: the name servers of
 * /etc/resolv.conf. Once per process, after loop_init(); the resolver itself is made with the first question. 0, or -1 with *e. */
int dns_init(const char *servers, struct err *e);
/* Before the first question: file with the root's key. Without one nothing is validated and no answer is "secure". */
void dns_trust(const char *anchor_file);
/* Before the first question: a file like /etc/hosts, read once when first needed; "" or a missing file: none. It names clients
 * (dns_peer_name) and, on request, hosts (dns_addresses). */
void dns_hosts(const char *hosts_file);
void dns_done(void); /* no question may be open */
/* Ask. The answer lives in a. Suspends. Never fails otherwise than in answer->result. */
void dns_ask(struct arena *a, struct str name, enum dns_type type, int64_t deadline, struct dns_answer *answer);

/* All addresses of a host, A and AAAA asked together as `families` says (1 = v4, 2 = v6, 3 = both; plus DNS_HOSTS_FILE: what the hosts
 * file says goes before the DNS). addrs: arena array of struct sock_addr with port 0. result as for one question, OK when either family
 * answered. Suspends. */
struct sock_addr;
enum { DNS_HOSTS_FILE = 4 };
enum dns_result dns_addresses(
	struct arena *a, struct str host, unsigned families, int64_t deadline, struct sock_addr **addrs, size_t *count);
/* The questions behind it, with all that the answers say: [0] is A, [1] is AAAA, DNS_BADNAME where families does not want it. Suspends. */
void dns_ask_addresses(struct arena *a, struct str host, unsigned families, int64_t deadline, struct dns_answer answers[2]);
enum dns_result dns_join(enum dns_result a, enum dns_result b); /* what two answers mean together: the better one, or the one with hope */
void dns_record_address(enum dns_type type, const struct dns_record *r, struct sock_addr *out); /* of an A or AAAA record, port 0 */
/* "4.3.2.1.in-addr.arpa" or the ip6.arpa form, or with zone "4.3.2.1.<zone>" for DNS lists (RFC 5782). ip: text. False: not an address. */
bool dns_reverse_name(struct str ip, struct str zone, struct buf *out);
/* Peer names as Postfix defines them. *reverse: PTR name or "unknown"; *name: the same when it resolves back to ip, else "unknown".
 * Returns 2 OK, 4 temporary failure, 5 permanent failure or forged. Suspends. */
int dns_peer_name(struct arena *a, struct str ip, int64_t deadline, struct str *name, struct str *reverse);

#endif
