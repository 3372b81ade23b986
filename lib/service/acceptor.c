/* lib/service/acceptor.c - connections from the listening sockets to fibers.
 * Each listener is an event of the loop and takes one connection a turn, so that worker processes that share it share the work, and
 * running sessions are not starved by new ones. At the limit, or out of descriptors, listeners rest: the kernel queues, or another
 * worker takes the connection. A role with SERVICE_CROWD gets some more than the limit, to say no by itself.
 */
#include "lib/service/parts.h"

#include <errno.h>
#include <netinet/tcp.h>

#include <event2/event.h>

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/net/fiber.h"
#include "lib/net/loop.h"

#define REST_MS 200 /* before accepting again when descriptors or memory ran out */
#define WARN_MS 60000 /* between warnings of a kind */
#define CROWD_MIN 64   /* connections beyond the limit that are accepted to be turned away or to wait, at least */

static struct {
	struct acceptor_settings set;
	struct event *listener[SERVICE_LISTENERS_MAX];
	struct event *rest; /* timer while resources are short */
	unsigned sessions;
	int64_t taken;
	bool listening, resting, stopped;
} acc;

struct session {
	struct stream *io;
	struct sock_addr peer;
	unsigned listener;
};

/* Connections to have open at once; 0: any number. */
static unsigned room(void)
{
	unsigned n = acc.set.max_clients;

	if (n == 0 || !(acc.set.service->flags & SERVICE_CROWD))
		return n;
	return n + (n / 4 > CROWD_MIN ? n / 4 : CROWD_MIN);
}

static bool full(void)
{
	return room() > 0 && acc.sessions >= room();
}

/* Listen or not, as it should be now. */
static void adjust(void)
{
	bool listen = !acc.stopped && !acc.resting && !full();

	if (listen == acc.listening)
		return;
	acc.listening = listen;
	for (unsigned i = 0; i < acc.set.listener_count; i++) {
		if (listen)
			event_add(acc.listener[i], NULL);
		else
			event_del(acc.listener[i]);
	}
}

static void run_session(void *arg)
{
	struct session *s = arg;

	acc.set.service->serve(s->io, &s->peer, s->listener);
	stream_close(s->io);
	mem_free(s);
	acc.sessions--;
	adjust();
	if (acc.sessions == 0)
		acc.set.on_idle();
}

/* The limit is this worker's share, unless workers count together. */
void service_tell_full(void)
{
	static int64_t warn_at;

	if (clock_due(&warn_at, WARN_MS))
		log_warn("service \"%s\" has reached its process limit \"%u\": new clients may experience noticeable delays", service_name(),
			acc.set.max_clients);
}

static void start_session(int fd, const struct sock_addr *peer, unsigned listener)
{
	struct session *s = mem_alloc(sizeof *s);

	s->io = stream_new_socket(fd, peer->u.sa.sa_family);
	s->peer = *peer;
	s->listener = listener;
	acc.sessions++;
	acc.taken++;
	if (full() && !(acc.set.service->flags & SERVICE_CROWD))
		service_tell_full();
	fiber_start(acc.set.service->command, run_session, s);
}

/* Other sessions will end and give back what is missing. */
static void rest(const char *why)
{
	static int64_t warn_at;
	struct timeval pause = { 0, REST_MS * 1000 };

	if (clock_due(&warn_at, WARN_MS))
		log_warn("cannot accept connections for a moment: %s", why);
	acc.resting = true;
	event_add(acc.rest, &pause);
}

static void rest_over(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;   /* a timer has none */
	(void)what; /* always a timeout */
	(void)arg;  /* there is one acceptor */
	acc.resting = false;
	adjust();
}

static void accept_one(evutil_socket_t fd, short what, void *arg)
{
	struct sock_addr peer = { .len = sizeof peer.u };
	int got = accept4(fd, &peer.u.sa, &peer.len, SOCK_NONBLOCK | SOCK_CLOEXEC);

	(void)what; /* always readable */
	if (got >= 0)
		start_session(got, &peer, (unsigned)(uintptr_t)arg);
	else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
		rest(strerror(errno));
	adjust();
	if (acc.set.max_use > 0 && acc.taken >= acc.set.max_use)
		acc.set.on_used_up();
}

void acceptor_start(const struct acceptor_settings *set)
{
	int on = 1;

	acc.set = *set;
	acc.rest = evtimer_new(loop_base(), rest_over, NULL);
	check(acc.rest != NULL);
	for (unsigned i = 0; i < set->listener_count; i++) {
		int fd = service_listener(i);

		evutil_make_socket_nonblocking(fd);
		(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); /* its connections have it, too; a unix socket refuses */
		acc.listener[i] = event_new(loop_base(), fd, EV_READ | EV_PERSIST, accept_one, (void *)(uintptr_t)i);
		check(acc.listener[i] != NULL);
	}
	adjust();
}

void acceptor_stop(void)
{
	acc.stopped = true;
	adjust();
	for (unsigned i = 0; i < acc.set.listener_count; i++) {
		if (acc.listener[i] == NULL)
			continue;
		event_free(acc.listener[i]);
		acc.listener[i] = NULL;
		close(service_listener(i));
	}
	acc.set.listener_count = 0;
}

unsigned acceptor_sessions(void)
{
	return acc.sessions;
}
