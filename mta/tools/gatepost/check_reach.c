/* mta/tools/gatepost/check_reach.c - check: milters and policy servers that do not answer. */
#include <netdb.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "mta/tools/gatepost/check.h"

#define ANSWER_TIMEOUT_S 2

/* ---- sockets ---- */

/* A connected socket that gives up soon; -1: nobody is there. */
static int connect_to(int family, const void *addr, socklen_t size)
{
	struct timeval limit = { .tv_sec = ANSWER_TIMEOUT_S };
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -1;
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
	if (connect(fd, addr, size) == 0)
		return fd;
	close(fd);
	return -1;
}

static int connect_unix(const struct checking *k, struct str path)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	struct buf full = { 0 };
	int fd = -1;

	if (path.n > 0 && path.p[0] != '/')
		buf_addf(&full, "%s/", conf_str(k->c, "queue_directory"));
	buf_add(&full, path);
	if (full.n < sizeof un.sun_path) {
		memcpy(un.sun_path, full.p, full.n);
		fd = connect_to(AF_UNIX, &un, sizeof un);
	}
	buf_done(&full);
	return fd;
}

static int connect_inet(const struct checking *k, struct str endpoint)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *all = NULL;
	ptrdiff_t colon = str_rchr(endpoint, ':');
	struct str host;
	int fd = -1;

	if (colon < 0)
		return -1;
	host = str_sub(endpoint, 0, (size_t)colon);
	if (host.n > 2 && host.p[0] == '[')
		host = str_sub(host, 1, host.n - 2);
	if (getaddrinfo(arena_z(k->a, host), arena_z(k->a, str_skip(endpoint, (size_t)colon + 1)), &hints, &all) != 0)
		return -1;
	for (const struct addrinfo *i = all; i != NULL && fd < 0; i = i->ai_next)
		fd = connect_to(i->ai_family, i->ai_addr, i->ai_addrlen);
	freeaddrinfo(all);
	return fd;
}

/* The endpoint in "{ endpoint, setting=value ... }", or the word itself. */
static struct str endpoint_of(struct str word)
{
	struct str inside;

	if (word.n <= 2 || word.p[0] != '{')
		return word;
	inside = str_sub(word, 1, word.n - 2);
	return str_word_braced(&inside);
}

/* A connection to "inet:host:port" or "unix:path"; what is wrong is told. -1: there is none. */
static int reach(struct checking *k, const char *name, struct str endpoint)
{
	struct str where = endpoint, kind = str_cut(&where, ':');
	int fd;

	if (str_eqz(kind, "inet") || str_eqz(kind, "inet6"))
		fd = connect_inet(k, where);
	else if (str_eqz(kind, "unix") || str_eqz(kind, "local"))
		fd = connect_unix(k, where);
	else {
		found(k, true, name, "\"%.*s\": inet:host:port or unix:path expected", STRF(endpoint));
		return -1;
	}
	if (fd < 0)
		found(k, false, name, "no answer from %.*s: is it running?", STRF(endpoint));
	return fd;
}

/* ---- milters ---- */

/* Option negotiation: version 6, every action, no protocol step left out. The filter answers with the same command, then with a QUIT. */
static void negotiate(struct checking *k, const char *name, struct str endpoint, int fd)
{
	static const char offer[] = { 0, 0, 0, 13, 'O', 0, 0, 0, 6, 0, 0, 1, (char)0xff, 0, 0x1f, (char)0xff, (char)0xff };
	static const char quit[] = { 0, 0, 0, 1, 'Q' };
	char answer[5];
	ssize_t n = 0;

	if (send(fd, offer, sizeof offer, MSG_NOSIGNAL) == (ssize_t)sizeof offer)
		n = recv(fd, answer, sizeof answer, MSG_WAITALL);
	if (n < (ssize_t)sizeof answer)
		found(k, false, name, "%.*s takes connections but does not answer: is it a milter?", STRF(endpoint));
	else if (answer[0] != 0 || answer[1] != 0 || answer[4] != 'O')
		found(k, false, name, "%.*s does not speak the milter protocol (it says \"%.*s\"): is the port right?", STRF(endpoint), (int)n,
			answer);
	(void)send(fd, quit, sizeof quit, MSG_NOSIGNAL);
}

void check_milters(struct checking *k)
{
	static const char *const names[] = { "smtpd_milters", "non_smtpd_milters" };

	if (str_starts(str_z(conf_str(k->c, "milter_default_action")), STR("reject")))
		found(k, false, "milter_default_action", "while a filter is away mail is refused for good: tempfail lets it come again");
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		struct str rest = str_z(conf_str(k->c, names[i])), word;

		while ((word = str_word_braced(&rest)).n > 0) {
			struct str endpoint = endpoint_of(word);
			int fd = str_eqz(word, "parallel") ? -1 : reach(k, names[i], endpoint); /* its members come next */

			if (fd < 0)
				continue;
			negotiate(k, names[i], endpoint, fd);
			close(fd);
		}
	}
}

/* ---- policy servers ---- */

static void check_policy_list(struct checking *k, const char *name)
{
	struct str rest = str_z(conf_str(k->c, name)), word;

	while ((word = str_word_braced(&rest)).n > 0) {
		int fd;

		if (!str_eqiz(word, "check_policy_service") || (word = str_word_braced(&rest)).n == 0)
			continue;
		fd = reach(k, name, endpoint_of(word));
		if (fd >= 0)
			close(fd);
	}
}

void check_policy_servers(struct checking *k)
{
	for (const char *const *name = check_restriction_lists; *name != NULL; name++)
		check_policy_list(k, *name);
}
