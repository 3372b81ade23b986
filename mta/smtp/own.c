/* mta/smtp/own.c - is this address one of our own? Asked of MX hosts, so that mail for ourselves is not sent in circles. */
#include <ifaddrs.h>
#include <netdb.h>
#include <string.h>

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "mta/smtp/smtp.h"

static struct {
	struct sock_addr *v;
	size_t count;
} own;

static void add(const struct sockaddr *sa)
{
	struct sock_addr a = { .len = 0 };

	if (sa == NULL || (sa->sa_family != AF_INET && sa->sa_family != AF_INET6))
		return;
	a.len = sa->sa_family == AF_INET ? sizeof a.u.in : sizeof a.u.in6;
	memcpy(&a.u, sa, a.len);
	own.v = mem_grow(own.v, own.count + 1, sizeof *own.v);
	own.v[own.count++] = a;
}

static void add_interfaces(void)
{
	struct ifaddrs *all, *i;

	if (getifaddrs(&all) < 0)
		return;
	for (i = all; i != NULL; i = i->ifa_next)
		add(i->ifa_addr);
	freeifaddrs(all);
}

/* An address, or a name the system can resolve. Runs at start, where waiting is allowed. */
static void add_host(struct str word)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *found, *i;
	char name[256];

	if (word.n >= 2 && word.p[0] == '[' && word.p[word.n - 1] == ']')
		word = str_sub(word, 1, word.n - 2);
	if (word.n >= sizeof name)
		return;
	memcpy(name, word.p, word.n);
	name[word.n] = '\0';
	if (getaddrinfo(name, NULL, &hints, &found) != 0)
		return;
	for (i = found; i != NULL; i = i->ai_next)
		add(i->ai_addr);
	freeaddrinfo(found);
}

void own_load(const struct conf *c)
{
	static const char *const names[] = { "inet_interfaces", "proxy_interfaces" };

	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		struct str rest = str_z(conf_str(c, names[i])), word;

		while ((word = str_word(&rest, ", \t\r\n")).n > 0) {
			if (str_eqiz(word, "all"))
				add_interfaces();
			else
				add_host(str_eqiz(word, "loopback-only") ? STR("localhost") : word);
		}
	}
}

bool own_address(const struct sock_addr *a)
{
	for (size_t i = 0; i < own.count; i++) {
		const struct sock_addr *o = &own.v[i];

		if (o->u.sa.sa_family != a->u.sa.sa_family)
			continue;
		if (a->u.sa.sa_family == AF_INET ? o->u.in.sin_addr.s_addr == a->u.in.sin_addr.s_addr
						 : memcmp(&o->u.in6.sin6_addr, &a->u.in6.sin6_addr, sizeof a->u.in6.sin6_addr) == 0)
			return true;
	}
	return false;
}
