/* policyd/spf_dns.h - DNS for SPF: our resolver behind libspf2's lookup hook, with the counts that RFC 7208 section 4.6.4 asks for. */
#ifndef GATEPOST_POLICYD_SPF_DNS_H
#define GATEPOST_POLICYD_SPF_DNS_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/arena.h"
#include "lib/net/dns.h"

#define SPF_VOID_MAX 2 /* lookups without an answer, after which the record is a permerror */

/* What an address question of libspf2 is turned into: it knows no CIDR length of 0, where only existence counts, so such terms are asked
 * as "exists:" and answered from here. */
enum spf_existence { SPF_EXISTS_PLAIN, SPF_EXISTS_AAAA, SPF_EXISTS_MX };

struct spf_dns {
	struct arena *a;
	int64_t deadline;
	enum spf_existence existence;
	bool client_v6;
	unsigned voids;
	bool tempfail;
	uint32_t ttl; /* the shortest of all answers */
};

/* One question, counted. */
void spf_dns_ask(struct spf_dns *d, struct str name, enum dns_type type, struct dns_answer *answer); /* Suspends. */

struct SPF_dns_server_struct;
/* A libspf2 resolver over d; lives as long as d's arena. */
struct SPF_dns_server_struct *spf_dns_server(struct spf_dns *d);

#endif
