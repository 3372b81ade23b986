/* lib/net/loop.c - the process's one event loop: fibers while any is ready, then hooks, then sleep until libevent has something. */
#include "lib/net/loop.h"

#include <event2/event.h>

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/net/fiber.h"
#include "lib/net/run.h"

#define HOOKS_MAX 8
#define ROUNDS_MAX 8 /* of ready fibers, before the kernel is asked for news */
#define TRIM_SECONDS 2 /* a stack whose fiber waits longer gives its memory back */

struct hook {
	void (*fn)(void *);
	void *arg;
};

static struct {
	struct event_base *base;
	struct event *timer, *trim;
	int64_t timer_at; /* when the timer will fire; DEADLINE_NEVER: not armed */
	bool stop, trimming;
	struct hook idle[HOOKS_MAX];
	size_t idle_count;
} loop;

/* ---- timers ---- */

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	(void)fd; /* a timer has none */
	(void)what; /* always a timeout */
	(void)arg; /* there is one */
	loop.timer_at = DEADLINE_NEVER;
	fiber_expire(clock_mono_ms());
}

static void on_trim(evutil_socket_t fd, short what, void *arg)
{
	(void)fd; /* a timer has none */
	(void)what; /* always a timeout */
	(void)arg; /* there is one */
	loop.trimming = fiber_trim_stacks();
	if (loop.trimming)
		event_add(loop.trim, &(struct timeval){ .tv_sec = TRIM_SECONDS });
}

/* A timer that fires too early does no harm, so it is only ever moved forward. */
static void arm_timer(void)
{
	int64_t next = fiber_next_deadline(), ms;

	if (next >= loop.timer_at)
		return;
	ms = next - clock_mono_ms();
	if (ms < 0)
		ms = 0;
	loop.timer_at = next;
	event_add(loop.timer, &(struct timeval){ .tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000 });
}

static void arm_trim(void)
{
	if (loop.trimming)
		return;
	loop.trimming = true;
	event_add(loop.trim, &(struct timeval){ .tv_sec = TRIM_SECONDS });
}

/* ---- the loop ---- */

void loop_init(void)
{
	struct event_config *c = event_config_new();

	check(loop.base == NULL && c != NULL);
	event_config_set_flag(c, EVENT_BASE_FLAG_NOLOCK); /* threads never touch it */
	event_config_set_flag(c, EVENT_BASE_FLAG_IGNORE_ENV);
	loop.base = event_base_new_with_config(c);
	event_config_free(c);
	if (loop.base == NULL)
		log_fatal("cannot make an event loop");
	loop.timer = evtimer_new(loop.base, on_timer, NULL);
	loop.trim = evtimer_new(loop.base, on_trim, NULL);
	check(loop.timer != NULL && loop.trim != NULL);
	loop.timer_at = DEADLINE_NEVER;
}

struct event_base *loop_base(void)
{
	return loop.base;
}

static void run_fibers(void)
{
	for (int i = 0; i < ROUNDS_MAX && fiber_any_ready(); i++) {
		arm_trim();
		fiber_run_ready();
	}
}

static void run_idle_hooks(void)
{
	for (size_t i = 0; i < loop.idle_count; i++)
		loop.idle[i].fn(loop.idle[i].arg);
}

/* One turn with no fiber ready. False: nothing can ever happen again. */
static bool sleep_until_something(void)
{
	run_idle_hooks();
	if (fiber_any_ready())
		return true;
	arm_timer();
	if (!offload_may_sleep())
		return true;
	return event_base_loop(loop.base, EVLOOP_ONCE) == 0;
}

void loop_run(void)
{
	for (;;) {
		offload_collect();
		run_fibers();
		arm_timer();
		if (fiber_any_ready())
			event_base_loop(loop.base, EVLOOP_NONBLOCK);
		else if (loop.stop || !sleep_until_something())
			break;
	}
	loop.stop = false;
	run_idle_hooks();
}

void loop_stop(void)
{
	loop.stop = true;
}

struct call {
	void (*fn)(void *);
	void *arg;
};

static void run_call(void *arg)
{
	const struct call *c = arg;

	c->fn(c->arg);
	loop_stop();
}

void loop_call(const char *name, void (*fn)(void *), void *arg)
{
	struct call c = { fn, arg };

	if (fiber_self() != NULL) {
		fn(arg);
		return;
	}
	if (loop.base == NULL)
		loop_init();
	fiber_start(name, run_call, &c);
	loop_run();
}

/* ---- signals and hooks ---- */

static void on_signal(evutil_socket_t fd, short what, void *arg)
{
	const struct hook *h = arg;

	(void)fd; /* the signal's number */
	(void)what;
	h->fn(h->arg);
}

void loop_on_signal(int signum, void (*fn)(void *), void *arg)
{
	struct hook *h = mem_alloc(sizeof *h); /* for the life of the process, as is the event */
	struct event *ev;

	*h = (struct hook){ fn, arg };
	ev = evsignal_new(loop.base, signum, on_signal, h);
	check(ev != NULL && event_add(ev, NULL) == 0);
}

void loop_on_idle(void (*fn)(void *), void *arg)
{
	check(loop.idle_count < HOOKS_MAX);
	loop.idle[loop.idle_count++] = (struct hook){ fn, arg };
}
