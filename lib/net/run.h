/* lib/net/run.h - what the loop asks of fibers and of the thread pool; for loop.c, fiber.c and offload.c. */
#ifndef GATEPOST_LIB_NET_RUN_H
#define GATEPOST_LIB_NET_RUN_H

#include <stdbool.h>
#include <stdint.h>

/* fiber.c */
bool fiber_any_ready(void);
void fiber_run_ready(void); /* each fiber that is ready now runs once */
int64_t fiber_next_deadline(void);
void fiber_expire(int64_t now); /* whose deadline has passed becomes ready */
/* Memory of the unused part of stacks whose fibers have been waiting since the call before this one goes back to the system. True: there
 * may be more next time. */
bool fiber_trim_stacks(void);

/* offload.c */
bool offload_may_sleep(void); /* false: there are results; true: from now on a result wakes the loop */
void offload_collect(void); /* wakes the fibers whose work is done */

#endif
