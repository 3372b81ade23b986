/* mta/qmgr/dest.c - destinations of a transport: how many deliveries at once, and when it is no use to try. */
#include "mta/qmgr/qmgr.h"

#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"

#define SUSPENDED "delivery temporarily suspended: "

struct dest *dest_get(struct transport *t, struct str key)
{
	struct dest *d = map_get(t->dests, key);
	char *bytes;

	if (d != NULL)
		return d;
	d = mem_alloc(sizeof *d + key.n);
	bytes = (char *)(d + 1);
	memcpy(bytes, key.p, key.n);
	d->key = str_n(bytes, key.n);
	d->transport = t;
	list_init(&d->peers);
	list_init(&d->waiting);
	concurrency_start(&d->c, &t->rules);
	map_put(t->dests, d->key, d);
	return d;
}

void dest_free_if_idle(struct dest *d)
{
	if (d->busy > 0 || d->dead_until != 0 || !list_empty(&d->peers))
		return;
	map_del(d->transport->dests, d->key);
	mem_free(d->dead_text);
	mem_free(d);
}

/* A destination that was down long enough starts afresh. */
static void revive(struct dest *d)
{
	d->dead_until = 0;
	concurrency_start(&d->c, &d->transport->rules);
}

bool dest_usable(struct dest *d)
{
	if (d->dead_until != 0 && (qmgr.forget_dead || clock_mono_ms() >= d->dead_until))
		revive(d);
	return d->dead_until == 0;
}

bool dest_room(const struct dest *d)
{
	return d->busy < d->c.window;
}

static void tell_concurrency(const struct dest *d, const char *what)
{
	if (qmgr.set.feedback_debug)
		log_info("%s:%.*s: %s: concurrency %u, success %.2f, failure %.2f, failed cohorts %.2f, busy %u", d->transport->name,
			STRF(d->key), what, d->c.window, d->c.success, d->c.failure, d->c.cohorts, d->busy);
}

void dest_succeeded(struct dest *d)
{
	concurrency_success(&d->c, &d->transport->rules, d->busy);
	tell_concurrency(d, "success");
}

void dest_defer_all(struct dest *d, struct code code, const char *text, bool soon)
{
	while (!list_empty(&d->peers)) {
		struct peer *p = LIST_OWNER(d->peers.next, struct peer, of_dest);
		struct message *m = p->job->msg;

		while (!list_empty(&p->batches)) {
			struct batch *b = LIST_OWNER(p->batches.next, struct batch, node);

			sched_take(b);
			for (size_t i = 0; i < b->count; i++) {
				m->outcomes[b->rcpts[i]].soon = soon;
				recipient_defer(m, b->rcpts[i], code, arena_dup(m->life, str_z(text)));
			}
		}
		sched_forget(p);
		active_finish_later(m);
	}
}

void dest_failed(struct dest *d, struct code code, struct str text)
{
	struct buf b = { 0 };
	bool down = concurrency_failure(&d->c, &d->transport->rules);

	tell_concurrency(d, "failure");
	if (!down || d->dead_until != 0)
		return;
	buf_addf(&b, SUSPENDED "%.*s", STRF(text));
	mem_free(d->dead_text);
	d->dead_text = mem_strdup(buf_z(&b));
	buf_done(&b);
	d->dead_code = code;
	d->dead_until = clock_mono_ms() + qmgr.set.min_backoff_ms;
	dest_defer_all(d, d->dead_code, d->dead_text, false);
}
