/* mta/smtp/smtp.c - the SMTP and LMTP delivery agent; the name it is started by decides which.
 * Security: takes requests and open message files from qmgr, talks to any host on the internet, runs as mail_owner. It never opens a queue
 * file by name, and what servers say goes nowhere unescaped.
 */
#include <string.h>
#include <sys/socket.h>

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/service/service.h"
#include "mta/smtp/smtp.h"

/* Connections of qmgr that wait for a request: told to end when the service drains. */
struct client {
	struct list link;
	struct stream *io;
};

static struct list waiting = { &waiting, &waiting };
static bool is_lmtp;

static void init(const struct conf *c)
{
	struct err e = ERR_INIT;

	own_load(c);
	if (settings_load(c, is_lmtp, &e) < 0)
		log_fatal("%s", e.text);
}

static void start(const struct conf *c)
{
	(void)c; /* was read before */
	cache_init();
}

/* 0: a request; 1: no more. */
static int next_request(struct client *client, struct arena *a, struct deliver_request *r)
{
	struct err e;
	int got;

	if (service_draining())
		return 1;
	list_add_tail(&waiting, &client->link);
	got = deliver_receive_request(client->io, a, r, DEADLINE_NEVER, &e);
	list_del(&client->link);
	if (got < 0)
		log_warn("delivery request: %s", e.text);
	return got == 0 ? 0 : 1;
}

static void serve(struct stream *s, const struct sock_addr *peer, unsigned listener)
{
	struct arena *a = arena_new("smtp request");
	struct client client = { .io = s };
	struct deliver_request r;

	(void)peer; /* qmgr */
	(void)listener; /* there is one */
	list_init(&client.link);
	while (next_request(&client, a, &r) == 0) {
		struct deliver_answer answer;
		struct err e;
		int sent;

		deliver_message(a, &r, &answer);
		sent = deliver_conclude(s, &r, &answer, DEADLINE_NEVER, &e);
		close(r.fd);
		if (sent < 0) {
			log_warn("%s: delivery answer: %s", r.m.id, e.text);
			break;
		}
		arena_reset(a);
	}
	arena_free(a);
}

/* Requests that were already sent are still served: only reading ends. */
static void drain(void)
{
	for (struct list *i = waiting.next; i != &waiting; i = i->next)
		shutdown(stream_fd(LIST_OWNER(i, struct client, link)->io), SHUT_RD);
	cache_close_all();
}

int main(int argc, char **argv)
{
	const char *slash = argc > 0 ? strrchr(argv[0], '/') : NULL, *name = slash != NULL ? slash + 1 : argc > 0 ? argv[0] : "smtp";
	struct service service = { .init = init, .start = start, .serve = serve, .drain = drain, .flags = SERVICE_DNS };

	is_lmtp = strcmp(name, "lmtp") == 0;
	service.command = is_lmtp ? "lmtp" : "smtp";
	return service_main(argc, argv, &service);
}
