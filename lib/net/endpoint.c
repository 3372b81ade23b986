/* lib/net/endpoint.c - connecting to what configuration calls "inet:host:port" or "unix:path". */
#include <errno.h>

#include "lib/base/arena.h"
#include "lib/base/clock.h"
#include "lib/net/dns.h"
#include "lib/net/fiber.h"
#include "lib/net/sock.h"

#define BOTH_FAMILIES 3

struct service_question {
	const char *name;
	int port; /* 0: unknown */
};

static void ask_service(void *arg)
{
	struct service_question *q = arg;
	struct servent found, *result = NULL;
	char room[1024];

	if (getservbyname_r(q->name, "tcp", &found, room, sizeof room, &result) == 0 && result != NULL)
		q->port = ntohs((uint16_t)result->s_port);
}

static int parse_port(struct arena *a, struct str text, uint16_t *port, struct err *e)
{
	struct service_question q = { 0 };
	uint64_t n;

	if (str_to_u64(text, UINT16_MAX, &n) && n > 0) {
		*port = (uint16_t)n;
		return 0;
	}
	q.name = arena_z(a, text);
	offload(ask_service, &q);
	if (q.port == 0)
		return err_perm(e, "no such port: \"%s\"", q.name);
	*port = (uint16_t)q.port;
	return 0;
}

/* "host:port" or "[host]:port". */
static int split(struct arena *a, struct str text, struct str *host, uint16_t *port, struct err *e)
{
	ptrdiff_t colon = str_rchr(text, ':');

	if (colon <= 0)
		return err_perm(e, "no port in \"%.*s\"", STRF(str_sub(text, 0, 200)));
	*host = str_sub(text, 0, (size_t)colon);
	if (host->n > 2 && host->p[0] == '[' && host->p[host->n - 1] == ']')
		*host = str_sub(*host, 1, host->n - 2);
	return parse_port(a, str_skip(text, (size_t)colon + 1), port, e);
}

/* A mail host must reach its own services without any name server. */
static bool is_local_name(struct arena *a, struct str host, struct sock_addr **addrs, size_t *count)
{
	static const char *const local[] = { "127.0.0.1", "::1" };
	struct err e;

	if (!str_eqiz(host, "localhost"))
		return false;
	*addrs = arena_alloc(a, 2 * sizeof **addrs);
	for (*count = 0; *count < 2; ++*count)
		(void)sock_parse_ip(str_z(local[*count]), 0, &(*addrs)[*count], &e); /* literals */
	return true;
}

static int find_addresses(struct arena *a, struct str host, int64_t deadline, struct sock_addr **addrs, size_t *count, struct err *e)
{
	struct err not_ip;

	*addrs = arena_alloc(a, sizeof **addrs);
	*count = 1;
	if (sock_parse_ip(host, 0, *addrs, &not_ip) == 0 || is_local_name(a, host, addrs, count))
		return 0;
	switch (dns_addresses(a, host, BOTH_FAMILIES | DNS_HOSTS_FILE, deadline, addrs, count)) {
	case DNS_OK:
		return 0;
	case DNS_TEMPFAIL:
		return err_temp(e, "host %.*s: name server failure", STRF(host));
	default:
		return err_perm(e, "host %.*s not found", STRF(host));
	}
}

static void set_port(struct sock_addr *a, uint16_t port)
{
	if (a->u.sa.sa_family == AF_INET)
		a->u.in.sin_port = htons(port);
	else
		a->u.in6.sin6_port = htons(port);
}

static struct stream *connect_inet(struct arena *a, struct str text, int64_t deadline, struct err *e)
{
	struct stream *s = NULL;
	struct sock_addr *addrs;
	struct str host;
	size_t count;
	uint16_t port = 0;

	if (split(a, text, &host, &port, e) < 0 || find_addresses(a, host, deadline, &addrs, &count, e) < 0)
		return NULL;
	for (size_t i = 0; i < count && s == NULL; i++) {
		if (i > 0 && clock_mono_ms() >= deadline)
			break;
		set_port(&addrs[i], port);
		s = sock_connect(&addrs[i], NULL, deadline, e);
	}
	return s;
}

static struct stream *connect_unix(struct str path, int64_t deadline, struct err *e)
{
	struct sock_addr addr;

	return sock_parse_unix(path, &addr, e) == 0 ? sock_connect(&addr, NULL, deadline, e) : NULL;
}

struct stream *sock_connect_endpoint(struct str endpoint, int64_t deadline, struct err *e)
{
	struct str rest = endpoint, kind = str_cut(&rest, ':');
	struct arena *a;
	struct stream *s;

	if (str_eqz(kind, "unix") || str_eqz(kind, "local"))
		return connect_unix(rest, deadline, e);
	a = arena_new("connect");
	s = connect_inet(a, str_eqz(kind, "inet") && str_chr(rest, ':') >= 0 ? rest : endpoint, deadline, e);
	arena_free(a);
	return s;
}
