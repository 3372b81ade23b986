/* lib/net/fiber.c - fibers: their life, waiting and waking, deadlines.
 * The loop switches to a fiber, the fiber switches back to the loop when it waits; fibers never switch to each other. A fiber's record
 * lies at the top of its own stack.
 *
 * Deadlines are kept in a heap. Most waits end long before their deadline and the next has a later one, so an entry stays where it is
 * when its fiber is woken, and is put right when its time comes.
 */
#include "lib/net/fiber.h"

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/net/fiber_ctx.h"
#include "lib/net/run.h"
#include "lib/net/stack.h"

enum state { READY, RUNNING, WAITING, ENDED };

#define NOT_IN_HEAP SIZE_MAX

struct fiber {
	struct fiber_ctx ctx;
	struct list ready; /* in the queue of fibers to run */
	struct list queued; /* in the queue it waits in */
	struct list all;
	const char *name;
	void (*fn)(void *);
	void *arg;
	char *stack;
	int64_t deadline; /* of the present wait */
	int64_t heap_key; /* <= deadline while waiting */
	size_t heap_at;
	int64_t born_at;
	enum state state;
	unsigned waits_since; /* trim round in which it last ran */
	bool woken;
	bool called; /* by the queue it waits in */
	bool trimmed;
	char tag[FIBER_TAG_MAX];
};

static struct {
	struct fiber *self;
	struct fiber_ctx loop;
	struct list ready, all;
	size_t count;
	struct fiber **heap;
	size_t heap_count, heap_room;
	unsigned trim_round;
} fibers = {
	.ready = { &fibers.ready, &fibers.ready },
	.all = { &fibers.all, &fibers.all },
};

/* ---- heap of deadlines ---- */

static void heap_set(size_t at, struct fiber *f)
{
	fibers.heap[at] = f;
	f->heap_at = at;
}

static void heap_up(size_t at, struct fiber *f)
{
	for (; at > 0 && fibers.heap[(at - 1) / 2]->heap_key > f->heap_key; at = (at - 1) / 2)
		heap_set(at, fibers.heap[(at - 1) / 2]);
	heap_set(at, f);
}

static void heap_down(size_t at, struct fiber *f)
{
	for (size_t child; (child = 2 * at + 1) < fibers.heap_count; at = child) {
		if (child + 1 < fibers.heap_count && fibers.heap[child + 1]->heap_key < fibers.heap[child]->heap_key)
			child++;
		if (fibers.heap[child]->heap_key >= f->heap_key)
			break;
		heap_set(at, fibers.heap[child]);
	}
	heap_set(at, f);
}

static void heap_remove(struct fiber *f)
{
	size_t at = f->heap_at;
	struct fiber *last;

	if (at == NOT_IN_HEAP)
		return;
	f->heap_at = NOT_IN_HEAP;
	last = fibers.heap[--fibers.heap_count];
	if (last == f)
		return;
	if (at > 0 && fibers.heap[(at - 1) / 2]->heap_key > last->heap_key)
		heap_up(at, last);
	else
		heap_down(at, last);
}

/* The heap shall know of f's deadline: an entry that is due earlier is good enough. */
static void heap_note(struct fiber *f)
{
	if (f->deadline == DEADLINE_NEVER || (f->heap_at != NOT_IN_HEAP && f->heap_key <= f->deadline))
		return;
	f->heap_key = f->deadline;
	if (f->heap_at != NOT_IN_HEAP) {
		heap_up(f->heap_at, f);
		return;
	}
	if (fibers.heap_count == fibers.heap_room) {
		fibers.heap_room = fibers.heap_room > 0 ? 2 * fibers.heap_room : 64;
		fibers.heap = mem_grow(fibers.heap, fibers.heap_room, sizeof *fibers.heap);
	}
	heap_up(fibers.heap_count++, f);
}

int64_t fiber_next_deadline(void)
{
	return fibers.heap_count > 0 ? fibers.heap[0]->heap_key : DEADLINE_NEVER;
}

/* ---- running ---- */

static void make_ready(struct fiber *f)
{
	f->state = READY;
	list_add_tail(&fibers.ready, &f->ready);
}

void fiber_expire(int64_t now)
{
	while (fibers.heap_count > 0 && fibers.heap[0]->heap_key <= now) {
		struct fiber *f = fibers.heap[0];

		if (f->state == WAITING && f->deadline > now && f->deadline != DEADLINE_NEVER) {
			f->heap_key = f->deadline;
			heap_down(0, f);
			continue;
		}
		heap_remove(f);
		if (f->state == WAITING && f->deadline <= now)
			make_ready(f);
	}
}

static void suspend(struct fiber *f)
{
	fiber_ctx_switch(&f->ctx, &fibers.loop, false);
}

static void bury(struct fiber *f)
{
	heap_remove(f);
	list_del(&f->all);
	fibers.count--;
	stack_give(f->stack);
}

static void run(struct fiber *f)
{
	f->state = RUNNING;
	f->waits_since = fibers.trim_round;
	f->trimmed = false;
	fibers.self = f;
	fiber_ctx_switch(&fibers.loop, &f->ctx, false);
	fibers.self = NULL;
	if (f->state == ENDED)
		bury(f);
}

bool fiber_any_ready(void)
{
	return !list_empty(&fibers.ready);
}

void fiber_run_ready(void)
{
	struct list now;

	if (list_empty(&fibers.ready))
		return;
	/* Who becomes ready meanwhile has his turn after these. */
	list_add_head(&fibers.ready, &now);
	list_del(&fibers.ready);
	while (!list_empty(&now)) {
		struct fiber *f = LIST_OWNER(now.next, struct fiber, ready);

		list_del(&f->ready);
		run(f);
	}
}

static void entry(void)
{
	struct fiber *f = fibers.self;

	fiber_ctx_entered(&fibers.loop);
	f->fn(f->arg);
	f->state = ENDED;
	fiber_ctx_switch(&f->ctx, &fibers.loop, true);
	check(f->state != ENDED); /* nobody comes back here */
}

struct fiber *fiber_start(const char *name, void (*fn)(void *), void *arg)
{
	char *stack = stack_take();
	size_t room = (stack_size() - sizeof(struct fiber)) & ~(size_t)63; /* a cache line of its own */
	struct fiber *f = (struct fiber *)(void *)(stack + room);

	*f = (struct fiber){ .name = name, .fn = fn, .arg = arg, .stack = stack, .heap_at = NOT_IN_HEAP, .born_at = clock_mono_ms() };
	fiber_ctx_make(&f->ctx, stack, room, entry);
	list_add_tail(&fibers.all, &f->all);
	fibers.count++;
	make_ready(f);
	return f;
}

struct fiber *fiber_self(void)
{
	return fibers.self;
}

const char *fiber_name(const struct fiber *f)
{
	return f->name;
}

void fiber_set_tag(const char *tag)
{
	struct fiber *f = fiber_self();

	check(f != NULL);
	snprintf(f->tag, sizeof f->tag, "%s", tag);
}

const char *fiber_tag(void)
{
	struct fiber *f = fiber_self();

	return f == NULL ? "" : f->tag;
}

size_t fiber_count(void)
{
	return fibers.count;
}

/* ---- waiting ---- */

bool fiber_wait(int64_t deadline)
{
	struct fiber *f = fibers.self;
	bool woken;

	check(f != NULL);
	if (!f->woken) {
		f->deadline = deadline;
		heap_note(f);
		f->state = WAITING;
		suspend(f);
	}
	woken = f->woken;
	f->woken = false;
	return woken;
}

void fiber_wake(struct fiber *f)
{
	f->woken = true;
	if (f->state == WAITING)
		make_ready(f);
}

void fiber_yield(void)
{
	struct fiber *f = fibers.self;

	check(f != NULL);
	make_ready(f);
	suspend(f);
}

/* A wake that is meant for what the fiber does afterwards is still there then. */
void fiber_sleep(int64_t ms)
{
	int64_t until = deadline_in(ms);
	bool woken = false;

	do
		woken |= fiber_wait(until);
	while (clock_mono_ms() < until);
	fibers.self->woken = woken;
}

/* ---- housekeeping ---- */

bool fiber_trim_stacks(void)
{
	unsigned round = fibers.trim_round++;
	bool more = false;

	for (struct list *l = fibers.all.next; l != &fibers.all; l = l->next) {
		struct fiber *f = LIST_OWNER(l, struct fiber, all);

		if (f->trimmed || f->state != WAITING)
			continue;
		if (f->waits_since == round) {
			more = true;
			continue;
		}
		stack_trim(f->stack, fiber_ctx_low(&f->ctx));
		f->trimmed = true;
	}
	stack_trim_free();
	return more;
}

static void dump_one(const struct fiber *f, int64_t now)
{
	static const char *const words[] = { "ready", "running", "waiting", "ended" };
	double age = (double)(now - f->born_at) / 1000;

	if (f->state != WAITING)
		log_info("fiber %s: %s, age %.1fs", f->name, words[f->state], age);
	else if (f->deadline == DEADLINE_NEVER)
		log_info("fiber %s: waiting, age %.1fs, no deadline", f->name, age);
	else
		log_info("fiber %s: waiting, age %.1fs, deadline in %.1fs", f->name, age, (double)(f->deadline - now) / 1000);
}

void fiber_dump(void)
{
	int64_t now = clock_mono_ms();

	for (struct list *l = fibers.all.next; l != &fibers.all; l = l->next)
		dump_one(LIST_OWNER(l, struct fiber, all), now);
}

/* ---- queues of waiting fibers ---- */

void waitq_init(struct waitq *q)
{
	list_init(&q->waiters);
}

bool waitq_wait(struct waitq *q, int64_t deadline)
{
	struct fiber *f = fibers.self;

	check(f != NULL);
	f->called = false;
	list_add_tail(&q->waiters, &f->queued);
	while (!f->called && fiber_wait(deadline))
		continue; /* woken for another reason */
	list_del(&f->queued);
	return f->called;
}

void waitq_wake_one(struct waitq *q)
{
	struct fiber *f;

	if (list_empty(&q->waiters))
		return;
	f = LIST_OWNER(q->waiters.next, struct fiber, queued);
	list_del(&f->queued);
	f->called = true;
	fiber_wake(f);
}

void waitq_wake_all(struct waitq *q)
{
	while (!list_empty(&q->waiters))
		waitq_wake_one(q);
}
