/* lib/net/pool.c - kept-alive connections to one endpoint: the last one put back is the first one taken, so that those which are not
 * needed grow old and go.
 */
#include "lib/net/pool.h"

#include <event2/event.h>

#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/net/loop.h"
#include "lib/net/sock.h"

struct idle {
	struct stream *s;
	int64_t until; /* then it has been idle, or has lived, too long */
};

struct pool {
	char *endpoint;
	unsigned max_idle;
	int64_t idle_ms, ttl_ms;
	struct idle *idle; /* in the order in which they were put back */
	unsigned count;
	struct event *timer; /* for those that nobody takes */
};

struct pool *pool_new(const char *endpoint, unsigned max_idle, int64_t idle_ms, int64_t ttl_ms)
{
	struct pool *p = mem_alloc(sizeof *p);

	p->endpoint = mem_strdup(endpoint);
	p->max_idle = max_idle;
	p->idle_ms = idle_ms;
	p->ttl_ms = ttl_ms;
	p->idle = mem_array(max_idle, sizeof *p->idle);
	return p;
}

void pool_free(struct pool *p)
{
	if (p == NULL)
		return;
	while (p->count > 0)
		stream_close(p->idle[--p->count].s);
	if (p->timer != NULL)
		event_free(p->timer);
	mem_free(p->idle);
	mem_free(p->endpoint);
	mem_free(p);
}

const char *pool_endpoint(const struct pool *p)
{
	return p->endpoint;
}

/* ---- growing old ---- */

static void remove_oldest(struct pool *p)
{
	stream_close(p->idle[0].s);
	p->count--;
	memmove(p->idle, p->idle + 1, p->count * sizeof *p->idle);
}

static void arm(struct pool *p)
{
	int64_t ms;

	if (p->count == 0 || evtimer_pending(p->timer, NULL))
		return;
	ms = p->idle[0].until - clock_mono_ms();
	if (ms < 0)
		ms = 0;
	event_add(p->timer, &(struct timeval){ .tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000 });
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct pool *p = arg;
	int64_t now = clock_mono_ms();

	(void)fd; /* a timer has none */
	(void)what; /* always a timeout */
	while (p->count > 0 && p->idle[0].until <= now)
		remove_oldest(p);
	arm(p);
}

/* ---- taking and putting back ---- */

struct stream *pool_get(struct pool *p, int64_t deadline, bool *reused, struct err *e)
{
	int64_t now = p->count > 0 ? clock_mono_ms() : 0;

	*reused = true;
	while (p->count > 0) {
		struct idle *last = &p->idle[--p->count];

		if (last->until > now && stream_idle_ok(last->s))
			return last->s;
		stream_close(last->s);
	}
	*reused = false;
	return sock_connect_endpoint(str_z(p->endpoint), deadline, e);
}

void pool_put(struct pool *p, struct stream *s)
{
	int64_t now = clock_mono_ms(), dies_at = p->ttl_ms < 0 ? DEADLINE_NEVER : stream_born_at(s) + p->ttl_ms;

	if (p->max_idle == 0 || dies_at <= now || stream_buffered(s) > 0 || stream_unsent(s) > 0) {
		stream_close(s);
		return;
	}
	if (p->count == p->max_idle)
		remove_oldest(p);
	p->idle[p->count++] = (struct idle){ s, deadline_min(now + p->idle_ms, dies_at) };
	if (p->timer == NULL)
		p->timer = evtimer_new(loop_base(), on_timer, p);
	check(p->timer != NULL);
	arm(p);
}

void pool_drop(struct pool *p, struct stream *s)
{
	(void)p; /* those in use are not counted */
	stream_close(s);
}
