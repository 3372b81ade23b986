/* mta/side/error.c - the agents that deliver nothing: "error" bounces every recipient with the next hop's text, "retry" defers them.
 * Security: takes requests from qmgr on a private socket, opens nothing, runs as mail_owner.
 */
#include <string.h>

#include "lib/mail/dsn.h"
#include "lib/proto/agent.h"
#include "lib/service/service.h"

/* A code in the text holds, except that it cannot turn one service into the other. */
static void read_text(struct str nexthop, struct deliver_result *res)
{
	bool retry = strcmp(service_name(), "retry") == 0;

	res->status = retry ? DELIVER_DEFERRED : DELIVER_BOUNCED;
	res->code = retry ? CODE(0, 4, 0, 0) : CODE(0, 5, 0, 0);
	res->relay = STR("none");
	res->text = str_trim(str_skip(nexthop, dsn_parse(nexthop, &res->code)));
	if (res->text.n == 0)
		res->text = retry ? STR("delivery temporarily suspended") : STR("mail to this address is not accepted");
	res->code.c = retry ? 4 : 5;
}

static void deliver(struct arena *a, const struct deliver_request *r, struct deliver_answer *out)
{
	struct deliver_result res = { 0 };

	(void)a; /* the text is the request's */
	read_text(r->nexthop, &res);
	agent_same_result(r, &res, out);
}

static void serve(struct stream *s, const struct sock_addr *peer, unsigned listener)
{
	(void)peer; /* qmgr */
	(void)listener; /* there is one */
	agent_serve(s, "error request", deliver);
}

static const char *const directories[] = { "active", NULL };
static const struct service error_service = { .command = "error", .serve = serve, .drain = agent_drain, .queue_dirs = directories };

int main(int argc, char **argv)
{
	return service_main(argc, argv, &error_service);
}
