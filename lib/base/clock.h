/* lib/base/clock.h - the one place that reads time.
 * Deadlines are monotonic milliseconds; wall time is microseconds since 1970 (UTC).
 */
#ifndef GATEPOST_LIB_BASE_CLOCK_H
#define GATEPOST_LIB_BASE_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

#define DEADLINE_NEVER INT64_MAX

int64_t clock_mono_ms(void);
int64_t clock_mono_us(void); /* for durations */
int64_t clock_wall_us(void);
int64_t deadline_in(int64_t ms);            /* now + ms; ms < 0 or huge: never */
int64_t deadline_min(int64_t a, int64_t b); /* the earlier one */
/* True at most once in every_ms: *next, 0 at first, is when again. For warnings that would otherwise repeat themselves. */
bool clock_due(int64_t *next, int64_t every_ms);

#endif
