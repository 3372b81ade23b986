/* lib/net/offload.c - the thread pool for what blocks.
 * Threads are started when work finds none idle, up to the limit, and stay. Results are collected by the loop once a turn; only when
 * the loop sleeps, or is about to, does a thread have to wake it through an eventfd.
 */
#include "lib/net/fiber.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/eventfd.h>

#include <event2/event.h>

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/net/loop.h"
#include "lib/net/run.h"

#define THREADS_DEFAULT 16

/* Lives on the stack of the fiber that waits for it. */
struct job {
	struct job *next;
	void (*fn)(void *);
	void *arg;
	struct fiber *fiber;
	bool done; /* seen by the loop's thread only */
};

static struct {
	pthread_mutex_t lock; /* for all up to results */
	pthread_cond_t work;
	struct job *first, **last;
	unsigned idle, count;
	struct job *results;
	atomic_bool have_results, asleep; /* set one, then look at the other: no result is overlooked by both sides */
	unsigned limit;
	int wake_fd;
} pool = {
	.lock = PTHREAD_MUTEX_INITIALIZER,
	.work = PTHREAD_COND_INITIALIZER,
	.last = &pool.first,
	.limit = THREADS_DEFAULT,
	.wake_fd = -1,
};

void offload_threads(unsigned count)
{
	check(count > 0 && pool.count == 0);
	pool.limit = count;
}

/* ---- in the threads ---- */

static void wake_loop(void)
{
	uint64_t one = 1;

	if (atomic_exchange(&pool.asleep, false) && write(pool.wake_fd, &one, sizeof one) < 0)
		check(errno == EAGAIN); /* the counter is full: it will wake up all right */
}

static struct job *next_job(void)
{
	struct job *j;

	pool.idle++;
	while (pool.first == NULL)
		pthread_cond_wait(&pool.work, &pool.lock);
	pool.idle--;
	j = pool.first;
	pool.first = j->next;
	if (pool.first == NULL)
		pool.last = &pool.first;
	return j;
}

static void *work(void *arg)
{
	(void)arg; /* all threads are the same */
	pthread_mutex_lock(&pool.lock);
	for (;;) {
		struct job *j = next_job();

		pthread_mutex_unlock(&pool.lock);
		j->fn(j->arg);
		pthread_mutex_lock(&pool.lock);
		j->next = pool.results;
		pool.results = j;
		atomic_store(&pool.have_results, true);
		pthread_mutex_unlock(&pool.lock);
		wake_loop();
		pthread_mutex_lock(&pool.lock);
	}
	return NULL;
}

/* ---- in the loop ---- */

static void drain_eventfd(evutil_socket_t fd, short what, void *arg)
{
	uint64_t count;

	(void)what; /* always readable */
	(void)arg; /* there is one pool; the loop collects */
	if (read(fd, &count, sizeof count) < 0)
		check(errno == EAGAIN);
}

bool offload_may_sleep(void)
{
	if (pool.wake_fd < 0)
		return true;
	atomic_store(&pool.asleep, true);
	if (!atomic_load(&pool.have_results))
		return true;
	atomic_store(&pool.asleep, false);
	return false;
}

void offload_collect(void)
{
	struct job *j;

	if (pool.wake_fd < 0)
		return;
	atomic_store_explicit(&pool.asleep, false, memory_order_relaxed);
	if (!atomic_load(&pool.have_results))
		return;
	pthread_mutex_lock(&pool.lock);
	j = pool.results;
	pool.results = NULL;
	atomic_store(&pool.have_results, false);
	pthread_mutex_unlock(&pool.lock);
	while (j != NULL) {
		struct job *next = j->next; /* j is gone once its fiber runs */

		j->done = true;
		fiber_wake(j->fiber);
		j = next;
	}
}

static void open_wake_fd(void)
{
	struct event *ev;

	pool.wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (pool.wake_fd < 0)
		log_fatal("cannot make an eventfd: %s", strerror(errno));
	ev = event_new(loop_base(), pool.wake_fd, EV_READ | EV_PERSIST, drain_eventfd, NULL);
	check(ev != NULL && event_add(ev, NULL) == 0); /* for the life of the process */
}

/* Signals are the loop's. False: the system has no more threads; those that exist must do. */
static bool add_thread(void)
{
	sigset_t all, was;
	pthread_t thread;
	int r;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &was);
	r = pthread_create(&thread, NULL, work, NULL);
	pthread_sigmask(SIG_SETMASK, &was, NULL);
	if (r != 0)
		return false;
	pthread_detach(thread);
	return true;
}

static void submit(struct job *j)
{
	pthread_mutex_lock(&pool.lock);
	if (pool.idle == 0 && pool.count < pool.limit && add_thread())
		pool.count++;
	check(pool.count > 0);
	*pool.last = j;
	pool.last = &j->next;
	pthread_mutex_unlock(&pool.lock);
	pthread_cond_signal(&pool.work);
}

void offload(void (*fn)(void *), void *arg)
{
	struct job j = { .fn = fn, .arg = arg, .fiber = fiber_self() };
	bool woken = false;

	if (j.fiber == NULL) {
		fn(arg);
		return;
	}
	if (pool.wake_fd < 0)
		open_wake_fd();
	submit(&j);
	while (!j.done)
		woken |= fiber_wait(DEADLINE_NEVER) && !j.done;
	if (woken)
		fiber_wake(fiber_self()); /* it was meant for what the fiber does next */
}
