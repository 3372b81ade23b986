/* policyd/access_keys.c - the search orders of access tables. */
#include "policyd/access_keys.h"

#include "lib/mail/addr.h"
#include "lib/mail/ip.h"

#define KEYS_MAX 300 /* a name of 255 octets has at most 127 parents; an address adds four keys */

static struct access_keys keys_new(struct arena *a)
{
	return (struct access_keys){ .list = arena_alloc(a, KEYS_MAX * sizeof(struct str)), .count = 0 };
}

static void add(struct access_keys *k, struct str key)
{
	if (k->count < KEYS_MAX && key.n > 0)
		k->list[k->count++] = key;
}

static void add_host(struct access_keys *k, struct str name, bool parents_plain)
{
	struct ip ip;
	ptrdiff_t dot;

	add(k, name);
	if (name.n == 0 || name.p[0] == '[' || ip_parse(name, &ip))
		return;
	while ((dot = str_chr(str_skip(name, 1), '.')) >= 0) {
		name = str_skip(name, (size_t)dot + 1);
		if (name.n == 1)
			return;
		add(k, parents_plain ? str_skip(name, 1) : name);
	}
}

struct access_keys access_host_keys(struct arena *a, struct str name, bool parents_plain)
{
	struct access_keys k = keys_new(a);

	add_host(&k, name, parents_plain);
	return k;
}

/* Networks by cutting text from the right, as access(5) has it: v4 at dots, v6 at colons (a "::" leaves one behind first). */
struct access_keys access_ip_keys(struct arena *a, struct str ip)
{
	struct access_keys k = keys_new(a);
	char sep = str_chr(ip, ':') >= 0 ? ':' : '.';
	ptrdiff_t at;

	add(&k, ip);
	while ((at = str_rchr(ip, sep)) > 0) {
		ip = str_sub(ip, 0, (size_t)at);
		add(&k, ip);
	}
	return k;
}

struct access_keys access_mail_keys(struct arena *a, struct str address, const char *delimiters, bool parents_plain)
{
	struct access_keys k = keys_new(a);
	struct addr parts = addr_split(address);
	struct str ext = STR_NONE, base = addr_base(parts.local, delimiters, &ext);

	add(&k, address);
	if (ext.n > 0)
		add(&k, arena_printf(a, "%.*s@%.*s", STRF(base), STRF(parts.domain)));
	add_host(&k, parts.domain, parents_plain);
	add(&k, arena_printf(a, "%.*s@", STRF(parts.local)));
	if (ext.n > 0)
		add(&k, arena_printf(a, "%.*s@", STRF(base)));
	return k;
}
