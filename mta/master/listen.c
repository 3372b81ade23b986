/* mta/master/listen.c - listening sockets: which ones a row wants, opening and keeping them. */
#include "mta/master/master.h"

#include <errno.h>
#include <netdb.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/net/sock.h"

#define BACKLOG 4096    /* the kernel lowers it to its own limit */
#define PATIENCE_MS 200 /* between attempts at an address in use ... */
#define PATIENCE 15     /* ... so many times */

/* ---- addresses ---- */

struct addresses { /* a growing list in an arena */
	struct arena *a;
	struct str *items;
	size_t count, room;
};

static void add_address(struct addresses *l, struct str address)
{
	for (size_t i = 0; i < l->count; i++) {
		if (str_eq(l->items[i], address))
			return;
	}
	if (l->count == l->room) {
		struct str *items = arena_alloc(l->a, (l->room * 2 + 4) * sizeof *items);

		if (l->count > 0)
			memcpy(items, l->items, l->count * sizeof *items);
		l->items = items;
		l->room = l->room * 2 + 4;
	}
	l->items[l->count++] = address;
}

static bool has_protocol(const struct conf *c, const char *name)
{
	struct str rest = str_z(conf_str(c, "inet_protocols")), word;

	while ((word = str_word(&rest, ", \t\r\n")).n > 0) {
		if (str_eqiz(word, "all") || str_eqiz(word, name))
			return true;
	}
	return false;
}

static void add_numeric(struct addresses *l, const struct conf *c, const struct sockaddr *sa, socklen_t len)
{
	char host[NI_MAXHOST], port[NI_MAXSERV];
	bool v6 = sa->sa_family == AF_INET6;

	if (!has_protocol(c, v6 ? "ipv6" : "ipv4"))
		return;
	if (getnameinfo(sa, len, host, sizeof host, port, sizeof port, NI_NUMERICHOST | NI_NUMERICSERV) == 0)
		add_address(l, arena_printf(l->a, v6 ? "inet:[%s]:%s" : "inet:%s:%s", host, port));
}

/* One host, by name or number, and a port, likewise. */
static int add_host(struct addresses *l, const struct conf *c, const char *host, const char *port, struct err *e)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE }, *found = NULL;
	int r = getaddrinfo(host, port, &hints, &found);

	if (r != 0)
		return err_temp(e, "%s%s%s: %s", host != NULL ? host : "", host != NULL ? ":" : "port ", port, gai_strerror(r));
	for (const struct addrinfo *i = found; i != NULL; i = i->ai_next)
		add_numeric(l, c, i->ai_addr, i->ai_addrlen);
	freeaddrinfo(found);
	return 0;
}

/* A word of inet_interfaces with a port. */
static int add_interface(struct addresses *l, const struct conf *c, struct str word, const char *port, struct err *e)
{
	if (str_eqiz(word, "all"))
		return add_host(l, c, NULL, port, e);
	if (str_eqiz(word, "loopback-only"))
		return has_protocol(c, "ipv4") && add_host(l, c, "127.0.0.1", port, e) < 0 ? -1
			: has_protocol(c, "ipv6") ? add_host(l, c, "::1", port, e)
						  : 0;
	if (word.n > 2 && word.p[0] == '[' && word.p[word.n - 1] == ']')
		word = str_sub(word, 1, word.n - 2);
	return add_host(l, c, arena_z(l->a, word), port, e);
}

static int add_interfaces(struct addresses *l, const struct conf *c, const char *port, struct err *e)
{
	struct str rest = str_z(conf_str(c, "inet_interfaces")), word;

	while ((word = str_word(&rest, ", \t\r\n")).n > 0) {
		if (add_interface(l, c, word, port, e) < 0)
			return err_context(e, "inet_interfaces");
	}
	return 0;
}

/* "port", "host:port", "[v6]:port": the last colon counts. */
static int add_inet(struct addresses *l, const struct conf *c, const char *name, struct err *e)
{
	struct str text = str_z(name);
	ptrdiff_t colon = str_rchr(text, ':');

	if (colon <= 0)
		return add_interfaces(l, c, name + (colon == 0), e);
	return add_interface(l, c, str_sub(text, 0, (size_t)colon), name + colon + 1, e);
}

int listen_addresses(const struct conf *c, const struct service_row *row, struct arena *a, struct str **out, size_t *count, struct err *e)
{
	struct addresses l = { .a = a };

	if (row->type == SERVICE_UNIX)
		add_address(&l, arena_printf(a, "unix:%s/%s", row->is_private ? "private" : "public", row->name));
	else if (add_inet(&l, c, row->name, e) < 0)
		return err_context(e, "master.cf:%d: service %s", row->line, row->name);
	if (l.count == 0)
		return err_perm(e, "master.cf:%d: service %s: inet_interfaces and inet_protocols leave no address", row->line, row->name);
	if (row->type == SERVICE_UNIX && (strchr(row->name, '/') != NULL || row->name[0] == '.'))
		return err_perm(e, "master.cf:%d: service %s: not fit for a file name", row->line, row->name);
	*out = l.items;
	*count = l.count;
	return 0;
}

/* ---- sockets ---- */

static struct listener *find(const struct master *m, const char *address)
{
	for (struct list *i = m->listeners.next; i != &m->listeners; i = i->next) {
		struct listener *l = LIST_OWNER(i, struct listener, all);

		if (strcmp(l->address, address) == 0)
			return l;
	}
	return NULL;
}

static int parse(struct str address, struct sock_addr *out, struct err *e)
{
	ptrdiff_t colon;
	uint64_t port;

	if (str_starts(address, STR("unix:")))
		return sock_parse_unix(str_skip(address, 5), out, e);
	address = str_skip(address, 5);
	colon = str_rchr(address, ':');
	if (colon < 0 || !str_to_u64(str_skip(address, (size_t)colon + 1), 65535, &port))
		return err_perm(e, "not an address: %.*s", STRF(address));
	return sock_parse_ip(str_sub(address, 0, (size_t)colon), (uint16_t)port, out, e);
}

static int open_socket(struct str address, bool patient, struct err *e)
{
	struct sock_addr where;
	int fd;

	if (parse(address, &where, e) < 0)
		return -1;
	for (int attempt = 0;; attempt++) {
		fd = sock_listen(&where, BACKLOG, e);
		if (fd >= 0 || !patient || errno != EADDRINUSE || attempt >= PATIENCE)
			break;
		usleep(PATIENCE_MS * 1000);
	}
	if (fd < 0 && errno == EADDRINUSE)
		return err_perm(e, "cannot listen on %.*s: another program does (\"ss -ltnp\" names it)", STRF(address));
	return fd;
}

static struct listener *open_listener(struct master *m, const char *address, bool patient, struct err *e)
{
	struct listener *l;
	int fd = open_socket(str_z(address), patient, e);

	if (fd < 0)
		return NULL;
	l = mem_alloc(sizeof *l);
	l->address = mem_strdup(address);
	l->path = strncmp(address, "unix:", 5) == 0 ? mem_strdup(address + 5) : NULL;
	l->fd = fd;
	l->opened = true;
	list_add_tail(&m->listeners, &l->all);
	return l;
}

/* A unix socket whose service went away leaves no name behind. */
static void close_listener(struct listener *l, bool remove_path)
{
	if (l->path != NULL && remove_path)
		unlink(l->path);
	close(l->fd);
	list_del(&l->all);
	mem_free(l->address);
	mem_free(l->path);
	mem_free(l);
}

static void close_where(struct master *m, bool (*which)(const struct listener *))
{
	for (struct list *i = m->listeners.next, *next; i != &m->listeners; i = next) {
		struct listener *l = LIST_OWNER(i, struct listener, all);

		next = i->next;
		if (which(l))
			close_listener(l, true);
	}
}

static bool is_opened(const struct listener *l)
{
	return l->opened;
}

static bool is_unwanted(const struct listener *l)
{
	return !l->wanted;
}

void listen_close_unwanted(struct master *m)
{
	close_where(m, is_unwanted);
}

/* Replace the names in s by sockets; two services must not share one. */
static int open_service(struct master *m, struct service *s, bool patient, struct err *e)
{
	for (size_t i = 0; i < s->listener_count; i++) {
		const char *address = s->listeners[i]->address;
		struct listener *l = find(m, address);

		if (l != NULL && l->wanted)
			return err_perm(e, "master.cf:%d: service %s: %s is taken by another row", s->row->line, s->row->name, address);
		if (l == NULL)
			l = open_listener(m, address, patient, e);
		if (l == NULL)
			return err_context(e, "master.cf:%d: service %s", s->row->line, s->row->name);
		l->wanted = true;
		s->listeners[i] = l;
	}
	return 0;
}

int listen_open(struct master *m, struct generation *g, bool patient, struct err *e)
{
	for (struct list *i = m->listeners.next; i != &m->listeners; i = i->next) {
		struct listener *l = LIST_OWNER(i, struct listener, all);

		l->wanted = l->opened = false;
	}
	for (size_t i = 0; i < g->service_count; i++) {
		if (open_service(m, &g->services[i], patient, e) < 0) {
			close_where(m, is_opened);
			return -1;
		}
	}
	return 0;
}
