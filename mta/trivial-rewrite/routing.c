/* mta/trivial-rewrite/routing.c - open the tables and lists that say where mail goes. */
#include "mta/trivial-rewrite/routing.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <netdb.h>
#include <netinet/in.h>

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

static int open_tables(struct routing *r, const struct conf *c, struct err *e)
{
	const struct {
		const char *name;
		struct tables *out;
	} rows[] = {
		{ "local_recipient_maps", &r->local_recipients },
		{ "virtual_alias_maps", &r->virtual_aliases },
		{ "virtual_mailbox_maps", &r->virtual_mailboxes },
		{ "relay_recipient_maps", &r->relay_recipients },
		{ "canonical_maps", &r->canonical },
		{ "recipient_canonical_maps", &r->recipient_canonical },
		{ "transport_maps", &r->transport },
		{ "relocated_maps", &r->relocated },
		{ "sender_dependent_relayhost_maps", &r->sender_relayhost },
		{ "sender_dependent_default_transport_maps", &r->sender_transport },
	};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		if (tables_open(r->life, conf_str(c, rows[i].name), conf_dir(c), rows[i].out, e) < 0)
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
	if (open_lists(r, c, e) == 0 && open_own_addresses(r, c, e) == 0 && open_tables(r, c, e) == 0)
		return r;
	routing_close(r);
	return NULL;
}

void routing_close(struct routing *r)
{
	struct matchlist *const lists[] = { r->mydestination, r->own_addresses, r->virtual_alias_domains, r->virtual_mailbox_domains,
		r->relay_domains };
	struct tables *const tables[] = { &r->local_recipients, &r->virtual_aliases, &r->virtual_mailboxes, &r->relay_recipients,
		&r->canonical, &r->recipient_canonical, &r->transport, &r->relocated, &r->sender_relayhost, &r->sender_transport };

	for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
		matchlist_close(lists[i]);
	for (size_t i = 0; i < sizeof tables / sizeof *tables; i++)
		tables_close(tables[i]);
	arena_free(r->life);
}
