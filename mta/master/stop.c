/* mta/master/stop.c - the end: services that bring work in go first, so that what they began can still be finished by the others. */
#include "mta/master/master.h"

#include "lib/base/clock.h"
#include "lib/base/log.h"

#define REST_MS 5000  /* for the others, which have nothing to do any more */
#define KILLED_MS 2000

/* Nobody will accept: clients had better try another server than wait. */
static void close_listeners(struct service *s)
{
	for (size_t i = 0; i < s->listener_count; i++) {
		if (s->listeners[i]->fd >= 0)
			close(s->listeners[i]->fd);
		s->listeners[i]->fd = -1;
	}
}

static void retire(struct master *m, bool front)
{
	for (struct list *i = m->generations.next; i != &m->generations; i = i->next) {
		struct generation *g = LIST_OWNER(i, struct generation, all);

		for (size_t k = 0; k < g->service_count; k++) {
			if (front && !g->services[k].front)
				continue;
			close_listeners(&g->services[k]);
			workers_retire(&g->services[k], false);
		}
	}
}

static void wait_for_them(struct master *m, bool front, int64_t ms)
{
	int64_t deadline = deadline_in(ms);

	while (workers_alive(m, front) > 0 && clock_mono_ms() < deadline && !m->kill_asked)
		loop_turn(m, deadline);
}

static void tell_of_leftover(void *ctx, struct worker *w)
{
	(void)ctx; /* nothing to carry */
	log_warn("process %s pid %ld did not leave in time", w->service->program, (long)w->pid);
}

void stop_all(struct master *m)
{
	m->stopping = true;
	retire(m, true);
	wait_for_them(m, true, conf_time_ms(m->current->conf, "shutdown_grace_time"));
	retire(m, false);
	wait_for_them(m, false, REST_MS);
	if (workers_alive(m, false) == 0)
		return;
	workers_visit(m, tell_of_leftover, NULL);
	workers_signal(m, SIGKILL);
	m->kill_asked = false; /* wait for those, too; they are as good as dead */
	wait_for_them(m, false, KILLED_MS);
}
