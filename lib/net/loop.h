/* lib/net/loop.h - the process's one event loop (libevent), timers and signals for fibers. */
#ifndef GATEPOST_LIB_NET_LOOP_H
#define GATEPOST_LIB_NET_LOOP_H

#include <stdbool.h>
#include <stdint.h>

struct event_base;

void loop_init(void); /* once per process, after fork */
void loop_run(void); /* runs fibers until loop_stop() and no fiber is ready */
void loop_stop(void);
/* Run fn(arg) in a fiber and return when it has returned: in a fiber that is a plain call, which may suspend; a program without a running
 * loop (a command line tool, a daemon reading its configuration) gets one for as long as it takes. */
void loop_call(const char *name, void (*fn)(void *), void *arg);
struct event_base *loop_base(void); /* for libraries that bring their own events (libunbound, evhttp) */
/* Call fn(arg) in the loop, not in a fiber, when the signal arrives; fn must not suspend. */
void loop_on_signal(int signum, void (*fn)(void *), void *arg);
/* Call fn(arg) at the end of each loop turn, before sleeping (log flush and the like). At most 8. */
void loop_on_idle(void (*fn)(void *), void *arg);

#endif
