/* lib/conf/host.c - defaults that depend on the host: its name, its domain, the networks it is on, and the directory that is read. */
#include "lib/conf/state.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>

#define HOST_NAME_SIZE 256

static const char *value_text(struct conf *c, const char *name)
{
	struct value *v = map_get(c->values, str_z(name));

	conf_evaluate(c, v);
	return v->text;
}

/* The system's name; one without a dot is completed by mydomain when that is set, else by "localdomain". */
static void default_myhostname(struct conf *c, struct buf *out)
{
	char name[HOST_NAME_SIZE] = "";

	if (gethostname(name, sizeof name - 1) < 0 || name[0] == '\0')
		buf_addz(out, "localhost");
	else
		buf_addz(out, name);
	if (str_chr(buf_str(out), '.') < 0)
		buf_addf(out, ".%s", conf_is_set(c, "mydomain") ? value_text(c, "mydomain") : "localdomain");
}

static void default_mydomain(struct conf *c, struct buf *out)
{
	struct str host = str_z(value_text(c, "myhostname"));
	ptrdiff_t dot = str_chr(host, '.');

	buf_add(out, dot < 0 ? STR("localdomain") : str_skip(host, (size_t)dot + 1));
}

/* Where main.cf was found, so that "hash:$config_directory/access" is the file next to it. */
static void default_config_directory(struct conf *c, struct buf *out)
{
	buf_addz(out, c->dir != NULL && *c->dir != '\0' ? c->dir : GATEPOST_CONFIG_DIR);
}

/* ---- mynetworks ---- */

struct net {
	int family;
	unsigned char addr[16], mask[16];
	size_t size; /* 4 or 16 */
	bool loopback;
};

static bool net_from_interface(const struct ifaddrs *i, struct net *n)
{
	const struct sockaddr_in *a4 = (const void *)i->ifa_addr, *m4 = (const void *)i->ifa_netmask;
	const struct sockaddr_in6 *a6 = (const void *)i->ifa_addr, *m6 = (const void *)i->ifa_netmask;

	if (i->ifa_addr == NULL || i->ifa_netmask == NULL || !(i->ifa_flags & IFF_UP))
		return false;
	*n = (struct net){ .family = i->ifa_addr->sa_family, .loopback = (i->ifa_flags & IFF_LOOPBACK) != 0 };
	if (n->family == AF_INET) {
		n->size = 4;
		memcpy(n->addr, &a4->sin_addr, 4);
		memcpy(n->mask, &m4->sin_addr, 4);
	} else if (n->family == AF_INET6) {
		n->size = 16;
		memcpy(n->addr, &a6->sin6_addr, 16);
		memcpy(n->mask, &m6->sin6_addr, 16);
	}
	return n->size != 0;
}

static bool word_names_address(struct conf *c, struct str word, const struct net *n)
{
	unsigned char addr[16];
	char *z = arena_z(c->life, word);

	if (str_eqiz(word, "all"))
		return true;
	if (str_eqiz(word, "loopback-only") || str_eqiz(word, "localhost"))
		return n->loopback;
	if (word.n > 2 && z[0] == '[') {
		z[word.n - 1] = '\0';
		z++;
	}
	return inet_pton(n->family, z, addr) == 1 && memcmp(addr, n->addr, n->size) == 0;
}

/* Is this one of inet_interfaces, in a protocol of inet_protocols? Host names in inet_interfaces do not count here. */
static bool is_ours(struct conf *c, const struct net *n)
{
	struct str rest = str_z(value_text(c, "inet_protocols")), word;
	bool family = false;

	while ((word = str_word(&rest, ", \t\r\n")).n > 0)
		family = family || str_eqiz(word, "all") || str_eqiz(word, n->family == AF_INET ? "ipv4" : "ipv6");
	rest = str_z(value_text(c, "inet_interfaces"));
	while (family && (word = str_word(&rest, ", \t\r\n")).n > 0)
		if (word_names_address(c, word, n))
			return true;
	return false;
}

static unsigned mask_bits(const struct net *n)
{
	unsigned bits = 0;

	while (bits < n->size * 8 && (n->mask[bits / 8] & (0x80U >> (bits % 8))))
		bits++;
	return bits;
}

/* The old classes A, B, C of IPv4; IPv6 has none and keeps its subnet. */
static unsigned class_bits(const struct net *n)
{
	if (n->family == AF_INET6)
		return mask_bits(n);
	return n->addr[0] < 128 ? 8 : n->addr[0] < 192 ? 16 : 24;
}

static void print_net(struct buf *out, const struct net *n, unsigned bits)
{
	unsigned char addr[16];
	char text[INET6_ADDRSTRLEN];

	memcpy(addr, n->addr, sizeof addr);
	for (unsigned i = bits; i < n->size * 8; i++)
		addr[i / 8] = (unsigned char)(addr[i / 8] & ~(0x80U >> (i % 8)));
	if (inet_ntop(n->family, addr, text, sizeof text) == NULL)
		return;
	if (out->n > 0)
		buf_addc(out, ' ');
	buf_addf(out, n->family == AF_INET6 ? "[%s]/%u" : "%s/%u", text, bits);
}

static void default_mynetworks(struct conf *c, struct buf *out)
{
	struct str style = str_z(value_text(c, "mynetworks_style"));
	struct ifaddrs *all = NULL;
	struct net n;

	if (!str_eqz(style, "host") && !str_eqz(style, "subnet") && !str_eqz(style, "class"))
		conf_problem(c, true, "%s: mynetworks_style = %.*s: must be host, subnet or class", conf_source(c, "mynetworks_style"),
			STRF(style));
	if (getifaddrs(&all) < 0)
		return; /* no network is trusted then */
	for (const struct ifaddrs *i = all; i != NULL; i = i->ifa_next) {
		if (!net_from_interface(i, &n) || !is_ours(c, &n))
			continue;
		print_net(out, &n,
			str_eqz(style, "host")     ? (unsigned)n.size * 8
			: str_eqz(style, "subnet") ? mask_bits(&n)
						   : class_bits(&n));
	}
	freeifaddrs(all);
}

static const struct {
	const char *name;
	void (*compute)(struct conf *c, struct buf *out);
} computed[] = {
	{ "config_directory", default_config_directory },
	{ "mydomain", default_mydomain },
	{ "myhostname", default_myhostname },
	{ "mynetworks", default_mynetworks },
};

bool conf_host_default(struct conf *c, const char *name, struct buf *out)
{
	for (size_t i = 0; i < sizeof computed / sizeof *computed; i++) {
		if (strcmp(computed[i].name, name) == 0) {
			computed[i].compute(c, out);
			return true;
		}
	}
	return false;
}
