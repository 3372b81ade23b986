/* lib/net/dns_hosts.h - the hosts file, for dns_peer.c. */
#ifndef GATEPOST_LIB_NET_DNS_HOSTS_H
#define GATEPOST_LIB_NET_DNS_HOSTS_H

#include "lib/net/sock.h"

/* Up to max addresses the file gives for name (in any case), in its order; how many. */
size_t dns_hosts_addresses(struct str name, struct sock_addr *out, size_t max);
/* The first name the file gives for an address; empty when there is none. Valid until dns_hosts_forget(). */
struct str dns_hosts_name(const struct sock_addr *a);
void dns_hosts_forget(void);
bool dns_same_address(const struct sock_addr *a, const struct sock_addr *b); /* ports do not count */

#endif
