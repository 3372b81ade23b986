/* milters/dmarc/policyd.c - asking policyd for the SPF verdict, over the policy delegation protocol: it has checked most senders already
 * and remembers, and its answer cannot be forged as a header field can.
 */
#include <errno.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "milters/dmarc/dmarc.h"

#define ANSWER_MAX 16384 /* octets */
#define MARGIN_MS 2000 /* policyd has timeouts of its own, of which its answer tells */

static int connect_to(struct mail *m, struct str server, struct err *e)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct str path = str_skip(server, strlen("unix:"));
	struct str full = path.p[0] == '/' ? path : arena_printf(m->life, "%s/%.*s", conf_str(m->set->conf, "queue_directory"), STRF(path));
	int64_t wait_ms = m->set->dns_timeout_ms + MARGIN_MS;
	struct timeval limit = { .tv_sec = wait_ms / 1000, .tv_usec = wait_ms % 1000 * 1000 };
	int fd;

	if (full.n >= sizeof address.sun_path)
		return err_temp(e, "policyd's socket: name is too long");
	memcpy(address.sun_path, full.p, full.n);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_errno(e, errno, "policyd");
	if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) == 0 &&
		setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit) == 0 &&
		connect(fd, (const struct sockaddr *)(const void *)&address, sizeof address) == 0)
		return fd;
	(void)err_errno(e, errno, "policyd at %s", address.sun_path);
	close(fd);
	return -1;
}

static void add(struct buf *request, const char *name, struct str value)
{
	buf_addf(request, "%s=", name);
	for (size_t i = 0; i < value.n; i++)
		buf_addc(request, value.p[i] == '\r' || value.p[i] == '\n' || value.p[i] == '\0' ? '?' : value.p[i]);
	buf_addc(request, '\n');
}

static void write_request(struct mail *m, struct buf *out)
{
	add(out, "request", STR("smtpd_access_policy"));
	add(out, "protocol_state", STR("MAIL"));
	add(out, "client_address", m->client);
	add(out, "helo_name", m->helo);
	add(out, "sender", m->sender);
	add(out, "restrictions", STR("check_spf"));
	buf_addc(out, '\n');
}

/* Up to the empty line. */
static int receive(int fd, struct buf *answer, struct err *e)
{
	while (str_find(buf_str(answer), STR("\n\n")) < 0) {
		ssize_t n;

		if (answer->n >= ANSWER_MAX)
			return err_temp(e, "policyd: answer is too long");
		n = recv(fd, buf_reserve(answer, 4096), 4096, 0);
		if (n <= 0)
			return n == 0 ? err_temp(e, "policyd: connection closed") : err_errno(e, errno, "policyd");
		answer->n += (size_t)n;
	}
	return 0;
}

/* "header=Received-SPF: pass (...)" among the lines. */
static struct str find_field(struct arena *a, struct str answer)
{
	static const struct str wanted = STR_INIT("header=Received-SPF:");

	while (answer.n > 0) {
		struct str line = str_cut(&answer, '\n');

		if (str_startsi(line, wanted))
			return arena_dup(a, str_trim(str_skip(line, wanted.n)));
	}
	return STR_NONE;
}

int policyd_ask_spf(struct mail *m, struct str server, struct str *value, struct err *e)
{
	struct buf request = { 0 }, answer = { 0 };
	int fd = connect_to(m, server, e), status = 0;

	if (fd < 0)
		return -1;
	write_request(m, &request);
	if (send(fd, request.p, request.n, MSG_NOSIGNAL) != (ssize_t)request.n)
		status = err_errno(e, errno, "policyd");
	if (status == 0)
		status = receive(fd, &answer, e);
	if (status == 0)
		*value = find_field(m->life, buf_str(&answer));
	close(fd);
	buf_done(&request);
	buf_done(&answer);
	return status;
}
