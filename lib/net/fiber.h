/* lib/net/fiber.h - fibers: protocol code as a straight line, suspended instead of blocked.
 *
 * A fiber is a stackful coroutine with its own guarded stack (FIBER_STACK_SIZE; only touched pages cost memory). It
 * runs until it waits; then the loop (lib/net/loop.h) runs others. There is no preemption: between two calls marked
 * "Suspends." nothing else runs, so plain variables need no locks. Across a suspension hold no pointer into a shared
 * table and no static buffer. Every wait has a deadline (lib/base/clock.h).
 */
#ifndef GATEPOST_LIB_NET_FIBER_H
#define GATEPOST_LIB_NET_FIBER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/list.h"

#define FIBER_STACK_SIZE (128 * 1024)

struct fiber;

/* Make a fiber and queue it to run fn(arg); it ends when fn returns. name: static text. */
struct fiber *fiber_start(const char *name, void (*fn)(void *), void *arg);
struct fiber *fiber_self(void); /* NULL in the loop itself */
const char *fiber_name(const struct fiber *f);
size_t fiber_count(void);
/* A short text that goes with this fiber: the session it serves, for log lines and events. Cut at FIBER_TAG_MAX - 1. "" outside of fibers. */
#define FIBER_TAG_MAX 32
void fiber_set_tag(const char *tag);
const char *fiber_tag(void);

/* Suspends until fiber_wake() or the deadline. True: woken; false: deadline passed. A wake before the wait is
 * remembered once. */
bool fiber_wait(int64_t deadline);
void fiber_wake(struct fiber *f);
void fiber_yield(void); /* Suspends: lets every ready fiber run once. */
void fiber_sleep(int64_t ms); /* Suspends. */

/* Log name, age and waiting time of every fiber (SIGUSR2, check() failures). */
void fiber_dump(void);

/* A queue of fibers that wait for a condition kept by the caller. Initialise with waitq_init(). */
struct waitq {
	struct list waiters;
};

void waitq_init(struct waitq *q);
bool waitq_wait(struct waitq *q, int64_t deadline); /* Suspends. True: woken. */
void waitq_wake_one(struct waitq *q);
void waitq_wake_all(struct waitq *q);

/* Run fn(arg) in the thread pool and return when it is done. For blocking work only: fsync, slow opens, getpw*,
 * crypto. fn must not touch fibers, streams, logs or arenas of others. Suspends, without a deadline. Outside a fiber
 * it runs fn directly. */
void offload(void (*fn)(void *), void *arg);
void offload_threads(unsigned count); /* pool size, before first use; default 16 */

#endif
