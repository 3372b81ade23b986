/* policyd/net.h - the network of a client, as greylisting and rates count. */
#ifndef GATEPOST_POLICYD_NET_H
#define GATEPOST_POLICYD_NET_H

#include "policyd/policyd.h"

/* "192.0.2.0/24" by greylist_ipv4_prefix, "2001:db8::/64" by greylist_ipv6_prefix. Empty: no address. */
struct str net_text(const struct settings *s, struct arena *a, struct str address);

#endif
