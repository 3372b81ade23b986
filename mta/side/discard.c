/* mta/side/discard.c - the agent that takes mail and throws it away; the next hop's text says why.
 * Security: takes requests from qmgr on a private socket, opens nothing, runs as mail_owner.
 */
#include "lib/mail/dsn.h"
#include "lib/proto/agent.h"
#include "lib/service/service.h"

static void deliver(struct arena *a, const struct deliver_request *r, struct deliver_answer *out)
{
	struct deliver_result res = { .status = DELIVER_SENT, .code = CODE(0, 2, 0, 0), .relay = STR("none") };

	(void)a; /* the text is the request's */
	res.text = str_trim(str_skip(r->nexthop, dsn_parse(r->nexthop, &res.code)));
	res.code.c = 2;
	agent_same_result(r, &res, out);
}

static void serve(struct stream *s, const struct sock_addr *peer, unsigned listener)
{
	(void)peer; /* qmgr */
	(void)listener; /* there is one */
	agent_serve(s, "discard request", deliver);
}

static const char *const directories[] = { "active", NULL };
static const struct service discard_service = { .command = "discard", .serve = serve, .drain = agent_drain, .queue_dirs = directories };

int main(int argc, char **argv)
{
	return service_main(argc, argv, &discard_service);
}
