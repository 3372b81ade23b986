/* mta/qmgr/sched.c - whose turn is it? The oldest message of a transport that has something ready goes first; a smaller one may overtake it
 * with the delivery slots that the older one has earned: one for every slot_cost batches of its own, some on loan, some at a discount. What
 * was borrowed is paid back before the next one overtakes. Within a message destinations take turns. A peer that finds its destination full
 * goes to the destination's waiting list and comes back when there is room, so no message is looked at in vain twice.
 */
#include "mta/qmgr/qmgr.h"

/* ---- jobs that have something ready, by age and by size ---- */

static bool older(const void *a, const void *b)
{
	return ((const struct job *)a)->rank < ((const struct job *)b)->rank;
}

static bool smaller(const void *a, const void *b)
{
	const struct job *x = a, *y = b;

	return x->left != y->left ? x->left < y->left : x->rank < y->rank;
}

static size_t *place_by_age(void *item)
{
	return &((struct job *)item)->by_age;
}

static size_t *place_by_size(void *item)
{
	return &((struct job *)item)->by_size;
}

void sched_init(struct transport *t)
{
	t->by_age = (struct heap){ .before = older, .place = place_by_age };
	t->by_size = (struct heap){ .before = smaller, .place = place_by_size };
}

static void enter(struct job *j)
{
	heap_put(&j->transport->by_age, j);
	heap_put(&j->transport->by_size, j);
}

static void leave(struct job *j)
{
	struct transport *t = j->transport;

	heap_del(&t->by_age, j);
	heap_del(&t->by_size, j);
	if (t->overtaker == j)
		t->overtaker = NULL;
}

static void make_ready(struct peer *p)
{
	struct job *j = p->job;

	list_del(&p->node);
	list_add_tail(&j->ready, &p->node);
	enter(j);
}

void sched_job(struct job *j, struct message *m, struct transport *t)
{
	static uint64_t last_rank;

	*j = (struct job){ .msg = m, .transport = t, .rank = ++last_rank };
	list_init(&j->ready);
}

void sched_ready(struct peer *p)
{
	list_add_tail(&p->dest->peers, &p->of_dest);
	list_add_tail(&p->job->msg->peers, &p->of_message);
	p->dest->pending++;
	make_ready(p);
}

void sched_add(struct peer *p, struct batch *b)
{
	b->peer = p;
	list_add_tail(&p->batches, &b->node);
	p->job->left++;
	heap_moved(&p->job->transport->by_size, p->job);
}

void sched_take(struct batch *b)
{
	struct job *j = b->peer->job;

	list_del(&b->node);
	j->left--;
	heap_moved(&j->transport->by_size, j);
}

/* Room may have come up. */
static void wake(struct dest *d)
{
	unsigned room = d->c.window > d->busy ? d->c.window - d->busy : 0;

	while (room-- > 0 && !list_empty(&d->waiting))
		make_ready(LIST_OWNER(d->waiting.next, struct peer, node));
}

void sched_forget(struct peer *p)
{
	if (!list_empty(&p->of_dest))
		p->dest->pending--;
	list_del(&p->node);
	list_del(&p->of_dest);
	list_del(&p->of_message);
	if (list_empty(&p->job->ready))
		leave(p->job);
}

/* ---- who is next? ---- */

/* Has the oldest job earned enough for small to overtake it? Accounts are kept in batches: slot_cost of them are one slot. */
static bool may_overtake(const struct transport *t, const struct job *oldest, const struct job *small)
{
	int64_t cost = t->slots.cost, needed = (int64_t)small->left * cost;

	if (oldest == small || oldest->earned < 0 || small->left >= oldest->left)
		return false;
	if ((oldest->taken + (int64_t)oldest->left) / cost < t->slots.minimum)
		return false; /* it will never earn much: let it pass */
	return needed * (100 - t->slots.discount) <= (oldest->earned + t->slots.loan * cost) * 100;
}

static struct job *choose(struct transport *t)
{
	struct job *oldest = heap_first(&t->by_age), *small = heap_first(&t->by_size);

	if (oldest == NULL || t->slots.cost < 2)
		return oldest;
	if (t->overtaker == NULL && may_overtake(t, oldest, small))
		t->overtaker = small;
	return t->overtaker != NULL ? t->overtaker : oldest;
}

static void pay(struct transport *t, struct job *j)
{
	struct job *oldest = heap_first(&t->by_age);

	j->taken++;
	if (j == oldest)
		j->earned++;
	else if (oldest != NULL)
		oldest->earned -= t->slots.cost;
}

/* Take p's first batch; p stays in turn behind the message's other destinations as long as it has more. */
static struct batch *take_batch(struct transport *t, struct peer *p)
{
	struct batch *b = LIST_OWNER(p->batches.next, struct batch, node);
	struct job *j = p->job;

	pay(t, j);
	sched_take(b);
	list_del(&p->node);
	if (list_empty(&p->batches))
		sched_forget(p);
	else
		list_add_tail(&j->ready, &p->node);
	return b;
}

static struct batch *next_batch(struct transport *t)
{
	struct job *j;

	while ((j = choose(t)) != NULL) {
		while (!list_empty(&j->ready)) {
			struct peer *p = LIST_OWNER(j->ready.next, struct peer, node);

			if (dest_room(p->dest))
				return take_batch(t, p);
			list_del(&p->node);
			list_add_tail(&p->dest->waiting, &p->node);
		}
		leave(j);
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
	wake(d);
	dest_free_if_idle(d);
	sched_run(t);
}
