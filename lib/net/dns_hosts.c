/* lib/net/dns_hosts.c - hosts(5): addresses and names the administrator wrote down, read once. A reload is a new process. */
#include "lib/net/dns_hosts.h"

#include <string.h>

#include "lib/base/arena.h"
#include "lib/base/fs.h"
#include "lib/base/log.h"
#include "lib/net/dns.h"

#define FILE_MAX ((size_t)1 << 20) /* octets */
#define LINES_MAX 20000

struct line {
	struct sock_addr address;
	struct str names; /* blank separated */
};

/* The process's hosts file. */
static struct {
	struct arena *life;
	struct str path;
	struct line *lines;
	size_t count;
	bool read;
} hosts;

void dns_hosts(const char *hosts_file)
{
	dns_hosts_forget();
	hosts.life = arena_new("hosts file");
	hosts.path = arena_dup(hosts.life, str_z(hosts_file));
}

void dns_hosts_forget(void)
{
	arena_free(hosts.life);
	memset(&hosts, 0, sizeof hosts);
}

static void parse(struct str text)
{
	hosts.lines = arena_alloc(hosts.life, LINES_MAX * sizeof *hosts.lines);
	while (text.n > 0 && hosts.count < LINES_MAX) {
		struct str line = str_cut(&text, '\n'), names = str_cut(&line, '#'), address = str_word(&names, " \t\r");
		struct err e = ERR_INIT;

		if (address.n == 0 || sock_parse_ip(address, 0, &hosts.lines[hosts.count].address, &e) < 0)
			continue;
		hosts.lines[hosts.count++].names = arena_dup(hosts.life, str_trim(names));
	}
}

static void read_once(void)
{
	struct buf text = { 0 };
	struct err e = ERR_INIT;

	if (hosts.read || hosts.path.n == 0)
		return;
	hosts.read = true;
	if (fs_exists(arena_z(hosts.life, hosts.path)) && fs_read_file(arena_z(hosts.life, hosts.path), FILE_MAX, &text, &e) < 0)
		log_warn("%s", e.text);
	parse(buf_str(&text));
	buf_done(&text);
}

static bool has_name(struct str names, struct str name)
{
	struct str word;

	while ((word = str_word(&names, " \t\r")).n > 0)
		if (str_eqi(word, name))
			return true;
	return false;
}

size_t dns_hosts_addresses(struct str name, struct sock_addr *out, size_t max)
{
	size_t count = 0;

	read_once();
	for (size_t i = 0; i < hosts.count && count < max; i++)
		if (has_name(hosts.lines[i].names, name))
			out[count++] = hosts.lines[i].address;
	return count;
}

bool dns_same_address(const struct sock_addr *a, const struct sock_addr *b)
{
	if (a->u.sa.sa_family != b->u.sa.sa_family)
		return false;
	if (a->u.sa.sa_family == AF_INET)
		return memcmp(&a->u.in.sin_addr, &b->u.in.sin_addr, sizeof a->u.in.sin_addr) == 0;
	return memcmp(&a->u.in6.sin6_addr, &b->u.in6.sin6_addr, sizeof a->u.in6.sin6_addr) == 0;
}

struct str dns_hosts_name(const struct sock_addr *a)
{
	read_once();
	for (size_t i = 0; i < hosts.count; i++) {
		struct str names = hosts.lines[i].names;

		if (dns_same_address(&hosts.lines[i].address, a))
			return str_word(&names, " \t\r");
	}
	return STR_NONE;
}
