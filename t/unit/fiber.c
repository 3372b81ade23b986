/* t/unit/fiber.c - fibers: thousands at once, deadlines, wakes, queues, guard pages, what an idle one costs. */
#include "lib/net/fiber.h"

#include <sys/resource.h>
#include <sys/wait.h>

#if HAVE_VALGRIND
#include <valgrind/valgrind.h>
#endif

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/net/loop.h"
#include "t/unit/tap.h"

/* Tools that watch memory have some of their own. */
#if defined(__SANITIZE_ADDRESS__)
#define MEMORY_IS_OURS false
#elif HAVE_VALGRIND
#define MEMORY_IS_OURS (!RUNNING_ON_VALGRIND)
#else
#define MEMORY_IS_OURS true
#endif

#define MANY 5000
#define SWITCHES 200000
#if FIBER_X86_64
#define IDLE_MAX 6144 /* octets an idle fiber may hold */
#else
#define IDLE_MAX 12288 /* swapcontext(3) saves much on the stack */
#endif

static size_t ended;
static char order[64];

static void note(char c)
{
	size_t n = strlen(order);

	if (n + 1 < sizeof order) {
		order[n] = c;
		order[n + 1] = '\0';
	}
}

static void forget(void)
{
	memset(order, 0, sizeof order);
	ended = 0;
}

/* Let everything else run dry. */
static void settle(void)
{
	while (fiber_count() > 1)
		fiber_sleep(1);
}

/* ---- order ---- */

static void letter(void *arg)
{
	note(*(char *)arg);
	fiber_yield();
	note(*(char *)arg);
}

static void test_order(void)
{
	char a = 'a', b = 'b';

	forget();
	fiber_start("a", letter, &a);
	fiber_start("b", letter, &b);
	is_str(str_z(order), str_z(""), "fiber_start does not run it");
	settle();
	is_str(str_z(order), str_z("abab"), "yield lets each ready fiber run once");
}

/* ---- wakes ---- */

static void wait_twice(void *arg)
{
	bool *woken = arg;

	woken[0] = fiber_wait(deadline_in(5000));
	woken[1] = fiber_wait(deadline_in(5));
	ended++;
}

static void test_wakes(void)
{
	bool woken[2] = { false, true };
	struct fiber *f;
	int64_t begin;

	forget();
	f = fiber_start("wake first", wait_twice, woken);
	fiber_wake(f);
	fiber_wake(f);
	begin = clock_mono_ms();
	settle();
	ok(woken[0], "a wake before the wait is remembered");
	ok(!woken[1], "once");
	ok(clock_mono_ms() - begin < 1000, "the first wait did not last");
	ok(clock_mono_ms() - begin >= 5, "the second did");
	woken[0] = false;
	f = fiber_start("wake later", wait_twice, woken);
	fiber_yield();
	ok(!woken[0], "it waits");
	fiber_wake(f);
	settle();
	ok(woken[0] && !woken[1] && ended == 2, "a wake during the wait");
	ok(!fiber_wait(clock_mono_ms() - 1), "a deadline in the past");
	fiber_wake(fiber_self());
	fiber_sleep(3);
	ok(fiber_wait(deadline_in(1000)), "a wake while sleeping is kept for afterwards");
}

/* ---- deadlines ---- */

struct sleeper {
	int64_t ms, late;
};

static void sleep_some(void *arg)
{
	struct sleeper *s = arg;
	int64_t until = deadline_in(s->ms);
	bool woken = fiber_wait(until);

	s->late = woken ? -1 : clock_mono_ms() - until;
	ended++;
}

static void sleep_short_then_long(void *arg)
{
	int64_t begin = clock_mono_ms();
	bool woken = fiber_wait(deadline_in(200)); /* woken early: its entry in the heap stays */

	if (woken && !fiber_wait(deadline_in(30)) && clock_mono_ms() - begin < 190)
		note('s'); /* a nearer deadline comes first */
	begin = clock_mono_ms();
	if (!fiber_wait(deadline_in(300)) && clock_mono_ms() - begin >= 300)
		note('l'); /* a farther one is not taken for the old one */
	(void)arg;
}

static void test_deadlines(void)
{
	struct sleeper s[MANY];
	int64_t worst = 0, earliest = 0;
	struct fiber *f;

	forget();
	for (size_t i = 0; i < MANY; i++) {
		s[i].ms = (int64_t)(i * 7919 % 200);
		fiber_start("sleeper", sleep_some, &s[i]);
	}
	is_int((long long)fiber_count(), MANY + 1, "all are counted");
	settle();
	for (size_t i = 0; i < MANY; i++) {
		worst = s[i].late > worst ? s[i].late : worst;
		earliest = s[i].late < earliest ? s[i].late : earliest;
	}
	is_int((long long)ended, MANY, "thousands of deadlines pass");
	ok(earliest >= 0, "none too early");
	ok(worst < 5000, "none much too late (worst %lld ms)", (long long)worst);
	is_int((long long)fiber_count(), 1, "ended fibers are gone");
	forget();
	f = fiber_start("two deadlines", sleep_short_then_long, NULL);
	fiber_sleep(5);
	fiber_wake(f);
	settle();
	is_str(str_z(order), str_z("sl"), "deadlines nearer and farther than the one before");
}

static void wait_forever(void *arg)
{
	*(bool *)arg = fiber_wait(DEADLINE_NEVER);
}

static void test_never(void)
{
	bool woken = false;
	struct fiber *f = fiber_start("never", wait_forever, &woken);

	fiber_sleep(20);
	ok(!woken && fiber_count() == 2, "no deadline");
	fiber_wake(f);
	settle();
	ok(woken, "woken from it");
}

/* ---- queues ---- */

static struct waitq queue;

static void stand_in_line(void *arg)
{
	int64_t ms = *(int64_t *)arg;

	note(waitq_wait(&queue, deadline_in(ms)) ? 'w' : 't');
}

static void test_queue(void)
{
	int64_t patient = 5000, hasty = 5;

	forget();
	waitq_init(&queue);
	waitq_wake_one(&queue);
	waitq_wake_all(&queue);
	fiber_start("hasty", stand_in_line, &hasty);
	for (int i = 0; i < 3; i++)
		fiber_start("patient", stand_in_line, &patient);
	fiber_sleep(30);
	is_str(str_z(order), str_z("t"), "one gives up");
	waitq_wake_one(&queue);
	fiber_yield();
	is_str(str_z(order), str_z("tw"), "one is woken");
	waitq_wake_all(&queue);
	fiber_yield();
	is_str(str_z(order), str_z("twww"), "all are woken");
	ok(list_empty(&queue.waiters), "nobody is left in it");
	settle();
}

static void test_queue_race(void)
{
	int64_t hasty = 5;
	struct timespec nap = { 0, 20 * 1000 * 1000 };

	forget();
	fiber_start("expired", stand_in_line, &hasty);
	fiber_yield();
	nanosleep(&nap, NULL); /* its deadline passes while we do not let the loop see it */
	waitq_wake_one(&queue);
	settle();
	is_str(str_z(order), str_z("w"), "a wake is not lost to a deadline that passed");
}

static void test_stray_wake(void)
{
	int64_t patient = 5000;
	struct fiber *f;

	forget();
	f = fiber_start("stray", stand_in_line, &patient);
	fiber_yield();
	fiber_wake(f);
	fiber_yield();
	fiber_yield();
	is_str(str_z(order), str_z(""), "a stray wake does not end the wait for a queue");
	waitq_wake_all(&queue);
	settle();
	is_str(str_z(order), str_z("w"), "the right one does");
}

/* ---- stacks ---- */

static int dig(int depth)
{
	volatile char room[1024];

	room[0] = (char)depth;
	room[sizeof room - 1] = room[0];
	return depth == 0 ? room[1023] : dig(depth - 1) + room[0];
}

static void use_much(void *arg)
{
	*(int *)arg = dig((int)(FIBER_STACK_SIZE / 1024) / 2);
}

static void use_too_much(void *arg)
{
	*(int *)arg = dig((int)(FIBER_STACK_SIZE / 1024) * 16);
}

static void test_guard(void)
{
	struct rlimit no_core = { 0, 0 };
	int result = 0, status = 0;
	pid_t pid;

	fiber_start("deep", use_much, &result);
	settle();
	ok(result != 0, "half of the stack can be used");
	pid = fork();
	if (pid == 0) {
		setrlimit(RLIMIT_CORE, &no_core);
		fclose(stderr);
		fiber_start("too deep", use_too_much, &result);
		fiber_yield();
		fiber_yield();
		_exit(0);
	}
	waitpid(pid, &status, 0);
	ok(!(WIFEXITED(status) && WEXITSTATUS(status) == 0), "the guard page stops what is too deep (status %x)", (unsigned)status);
}

/* The kernel's quick counters are too coarse for this; the slow ones are right. */
static long resident(void)
{
	FILE *f = fopen("/proc/self/smaps_rollup", "r");
	char line[256];
	long kilobytes = 0;

	while (f != NULL && fgets(line, sizeof line, f) != NULL)
		if (sscanf(line, "Anonymous: %ld kB", &kilobytes) == 1)
			break;
	if (f != NULL)
		fclose(f);
	return kilobytes * 1024;
}

static bool leave;

static void idle_after_digging(void *arg)
{
	*(int *)arg += dig(20);
	while (!leave)
		fiber_wait(deadline_in(60000));
}

static void test_idle_memory(void)
{
	static struct fiber *f[MANY];
	int sink = 0;
	long before = resident(), each;

	for (size_t i = 0; i < MANY; i++)
		f[i] = fiber_start("idle", idle_after_digging, &sink);
	fiber_yield();
	diag("%ld octets resident for a fiber that used 20 KB", (resident() - before) / MANY);
	fiber_sleep(6500); /* two rounds of trimming */
	each = (resident() - before) / MANY;
	diag("%ld octets resident for a fiber that waits", each);
	ok(each < IDLE_MAX || !MEMORY_IS_OURS, "an idle fiber gives back what it does not use (%ld)", each);
	leave = true;
	for (size_t i = 0; i < MANY; i++)
		fiber_wake(f[i]);
	settle();
}

/* ---- cost ---- */

static void ping(void *arg)
{
	(void)arg;
	for (int i = 0; i < SWITCHES / 2; i++)
		fiber_yield();
}

static void test_cost(void)
{
	struct timespec a, b;
	double ns;

	fiber_start("ping", ping, NULL);
	fiber_start("pong", ping, NULL);
	clock_gettime(CLOCK_MONOTONIC, &a);
	while (fiber_count() > 1)
		fiber_yield();
	clock_gettime(CLOCK_MONOTONIC, &b);
	ns = ((double)(b.tv_sec - a.tv_sec) * 1e9 + (double)(b.tv_nsec - a.tv_nsec)) / (SWITCHES * 1.5);
	diag("%.0f ns to a fiber and back, with the loop's share", ns);
	ok(ns < 20000, "switching is cheap");
}

static void test_dump(void)
{
	int64_t ms = 5;

	forget();
	fiber_start("shown in a dump", stand_in_line, &ms);
	fiber_yield();
	fiber_dump();
	is_str(str_z(fiber_name(fiber_self())), STR("test"), "its own name");
	settle();
}

static size_t hooks;

static void hook(void *arg)
{
	(void)arg;
	hooks++;
}

static void all(void *arg)
{
	(void)arg;
	test_order();
	test_wakes();
	test_deadlines();
	test_never();
	test_queue();
	test_queue_race();
	test_stray_wake();
	test_guard();
	test_dump();
	test_cost();
	test_idle_memory();
	ok(hooks > 3, "hooks ran before the loop slept");
	loop_stop();
}

static void on_signal(void *arg)
{
	(*(int *)arg)++;
}

int main(void)
{
	int signals = 0;

	loop_init();
	loop_on_idle(hook, NULL);
	loop_on_signal(SIGUSR2, on_signal, &signals);
	ok(fiber_self() == NULL, "no fiber in the loop");
	fiber_start("test", all, NULL);
	raise(SIGUSR2);
	loop_run();
	is_int(signals, 1, "a signal came through the loop");
	is_int((long long)fiber_count(), 0, "no fiber is left");
	return done_testing();
}
