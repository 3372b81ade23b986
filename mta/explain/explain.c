/* mta/explain/explain.c - keeps the events that other processes tell (lib/net/story.h): in a ring of files, and in a Redis stream that a fleet
 * shares. Mail never waits for it.
 * Security: runs as mail_owner; takes lines from our own processes on a private socket and stores them as they are; whoever prints them
 * (gatepost explain) makes them safe.
 */
#include "mta/explain/explain.h"

#include <string.h>
#include <sys/socket.h>

#include "lib/base/clock.h"
#include "lib/base/list.h"
#include "lib/net/fiber.h"
#include "lib/service/service.h"

#define LINE_MAX_SIZE 65535 /* of one event */
#define LAST_MS 200 /* at the end: for what was sent already */

struct teller {
	struct list node;
	struct stream *io;
};

static struct list tellers = { &tellers, &tellers };

static void init(const struct conf *c)
{
	ring_init(c);
	share_init(c);
}

static void start(const struct conf *c)
{
	(void)c; /* init() has read it */
	ring_start();
	share_start();
}

/* Whole lines as they come. */
static void serve(struct stream *io, const struct sock_addr *peer, unsigned listener)
{
	struct teller t = { .io = io };
	struct str view;
	size_t have = 0;

	(void)peer;     /* our own processes */
	(void)listener; /* there is one */
	list_add_tail(&tellers, &t.node);
	while (stream_peek_more(io, have, &view, service_draining() ? deadline_in(LAST_MS) : DEADLINE_NEVER) == STREAM_OK) {
		ptrdiff_t end = str_rchr(view, '\n');

		have = end < 0 ? view.n : 0;
		if (have >= LINE_MAX_SIZE)
			break; /* not one of ours */
		if (end < 0)
			continue;
		ring_add(str_sub(view, 0, (size_t)end + 1));
		stream_consume(io, (size_t)end + 1);
	}
	list_del(&t.node);
}

/* Workers that leave at the same time have last words. */
static void drain(void)
{
	fiber_sleep(LAST_MS);
	for (struct list *i = tellers.next; i != &tellers; i = i->next)
		(void)shutdown(stream_fd(LIST_OWNER(i, struct teller, node)->io), SHUT_RD);
	ring_stop();
}

static const struct service explain_service = { .command = "explain", .init = init, .start = start, .serve = serve, .drain = drain };

int main(int argc, char **argv)
{
	return service_main(argc, argv, &explain_service);
}
