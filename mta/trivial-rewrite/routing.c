/* mta/trivial-rewrite/routing.c - open the tables and lists that say where mail goes. */
#include "mta/trivial-rewrite/routing.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <netdb.h>
#include <netinet/in.h>
#include <string.h>

static int open_list(const struct conf *c, const char *name, unsigned flags, struct matchlist **out, struct err *e)
{
	*out = matchlist_open(conf_str(c, name), flags, conf_dir(c), e);
	return *out != NULL ? 0 : err_context(e, "%s", name);
}

static int open_lists(struct routing *r, const struct conf *c, struct err *e)
{
	unsigned parents = conf_list_has(c, "parent_domain_matches_subdomains", "relay_domains") ? MATCH_PARENT : 0;

	if (open_list(c, "mydestination", MATCH_HOST | MATCH_WHOLE, &r->mydestination, e) < 0)
		return -1;
	if (open_list(c, "virtual_alias_domains", MATCH_HOST | MATCH_WHOLE, &r->virtual_alias_domains, e) < 0)
		return -1;
	if (open_list(c, "virtual_mailbox_domains", MATCH_HOST | MATCH_WHOLE, &r->virtual_mailbox_domains, e) < 0)
		return -1;
	return open_list(c, "relay_domains", MATCH_HOST | parents, &r->relay_domains, e);
}

struct table_row {
	const char *name;
	size_t offset;
};

#define AT(field) offsetof(struct routing, field)

static const struct table_row of_recipients[] = {
	{ "local_recipient_maps", AT(local_recipients) },
	{ "virtual_alias_maps", AT(virtual_aliases) },
	{ "virtual_mailbox_maps", AT(virtual_mailboxes) },
	{ "relay_recipient_maps", AT(relay_recipients) },
	{ "canonical_maps", AT(canonical) },
	{ "recipient_canonical_maps", AT(recipient_canonical) },
}, of_routes[] = {
	{ "transport_maps", AT(transport) },
	{ "relocated_maps", AT(relocated) },
	{ "sender_dependent_relayhost_maps", AT(sender_relayhost) },
	{ "sender_dependent_default_transport_maps", AT(sender_transport) },
};

#define COUNT(array) (sizeof(array) / sizeof *(array))

static struct tables *table_at(struct routing *r, const struct table_row *row)
{
	return (struct tables *)(void *)((char *)r + row->offset);
}

static int open_tables(struct routing *r, const struct table_row *rows, size_t count, const struct conf *c, struct err *e)
{
	for (size_t i = 0; i < count; i++)
		if (tables_open(r->life, conf_str(c, rows[i].name), conf_dir(c), table_at(r, &rows[i]), e) < 0)
			return err_context(e, "%s", rows[i].name);
	return 0;
}

/* ---- user@[ip]: which addresses are ours ---- */

static void add_sockaddr(struct buf *list, const struct sockaddr *sa)
{
	char text[INET6_ADDRSTRLEN];
	const void *addr = NULL;

	if (sa != NULL && sa->sa_family == AF_INET)
		addr = &((const struct sockaddr_in *)(const void *)sa)->sin_addr;
	else if (sa != NULL && sa->sa_family == AF_INET6)
		addr = &((const struct sockaddr_in6 *)(const void *)sa)->sin6_addr;
	if (addr != NULL && inet_ntop(sa->sa_family, addr, text, sizeof text) != NULL)
		buf_addf(list, "[%s] ", text);
}

static void add_interfaces(struct buf *list)
{
	struct ifaddrs *all = NULL;

	if (getifaddrs(&all) < 0)
		return; /* then no literal is ours */
	for (const struct ifaddrs *i = all; i != NULL; i = i->ifa_next)
		add_sockaddr(list, i->ifa_addr);
	freeifaddrs(all);
}

static void add_host(struct routing *r, struct buf *list, struct str word)
{
	struct addrinfo *found = NULL, hints = { .ai_socktype = SOCK_STREAM };

	if (word.n > 2 && word.p[0] == '[' && word.p[word.n - 1] == ']')
		word = str_sub(word, 1, word.n - 2);
	if (getaddrinfo(arena_z(r->life, word), NULL, &hints, &found) != 0)
		return; /* master complains, it has to listen there */
	for (const struct addrinfo *i = found; i != NULL; i = i->ai_next)
		add_sockaddr(list, i->ai_addr);
	freeaddrinfo(found);
}

static int open_own_addresses(struct routing *r, const struct conf *c, struct err *e)
{
	static const char *const names[] = { "inet_interfaces", "proxy_interfaces" };
	struct buf list = { 0 };

	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		struct str rest = str_z(conf_str(c, names[i])), word;

		while ((word = str_word(&rest, ", \t\r\n")).n > 0) {
			if (str_eqiz(word, "all"))
				add_interfaces(&list);
			else
				add_host(r, &list, str_eqiz(word, "loopback-only") ? STR("localhost") : word);
		}
	}
	r->own_addresses = matchlist_open(buf_z(&list), MATCH_ADDR, conf_dir(c), e);
	buf_done(&list);
	return r->own_addresses != NULL ? 0 : -1;
}

/* ---- settings ---- */

static void read_settings(struct routing *r, const struct conf *c)
{
	r->local_transport = conf_str(c, "local_transport");
	r->virtual_transport = conf_str(c, "virtual_transport");
	r->relay_transport = conf_str(c, "relay_transport");
	r->default_transport = conf_str(c, "default_transport");
	r->relayhost = conf_str(c, "relayhost");
	r->null_sender_relayhost_key = conf_str(c, "empty_address_relayhost_maps_lookup_key");
	r->null_sender_transport_key = conf_str(c, "empty_address_default_transport_maps_lookup_key");
	r->null_recipient = conf_str(c, "empty_address_recipient");
	r->myhostname = conf_str(c, "myhostname");
	r->mydomain = conf_str(c, "mydomain");
	r->myorigin = conf_str(c, "myorigin");
	r->remote_domain = conf_str(c, "remote_header_rewrite_domain");
	r->delimiters = conf_str(c, "recipient_delimiter");
	r->append_at_myorigin = conf_bool(c, "append_at_myorigin");
	r->append_dot_mydomain = conf_bool(c, "append_dot_mydomain");
	r->swap_bangpath = conf_bool(c, "swap_bangpath");
	r->percent_hack = conf_bool(c, "allow_percent_hack");
	r->allow_min_user = conf_bool(c, "allow_min_user");
	r->null_domain_local = conf_bool(c, "resolve_null_domain");
	r->dequoted = conf_bool(c, "resolve_dequoted_address");
	r->numeric_domains = conf_bool(c, "resolve_numeric_domain");
	r->propagate_canonical = conf_list_has(c, "propagate_unmatched_extensions", "canonical");
	r->propagate_virtual = conf_list_has(c, "propagate_unmatched_extensions", "virtual");
	r->transport_parents_plain = conf_list_has(c, "parent_domain_matches_subdomains", "transport_maps");
}

struct routing *routing_open(const struct conf *c, struct err *e)
{
	struct arena *life = arena_new("routing");
	struct routing *r = arena_alloc(life, sizeof *r);

	r->life = life;
	read_settings(r, c);
	if (open_lists(r, c, e) == 0 && open_own_addresses(r, c, e) == 0 &&
		open_tables(r, of_recipients, COUNT(of_recipients), c, e) == 0 && open_tables(r, of_routes, COUNT(of_routes), c, e) == 0)
		return r;
	routing_close(r);
	return NULL;
}

static bool same(const struct conf *a, const struct conf *b, const char *name)
{
	return strcmp(conf_str(a, name), conf_str(b, name)) == 0;
}

/* Tables of which the row says nothing are shared: they may be large. */
int routing_row(const struct routing *all, const struct conf *c, const struct conf *row, struct routing **out, struct err *e)
{
	struct routing *r = arena_alloc(all->life, sizeof *r);
	bool differs = !same(c, row, "recipient_delimiter");

	*r = *all;
	r->delimiters = conf_str(row, "recipient_delimiter");
	for (size_t i = 0; i < COUNT(of_recipients); i++) {
		if (same(c, row, of_recipients[i].name))
			continue;
		if (open_tables(r, &of_recipients[i], 1, row, e) < 0)
			return -1;
		differs = true;
	}
	*out = differs ? r : NULL;
	return 0;
}

void routing_close(struct routing *r)
{
	struct matchlist *const lists[] = { r->mydestination, r->own_addresses, r->virtual_alias_domains, r->virtual_mailbox_domains,
		r->relay_domains };

	for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
		matchlist_close(lists[i]);
	for (size_t i = 0; i < COUNT(of_recipients); i++)
		tables_close(table_at(r, &of_recipients[i]));
	for (size_t i = 0; i < COUNT(of_routes); i++)
		tables_close(table_at(r, &of_routes[i]));
	arena_free(r->life);
}
