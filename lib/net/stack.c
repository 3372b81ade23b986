/* lib/net/stack.c - guarded stacks for fibers. A few are kept for the next fiber, hot in the cache; their own top holds the list. */
#include "lib/net/stack.h"

#include <errno.h>
#include <stdint.h>
#include <sys/mman.h>

#if HAVE_VALGRIND
#include <valgrind/valgrind.h>
#endif

#include "lib/base/log.h"
#include "lib/net/fiber.h"
#include "lib/net/fiber_ctx.h"

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#include <sanitizer/lsan_interface.h>
#define STACK_SIZE (4 * FIBER_STACK_SIZE) /* red zones around every variable */
#else
#define STACK_SIZE FIBER_STACK_SIZE
#endif

#define PAGE 4096u
#define KEEP_MAX 256 /* free stacks; a burst's other stacks are unmapped when it is over */

/* At the top of every stack: what must be known about it while no fiber, or any, is on it. */
struct top {
	struct top *next_free;
	unsigned valgrind_id;
	unsigned trimmed; /* while free: only the uppermost page is in memory */
};

static struct {
	struct top *free;
	unsigned free_count;
} pool;

static struct top *top_of(char *low)
{
	return (struct top *)(void *)(low + STACK_SIZE) - 1;
}

static char *low_of(struct top *t)
{
	return (char *)(t + 1) - STACK_SIZE;
}

size_t stack_size(void)
{
	return (STACK_SIZE - sizeof(struct top)) & ~(size_t)15;
}

/* ---- what the tools want to know ---- */

static void announce(char *low)
{
#if HAVE_VALGRIND
	top_of(low)->valgrind_id = VALGRIND_STACK_REGISTER(low, low + STACK_SIZE);
#endif
#ifdef __SANITIZE_ADDRESS__
	__lsan_register_root_region(low, STACK_SIZE);
#endif
	(void)low; /* without tools */
}

static void withdraw(char *low)
{
#if HAVE_VALGRIND
	VALGRIND_STACK_DEREGISTER(top_of(low)->valgrind_id);
#endif
#ifdef __SANITIZE_ADDRESS__
	__lsan_unregister_root_region(low, STACK_SIZE);
#endif
	(void)low; /* without tools */
}

/* The last frame of a fiber never returned, so its red zones are still there. */
static void forget_frames(char *low)
{
#ifdef __SANITIZE_ADDRESS__
	__asan_unpoison_memory_region(low, STACK_SIZE);
#endif
	(void)low; /* without tools */
}

/* ---- stacks ---- */

static char *make(void)
{
	char *map = mmap(NULL, PAGE + STACK_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK | MAP_NORESERVE, -1, 0);

	if (map == MAP_FAILED || mprotect(map, PAGE, PROT_NONE) < 0)
		log_fatal("out of memory: no stack for a fiber: %s", strerror(errno));
	announce(map + PAGE);
	return map + PAGE;
}

char *stack_take(void)
{
	struct top *t = pool.free;

	if (t == NULL)
		return make();
	pool.free = t->next_free;
	pool.free_count--;
	return low_of(t);
}

void stack_give(char *low)
{
	struct top *t = top_of(low);

	forget_frames(low);
	if (pool.free_count == KEEP_MAX) {
		withdraw(low);
		munmap(low - PAGE, PAGE + STACK_SIZE);
		return;
	}
	t->trimmed = 0;
	t->next_free = pool.free;
	pool.free = t;
	pool.free_count++;
}

void stack_trim(char *low, char *used)
{
	char *end = (char *)((uintptr_t)used & ~(uintptr_t)(PAGE - 1)); /* the page that is partly in use stays */

	if (end > low)
		(void)madvise(low, (size_t)(end - low), MADV_DONTNEED); /* failing costs memory only */
}

void stack_trim_free(void)
{
	for (struct top *t = pool.free; t != NULL; t = t->next_free) {
		if (!t->trimmed)
			stack_trim(low_of(t), (char *)t);
		t->trimmed = 1;
	}
}
