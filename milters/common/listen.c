/* milters/common/listen.c - "inet:host:port" becomes "inet:port@host". */
#include "milters/common/listen.h"

#define PORT_MAX 65535

static int inet_spec(struct str socket, struct str rest, struct buf *out, struct err *e)
{
	ptrdiff_t colon = str_rchr(rest, ':');
	struct str host = colon < 0 ? STR_NONE : str_sub(rest, 0, (size_t)colon);
	struct str port = colon < 0 ? rest : str_skip(rest, (size_t)colon + 1);
	bool v6 = host.n > 2 && host.p[0] == '[' && host.p[host.n - 1] == ']';
	uint64_t number;

	if (!str_to_u64(port, PORT_MAX, &number) || number == 0)
		return err_perm(e, "socket \"%.*s\": port \"%.*s\" is not a number from 1 to %d", STRF(socket), STRF(port), PORT_MAX);
	if (v6)
		host = str_sub(host, 1, host.n - 2);
	buf_addf(out, "%s:%u", v6 ? "inet6" : "inet", (unsigned)number);
	if (host.n > 0)
		buf_addf(out, "@%.*s", STRF(host));
	return 0;
}

int listen_spec(struct str socket, const char *base, struct buf *out, struct err *e)
{
	struct str rest = socket, type = str_cut(&rest, ':');

	if (rest.n > 0 && str_eqz(type, "inet"))
		return inet_spec(socket, rest, out, e);
	if (rest.n == 0 || !str_eqz(type, "unix"))
		return err_perm(e, "socket \"%.*s\": \"inet:host:port\" or \"unix:path\" expected", STRF(socket));
	buf_addf(out, "unix:%s%s%.*s", rest.p[0] == '/' ? "" : base, rest.p[0] == '/' ? "" : "/", STRF(rest));
	return 0;
}
