/* lib/base/clock.c - monotonic and wall time. */
#include "lib/base/clock.h"

int64_t clock_mono_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

int64_t clock_mono_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

int64_t clock_wall_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

int64_t deadline_in(int64_t ms)
{
	int64_t at;

	if (ms < 0 || __builtin_add_overflow(clock_mono_ms(), ms, &at))
		return DEADLINE_NEVER;
	return at;
}

int64_t deadline_min(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

bool clock_due(int64_t *next, int64_t every_ms)
{
	if (clock_mono_ms() < *next)
		return false;
	*next = deadline_in(every_ms);
	return true;
}
