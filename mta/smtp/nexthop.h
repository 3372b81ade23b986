/* mta/smtp/nexthop.h - where a next hop text points to, and in which order its servers are tried. Pure: no I/O. */
#ifndef GATEPOST_MTA_SMTP_NEXTHOP_H
#define GATEPOST_MTA_SMTP_NEXTHOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/base/str.h"
#include "lib/net/sock.h"

/* "example.org", "[host]", "host:587", "[host]:submission", "[2001:db8::1]:25", "inet:host:port", "unix:path". */
struct nexthop {
	struct str text; /* as given */
	struct str host; /* without brackets and port; a path with `local` */
	uint16_t port;
	bool local; /* unix-domain socket */
	bool mx; /* look for MX records */
};

/* port: what to use when text has none; mx: whether MX records are looked for at all (SMTP, with DNS). 0, or -1 with *e (TEMP: whoever
 * wrote the route can mend it). Slices of text. */
int nexthop_parse(struct str text, uint16_t port, bool mx, struct nexthop *out, struct err *e);
/* A number or a service name. False: neither. */
bool nexthop_port(struct str text, uint16_t *out);

struct server {
	struct str host; /* name as found in MX, or as given */
	uint16_t pref;
	struct sock_addr addr;
	struct str alias_of; /* host's name behind CNAMEs, or host */
	bool secure; /* DNSSEC vouches for the address */
};

enum family_preference { PREFER_ANY, PREFER_V4, PREFER_V6 };

/* Best preference first; equal ones shuffled when asked to, else in the order given; then the preferred family first. */
void servers_order(struct server *s, size_t count, bool shuffle, enum family_preference prefer);
/* Among the first `limit`, make room for one of a family that would not be tried at all. */
void servers_balance(struct server *s, size_t count, size_t limit);
/* This host is one of the servers (is_own): only strictly better ones may be asked, else mail goes in circles (RFC 5321 section 5.1).
 * Returns how many are left of an ordered list. */
size_t servers_cut_own(const struct server *s, size_t count, bool (*is_own)(const struct sock_addr *));

#endif
