/* mta/trivial-rewrite/trivial-rewrite.c - answers "what is this address, where does it go?" for the other daemons.
 * Security: reads questions from our own processes over a socket below private/, runs unprivileged, opens tables only. Addresses in
 * questions come from strangers; they are keys of lookups and parts of answers, never file names or formats.
 */
#include <sys/socket.h>

#include "lib/base/clock.h"
#include "lib/base/list.h"
#include "lib/base/log.h"
#include "lib/service/service.h"
#include "lib/service/smtpd_rows.h"
#include "mta/trivial-rewrite/routing.h"

struct asker { /* a connection */
	struct list all;
	struct stream *stream;
	bool waiting; /* for its next question */
};

static struct routing *routing; /* set before the first fiber, read-only afterwards */
static int64_t timeout_ms;
static struct list askers = { &askers, &askers };

static void *open_row(const struct conf *row)
{
	struct err e = ERR_INIT;
	struct routing *r = NULL;

	if (routing_row(routing, service_conf(), row, &r, &e) < 0)
		log_fatal("master.cf -o %s", e.text);
	return r;
}

static void open_routing(const struct conf *c)
{
	struct err e = ERR_INIT;

	routing = routing_open(c, &e);
	if (routing == NULL)
		log_fatal("%s", e.text);
	smtpd_rows_load(c, open_row);
	timeout_ms = conf_time_ms(c, "ipc_timeout");
}

/* One asker's connection: question, answer, question, answer ... */
static void serve(struct stream *s, const struct sock_addr *peer, unsigned listener)
{
	struct arena *a = arena_new("rewrite question");
	struct asker self = { .stream = s };

	(void)peer; /* our own processes */
	(void)listener;
	list_add_tail(&askers, &self.all);
	while (!service_draining()) {
		struct rewrite_question q;
		struct rewrite_answer answer;
		const struct routing *row;
		struct err e = ERR_INIT;
		int r;

		self.waiting = true;
		r = rewrite_receive(s, a, &q, deadline_in(timeout_ms), &e);
		self.waiting = false;
		if (r == 0) {
			row = smtpd_row(q.service);
			resolve_address(row != NULL ? row : routing, a, &q, &answer);
			if (answer.temp_fail)
				log_warn("%.*s", STRF(answer.why));
			r = rewrite_send_answer(s, &answer, deadline_in(timeout_ms), &e);
		}
		if (r < 0 && !service_draining())
			log_warn("%s", e.text);
		if (r != 0)
			break;
		arena_reset(a);
	}
	list_del(&self.all);
	arena_free(a);
}

/* Idle connections are kept by their askers: end them, so that this process can go. */
static void hang_up(void)
{
	for (struct list *i = askers.next; i != &askers; i = i->next) {
		struct asker *one = LIST_OWNER(i, struct asker, all);

		if (one->waiting)
			(void)shutdown(stream_fd(one->stream), SHUT_RDWR);
	}
}

int main(int argc, char **argv)
{
	static const struct service s = { .command = "trivial-rewrite", .init = open_routing, .serve = serve, .drain = hang_up, .flags = SERVICE_DNS };

	return service_main(argc, argv, &s);
}
