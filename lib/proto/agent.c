/* lib/proto/agent.c - the request loop of the delivery agents. */
#include "lib/proto/agent.h"

#include <sys/socket.h>

#include "lib/base/clock.h"
#include "lib/base/list.h"
#include "lib/base/log.h"
#include "lib/net/sock.h"

/* A connection of qmgr that waits for its next request. */
struct waiting {
	struct list link;
	struct stream *io;
};

static struct list waiting = { &waiting, &waiting };
static bool draining;

/* No more requests than those that were already sent; qmgr notices when it sends another one, and takes another worker. */
static void end_reading(const struct waiting *w)
{
	(void)shutdown(stream_fd(w->io), SHUT_RD);
}

/* 0: a request; 1: no more. */
static int next_request(struct waiting *w, struct arena *a, struct deliver_request *r)
{
	struct err e = ERR_INIT;
	int got;

	if (draining)
		end_reading(w);
	list_add_tail(&waiting, &w->link);
	got = deliver_receive_request(w->io, a, r, DEADLINE_NEVER, &e);
	list_del(&w->link);
	if (got < 0)
		log_warn("delivery request: %s", e.text);
	return got == 0 ? 0 : 1;
}

static int serve_one(struct stream *s, struct arena *a, const struct deliver_request *r, agent_deliver_fn *deliver)
{
	struct deliver_answer answer = { .count = r->m.rcpt_count };
	struct err e = ERR_INIT;
	int sent;

	answer.results = arena_alloc(a, r->m.rcpt_count * sizeof *answer.results);
	deliver(a, r, &answer);
	sent = deliver_conclude(s, r, &answer, DEADLINE_NEVER, &e);
	if (sent < 0)
		log_warn("%s: delivery answer: %s", r->m.id, e.text);
	close(r->fd);
	return sent;
}

void agent_serve(struct stream *s, const char *label, agent_deliver_fn *deliver)
{
	struct arena *a = arena_new(label);
	struct waiting w = { .io = s };
	struct deliver_request r;

	list_init(&w.link);
	while (next_request(&w, a, &r) == 0 && serve_one(s, a, &r, deliver) == 0)
		arena_reset(a);
	arena_free(a);
}

void agent_drain(void)
{
	draining = true;
	for (struct list *i = waiting.next; i != &waiting; i = i->next)
		end_reading(LIST_OWNER(i, struct waiting, link));
}

int agent_hand_over(
	struct arena *a, struct str transport, const struct deliver_request *r, int64_t deadline, struct deliver_answer *out, struct err *e)
{
	struct str endpoint = arena_printf(a, "unix:private/%.*s", STRF(transport));
	struct stream *s = sock_connect_endpoint(endpoint, deadline, e);
	int result;

	if (s == NULL)
		return -1;
	result = deliver_send_request(s, r, deadline, e);
	if (result == 0)
		result = deliver_receive_answer(s, a, out, deadline, e);
	if (result == 0 && out->count != r->m.rcpt_count)
		result = err_temp(e, "answer for %zu recipients instead of %zu", out->count, r->m.rcpt_count);
	stream_close(s);
	return result < 0 ? err_context(e, "transport %.*s", STRF(transport)) : 0;
}

void agent_same_result(const struct deliver_request *r, const struct deliver_result *res, struct deliver_answer *out)
{
	for (size_t i = 0; i < r->m.rcpt_count; i++) {
		out->results[i] = *res;
		deliver_log(r, i, res, 0, 0);
	}
}
