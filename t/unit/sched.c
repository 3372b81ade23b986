/* t/unit/sched.c - whose turn it is: fairness between messages, windows of destinations, process limits. Deliveries are recorded, not made.
 */
#include "mta/qmgr/qmgr.h"

#include <string.h>

#include "t/unit/tap.h"

static struct batch *started[10000];
static size_t started_count;

/* In place of the one in deliver.c. */
void deliver_start(struct batch *b)
{
	if (started_count < sizeof started / sizeof *started)
		started[started_count++] = b;
}

static struct transport transport;

static void setup(unsigned window, unsigned processes)
{
	memset(&transport, 0, sizeof transport);
	transport.name = (char *)(uintptr_t) "smtp";
	transport.process_limit = processes;
	transport.rules = (struct feedback_rules){ { 1, FEEDBACK_FIXED }, { 1, FEEDBACK_FIXED }, window, window, 1 };
	transport.dests = map_new();
	transport.slots = (struct slots){ .cost = 5, .loan = 3, .discount = 50, .minimum = 3 };
	sched_init(&transport);
	started_count = 0;
}

struct test_message {
	struct message m;
	struct job job;
};

static void message_init(struct test_message *x, struct arena *a)
{
	memset(x, 0, sizeof *x);
	x->m.life = a;
	list_init(&x->m.peers);
	list_init(&x->m.node);
	sched_job(&x->job, &x->m, &transport);
}

/* count batches of x for the destination */
static void add(struct test_message *x, const char *dest, size_t count)
{
	struct peer *p = arena_alloc(x->m.life, sizeof *p);

	p->job = &x->job;
	p->dest = dest_get(&transport, str_z(dest));
	list_init(&p->node);
	list_init(&p->of_dest);
	list_init(&p->of_message);
	list_init(&p->batches);
	for (size_t i = 0; i < count; i++) {
		struct batch *b = arena_alloc(x->m.life, sizeof *b);

		sched_add(p, b);
	}
	sched_ready(p);
}

static void finish(struct batch *b)
{
	transport.busy--;
	sched_release(&transport, b->peer->dest);
}

static size_t count_of(const struct test_message *x, size_t from, size_t to)
{
	size_t n = 0;

	for (size_t i = from; i < to; i++)
		n += started[i]->peer->job == &x->job;
	return n;
}

/* Run everything that was started until nothing more starts; the highest number at once. */
static size_t run_dry(size_t from)
{
	size_t most = started_count - from, done = from;

	while (done < started_count) {
		finish(started[done++]);
		if (started_count - done > most)
			most = started_count - done;
	}
	return most;
}

static void test_small_behind_large(void)
{
	struct arena *a = arena_new("test");
	struct test_message large, small;

	setup(2, 100);
	message_init(&large, a);
	message_init(&small, a);
	add(&large, "a.test", 1000);
	sched_run(&transport);
	is_int((long long)started_count, 2, "the window lets two go");
	add(&small, "a.test", 1);
	sched_run(&transport);
	is_int((long long)started_count, 2, "no room for more");
	finish(started[0]);
	finish(started[1]);
	ok(count_of(&small, 2, started_count) == 1, "the small message waits for one batch of the large one at most");
	is_int((long long)run_dry(2), 2, "never more than two at once");
	is_int((long long)started_count, 1001, "everything was started");
	is_int((long long)map_count(transport.dests), 0, "idle destinations are forgotten");
	map_free(transport.dests, NULL);
	arena_free(a);
}

static void test_many_destinations(void)
{
	struct arena *a = arena_new("test");
	struct test_message large, small;
	char name[32];

	setup(5, 10);
	message_init(&large, a);
	message_init(&small, a);
	for (int i = 0; i < 2000; i++) {
		snprintf(name, sizeof name, "d%d.test", i);
		add(&large, name, 1);
	}
	sched_run(&transport);
	is_int((long long)started_count, 10, "ten processes");
	add(&small, "new.test", 1);
	finish(started[0]);
	finish(started[1]);
	is_int((long long)count_of(&small, 10, started_count), 1, "a new message is served among the first two slots");
	is_int((long long)run_dry(2), 10, "the process limit holds");
	is_int((long long)started_count, 2001, "everything was started");
	map_free(transport.dests, NULL);
	arena_free(a);
}

static void test_busy_does_not_block(void)
{
	struct arena *a = arena_new("test");
	struct test_message one, two;

	setup(1, 100);
	message_init(&one, a);
	message_init(&two, a);
	add(&one, "slow.test", 3);
	sched_run(&transport);
	add(&two, "slow.test", 1);
	add(&two, "fast.test", 1);
	sched_run(&transport);
	is_int((long long)started_count, 2, "a full destination blocks itself only");
	ok(str_eqz(started[1]->peer->dest->key, "fast.test"), "the other one is served");
	run_dry(0);
	is_int((long long)started_count, 5, "everything was started in the end");
	ok(heap_first(&transport.by_age) == NULL && heap_first(&transport.by_size) == NULL && transport.busy == 0, "nothing is left behind");
	map_free(transport.dests, NULL);
	arena_free(a);
}

static void test_growing_window(void)
{
	struct arena *a = arena_new("test");
	struct test_message x;
	struct dest *d;

	setup(1, 100);
	transport.rules.limit = 10;
	message_init(&x, a);
	add(&x, "a.test", 50);
	sched_run(&transport);
	d = started[0]->peer->dest;
	for (size_t i = 0; i < 3; i++) {
		dest_succeeded(d);
		finish(started[i]);
	}
	ok(d->busy > 1, "success opens the window, and it is used (%u)", d->busy);
	ok(run_dry(3) <= 10, "up to the limit");
	is_int((long long)started_count, 50, "everything was started");
	map_free(transport.dests, NULL);
	arena_free(a);
}

/* One process; a large message is at work, `smalls` small ones come. In what order do they start? 'L' and 's'. */
static void order(int64_t cost, int64_t loan, int64_t discount, int64_t minimum, size_t smalls, const char *want, const char *what)
{
	struct arena *a = arena_new("test");
	struct test_message large, small[8];
	struct buf got = { 0 };
	char name[32];

	setup(100, 1);
	transport.slots = (struct slots){ cost, loan, discount, minimum };
	message_init(&large, a);
	add(&large, "large.test", 40);
	sched_run(&transport);
	for (size_t i = 0; i < smalls; i++) {
		snprintf(name, sizeof name, "s%zu.test", i);
		message_init(&small[i], a);
		add(&small[i], name, 1);
	}
	run_dry(0);
	for (size_t i = 0; i < started_count && got.n < strlen(want); i++)
		buf_addc(&got, started[i]->peer->job == &large.job ? 'L' : 's');
	is_str(buf_str(&got), str_z(want), what);
	is_int((long long)started_count, 40 + (long long)smalls, "everything was started");
	map_free(transport.dests, NULL);
	buf_done(&got);
	arena_free(a);
}

static void test_slots(void)
{
	order(5, 3, 50, 3, 3, "LsLLLLsLLLLLs", "a small message overtakes at once, the next ones when five batches more are done");
	order(2, 0, 0, 3, 2, "LLsLLsLLLL", "a slot for every two batches, none on loan");
	order(5, 0, 0, 3, 1, "LLLLLsLL", "the whole price");
	order(5, 0, 50, 3, 1, "LLLsLLLL", "half of it on discount");
	order(0, 3, 50, 3, 1, "LLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLs", "no overtaking");
	order(5, 3, 50, 9, 1, "LLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLs", "not of a message that earns too little");
}

static void test_draining(void)
{
	struct arena *a = arena_new("test");
	struct test_message x;

	setup(1, 100);
	message_init(&x, a);
	add(&x, "a.test", 2);
	qmgr.draining = true;
	sched_run(&transport);
	is_int((long long)started_count, 0, "nothing starts while draining");
	qmgr.draining = false;
	sched_run(&transport);
	run_dry(0);
	is_int((long long)started_count, 2, "but after it");
	map_free(transport.dests, NULL);
	arena_free(a);
}

int main(void)
{
	test_small_behind_large();
	test_many_destinations();
	test_busy_does_not_block();
	test_growing_window();
	test_slots();
	test_draining();
	return done_testing();
}
