/* mta/qmgr/sched.c - whose turn is it? Every step is constant time: a peer that finds its destination full goes to the destination's
 * waiting list and comes back when there is room, so no job is looked at in vain twice.
 */
#include "mta/qmgr/qmgr.h"

static void make_ready(struct peer *p)
{
	struct job *j = p->job;

	list_del(&p->node);
	list_add_tail(&j->ready, &p->node);
	if (list_empty(&j->node))
		list_add_tail(&j->transport->jobs, &j->node);
}

void sched_ready(struct peer *p)
{
	list_add_tail(&p->dest->peers, &p->of_dest);
	list_add_tail(&p->job->msg->peers, &p->of_message);
	make_ready(p);
}

void sched_wake(struct dest *d)
{
	unsigned room = d->c.window > d->busy ? d->c.window - d->busy : 0;

	while (room-- > 0 && !list_empty(&d->waiting))
		make_ready(LIST_OWNER(d->waiting.next, struct peer, node));
}

void sched_forget(struct peer *p)
{
	list_del(&p->node);
	list_del(&p->of_dest);
	list_del(&p->of_message);
	if (list_empty(&p->job->ready))
		list_del(&p->job->node);
}

/* Take p's first batch; p stays in turn behind the others as long as it has more. */
static struct batch *take_batch(struct peer *p)
{
	struct batch *b = LIST_OWNER(p->batches.next, struct batch, node);
	struct job *j = p->job;

	list_del(&b->node);
	list_del(&p->node);
	if (list_empty(&p->batches))
		sched_forget(p);
	else
		list_add_tail(&j->ready, &p->node);
	list_del(&j->node);
	if (!list_empty(&j->ready))
		list_add_tail(&j->transport->jobs, &j->node);
	return b;
}

static struct batch *next_batch(struct transport *t)
{
	while (!list_empty(&t->jobs)) {
		struct job *j = LIST_OWNER(t->jobs.next, struct job, node);

		while (!list_empty(&j->ready)) {
			struct peer *p = LIST_OWNER(j->ready.next, struct peer, node);

			if (dest_room(p->dest))
				return take_batch(p);
			list_del(&p->node);
			list_add_tail(&p->dest->waiting, &p->node);
		}
		list_del(&j->node);
	}
	return NULL;
}

void sched_run(struct transport *t)
{
	struct batch *b;

	while (!qmgr.draining && (t->process_limit == 0 || t->busy < t->process_limit)) {
		b = next_batch(t);
		if (b == NULL)
			return;
		t->busy++;
		b->peer->dest->busy++;
		b->peer->job->msg->in_flight++;
		deliver_start(b);
	}
}

void sched_release(struct transport *t, struct dest *d)
{
	d->busy--;
	sched_wake(d);
	dest_free_if_idle(d);
	sched_run(t);
}
