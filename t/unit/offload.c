/* t/unit/offload.c - the thread pool: results come back to their fibers, the loop goes on meanwhile. */
#include <pthread.h>
#include <stdatomic.h>

#include "lib/net/fiber.h"
#include "lib/net/loop.h"
#include "t/unit/tap.h"

#define FIBERS 500
#define ROUNDS 20

static pthread_t loop_thread;
static size_t done, wrong;

struct work {
	int in, out;
	bool elsewhere;
};

static void square(void *arg)
{
	struct work *w = arg;

	w->out = w->in * w->in;
	w->elsewhere = !pthread_equal(pthread_self(), loop_thread);
}

static void many(void *arg)
{
	struct work w = { .in = (int)(size_t)arg };

	for (int i = 0; i < ROUNDS; i++) {
		w.out = -1;
		offload(square, &w);
		if (w.out != w.in * w.in || !w.elsewhere)
			wrong++;
		w.in++;
	}
	done++;
}

static void nap(void *arg)
{
	struct timespec t = { 0, 50 * 1000 * 1000 };

	(void)arg;
	nanosleep(&t, NULL);
}

/* Blocks, in its thread, until the counter has come to this, or much too long. */
struct meeting {
	atomic_size_t count;
	size_t enough;
	bool met;
};

static void wait_there(void *arg)
{
	struct meeting *m = arg;
	struct timespec moment = { 0, 1000 * 1000 };

	for (int i = 0; i < 10000 && atomic_load(&m->count) < m->enough; i++)
		nanosleep(&moment, NULL);
	m->met = atomic_load(&m->count) >= m->enough;
}

static void tick(void *arg)
{
	struct meeting *m = arg;

	while (!m->met) {
		fiber_sleep(1);
		atomic_fetch_add(&m->count, 1);
	}
	done++;
}

static void arrive(void *arg)
{
	struct meeting *m = arg;

	atomic_fetch_add(&m->count, 1);
	wait_there(m);
}

static void meet_outside(void *arg)
{
	offload(arrive, arg);
	done++;
}

static void wait_for(size_t count)
{
	while (done < count)
		fiber_sleep(1);
}

static void test_many(void)
{
	done = 0;
	for (size_t i = 0; i < FIBERS; i++)
		fiber_start("many", many, (void *)i);
	wait_for(FIBERS);
	is_int((long long)wrong, 0, "each fiber has its own result, from another thread");
}

static void test_meanwhile(void)
{
	struct meeting m = { .enough = 3 };

	done = 0;
	fiber_start("ticker", tick, &m);
	offload(wait_there, &m);
	ok(m.met, "other fibers run meanwhile");
	m.met = true;
	wait_for(1);
}

static void test_side_by_side(void)
{
	struct meeting m = { .enough = 2 };

	done = 0;
	for (int i = 0; i < 2; i++)
		fiber_start("guest", meet_outside, &m);
	wait_for(2);
	ok(m.met, "blocking calls run side by side");
}

static void test_stray_wake(void)
{
	struct work w = { .in = 3 };

	fiber_wake(fiber_self());
	offload(nap, NULL);
	offload(square, &w);
	is_int(w.out, 9, "a stray wake does not end it early");
}

static void test_cost(void)
{
	struct work w = { .in = 1 };
	struct timespec a, b;

	clock_gettime(CLOCK_MONOTONIC, &a);
	for (int i = 0; i < 2000; i++)
		offload(square, &w);
	clock_gettime(CLOCK_MONOTONIC, &b);
	diag("%.1f us for one call at a time", ((double)(b.tv_sec - a.tv_sec) * 1e9 + (double)(b.tv_nsec - a.tv_nsec)) / 2000 / 1000);
}

static void all(void *arg)
{
	(void)arg;
	test_many();
	test_meanwhile();
	test_side_by_side();
	test_stray_wake();
	test_cost();
	loop_stop();
}

int main(void)
{
	struct work w = { .in = 5 };

	loop_thread = pthread_self();
	offload_threads(8);
	offload(square, &w);
	ok(w.out == 25 && !w.elsewhere, "outside a fiber it runs at once");
	loop_init();
	fiber_start("test", all, NULL);
	loop_run();
	return done_testing();
}
