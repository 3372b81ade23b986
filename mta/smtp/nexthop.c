/* mta/smtp/nexthop.c - next hop texts, and the order of servers. */
#include "mta/smtp/nexthop.h"

#include <netdb.h>
#include <string.h>

#include "lib/base/rand.h"

/* Names that routes use; others are asked of the system. */
static const struct {
	const char *name;
	uint16_t port;
} ports[] = { { "smtp", 25 }, { "submission", 587 }, { "submissions", 465 }, { "smtps", 465 }, { "lmtp", 24 } };

static bool system_port(struct str text, uint16_t *out)
{
	char name[64];
	struct servent *found;

	if (text.n == 0 || text.n >= sizeof name)
		return false;
	memcpy(name, text.p, text.n);
	name[text.n] = '\0';
	found = getservbyname(name, "tcp");
	if (found == NULL)
		return false;
	*out = ntohs((uint16_t)found->s_port);
	return true;
}

bool nexthop_port(struct str text, uint16_t *out)
{
	uint64_t n;

	if (str_to_u64(text, UINT16_MAX, &n)) {
		*out = (uint16_t)n;
		return n > 0;
	}
	for (size_t i = 0; i < sizeof ports / sizeof *ports; i++) {
		if (str_eqiz(text, ports[i].name)) {
			*out = ports[i].port;
			return true;
		}
	}
	return system_port(text, out);
}

static int bad(struct str text, struct err *e)
{
	struct buf safe = { 0 };

	buf_add_safe(&safe, str_sub(text, 0, 200));
	err_set(e, ERR_TEMP, CODE(451, 4, 3, 5), "bad next hop: \"%s\"", buf_z(&safe));
	buf_done(&safe);
	return -1;
}

static bool cut_prefix(struct str *s, struct str prefix)
{
	if (!str_startsi(*s, prefix))
		return false;
	*s = str_skip(*s, prefix.n);
	return true;
}

/* "[host]rest" -> host, rest. Without brackets the port's colon is the only one: a bare IPv6 address has no port. */
static bool split_host(struct str text, struct nexthop *out, struct str *rest)
{
	ptrdiff_t end = str_chr(text, ']'), colon = str_chr(text, ':');

	if (text.n > 0 && text.p[0] == '[') {
		if (end < 0)
			return false;
		out->host = str_sub(text, 1, (size_t)end - 1);
		*rest = str_skip(text, (size_t)end + 1);
		out->mx = false;
		return true;
	}
	if (colon < 0 || str_rchr(text, ':') != colon)
		colon = (ptrdiff_t)text.n;
	out->host = str_sub(text, 0, (size_t)colon);
	*rest = str_skip(text, (size_t)colon);
	return true;
}

int nexthop_parse(struct str text, uint16_t port, bool mx, struct nexthop *out, struct err *e)
{
	struct nexthop h = { .text = text, .port = port, .mx = mx };
	struct str rest = text;

	if (cut_prefix(&rest, STR("unix:"))) {
		h.local = true;
		h.mx = false;
		h.host = rest;
		h.port = 0;
	} else {
		if (cut_prefix(&rest, STR("inet:")))
			h.mx = false;
		if (!split_host(rest, &h, &rest) || (rest.n > 0 && (rest.p[0] != ':' || !nexthop_port(str_skip(rest, 1), &h.port))))
			return bad(text, e);
		cut_prefix(&h.host, STR("IPv6:"));
	}
	if (h.host.n == 0)
		return bad(text, e);
	*out = h;
	return 0;
}

/* ---- order ---- */

static bool is_v6(const struct server *s)
{
	return s->addr.u.sa.sa_family == AF_INET6;
}

static bool goes_before(const struct server *a, const struct server *b, enum family_preference prefer)
{
	if (a->pref != b->pref || prefer == PREFER_ANY)
		return a->pref < b->pref;
	return prefer == PREFER_V6 ? is_v6(a) && !is_v6(b) : !is_v6(a) && is_v6(b);
}

static void swap(struct server *a, struct server *b)
{
	struct server was = *a;

	*a = *b;
	*b = was;
}

void servers_order(struct server *s, size_t count, bool shuffle, enum family_preference prefer)
{
	for (size_t i = count; shuffle && i > 1; i--)
		swap(&s[i - 1], &s[rand_below(i)]);
	for (size_t i = 1; i < count; i++) { /* few, and stable: what is equal stays shuffled */
		for (size_t k = i; k > 0 && goes_before(&s[k], &s[k - 1], prefer); k--)
			swap(&s[k], &s[k - 1]);
	}
}

void servers_balance(struct server *s, size_t count, size_t limit)
{
	size_t other = limit;

	if (limit < 2 || count <= limit)
		return;
	for (size_t i = 1; i < limit; i++) {
		if (is_v6(&s[i]) != is_v6(&s[0]))
			return;
	}
	while (other < count && is_v6(&s[other]) == is_v6(&s[0]))
		other++;
	if (other < count)
		swap(&s[limit - 1], &s[other]);
}

size_t servers_cut_own(const struct server *s, size_t count, bool (*is_own)(const struct sock_addr *))
{
	size_t left = count;

	for (size_t i = 0; i < left; i++) {
		if (!is_own(&s[i].addr))
			continue;
		for (left = 0; left < i && s[left].pref < s[i].pref; left++)
			;
	}
	return left;
}
