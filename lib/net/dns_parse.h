/* lib/net/dns_parse.h - DNS packets (RFC 1035 section 4) to records, for dns.c, its test and its fuzz target.
 * The packet comes from strangers: every length is checked against its end, pointers only go backwards, counts and the CNAME chain
 * are bounded.
 */
#ifndef GATEPOST_LIB_NET_DNS_PARSE_H
#define GATEPOST_LIB_NET_DNS_PARSE_H

#include "lib/net/dns.h"

#define DNS_NAME_MAX 255 /* octets of a name on the wire, RFC 1035 section 2.3.4 */
#define DNS_RECORDS_MAX 512 /* records of an answer that are looked at */
#define DNS_CNAMES_MAX 16

/* Everything of *out is set; texts live in a. A packet that makes no sense is DNS_TEMPFAIL. */
void dns_parse(struct arena *a, struct str packet, enum dns_type type, struct dns_answer *out);

/* The name in the form ub_resolve_event() reads: lower case, no trailing dot, odd octets as \DDD; names beyond ASCII become A-labels. False
 * with *why (static text): nobody can be asked for this. */
bool dns_name_text(struct str name, struct buf *out, const char **why);

#endif
