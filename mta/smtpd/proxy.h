/* mta/smtpd/proxy.h - the PROXY protocol, versions 1 and 2: a load balancer in front tells whose connection this is. */
#ifndef GATEPOST_MTA_SMTPD_PROXY_H
#define GATEPOST_MTA_SMTPD_PROXY_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/str.h"
#include "lib/mail/ip.h"

struct session;

#define PROXY_HEADER_MAX 536 /* octets: 16, 216 of unix addresses, and room for TLVs, as Postfix */

struct proxy_header {
	bool local; /* the proxy speaks for itself: keep the real addresses */
	struct ip client, server;
	unsigned client_port, server_port;
};

/* Parse the header at the front of in. Returns its length > 0; 0: more octets are needed; -1 with *why: this is no header. */
ptrdiff_t proxy_parse(struct str in, struct proxy_header *out, const char **why);

/* Read it from the session's stream and take over the addresses. 0, or -1: logged and told. Suspends. */
int proxy_read(struct session *s);

#endif
