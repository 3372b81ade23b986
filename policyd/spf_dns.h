/* policyd/spf_dns.h - DNS for SPF: our resolver with the counts that RFC 7208 section 4.6.4 asks for, and behind libspf2's lookup hook. */
#ifndef GATEPOST_POLICYD_SPF_DNS_H
#define GATEPOST_POLICYD_SPF_DNS_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/arena.h"
#include "lib/mail/ip.h"
#include "lib/net/dns.h"

#define SPF_VOID_MAX 2 /* lookups without an answer, after which the record is a permerror */
#define SPF_MX_MAX 10 /* hosts of one "mx" term; more are a permerror, wherever the client would stand among them */
#define SPF_CLIENT_NAMES 10 /* names of the client that are looked at, section 5.5 */

/* libspf2 is never given a stranger's text: terms are put to it about this name, and the hook asks for `target` instead. */
#define SPF_STAND_IN "target.invalid"

/* What an address question is turned into: the library knows no CIDR length of 0, where only existence counts, so such terms are put as
 * "exists:" and answered from here. */
enum spf_existence { SPF_EXISTS_PLAIN, SPF_EXISTS_AAAA, SPF_EXISTS_MX };

struct spf_dns {
	struct arena *a;
	int64_t deadline;
	struct ip client;
	struct str target;
	enum spf_existence existence;
	unsigned voids;
	bool too_many_mx; /* some "mx" term has; reset by the asker */
	bool tempfail; /* some question had no answer; reset by the asker */
	uint32_t ttl; /* the shortest of all answers */
	struct str names[SPF_CLIENT_NAMES]; /* validated names of the client, once asked for */
	size_t name_count;
	bool names_known;
};

void spf_dns_ask(struct spf_dns *d, struct str name, enum dns_type type, struct dns_answer *answer); /* Suspends. */
/* The client's names that resolve back to it (section 5.5), asked for once. Fills names and name_count. Suspends. */
void spf_dns_client_names(struct spf_dns *d);

struct SPF_dns_server_struct;
/* A libspf2 resolver over d; lives as long as d's arena. */
struct SPF_dns_server_struct *spf_dns_server(struct spf_dns *d);

#endif
