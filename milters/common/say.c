/* milters/common/say.c - log lines from any thread, one at a time, written at once: there is no loop turn to wait for. */
#include "milters/common/say.h"

#include <pthread.h>
#include <stdarg.h>

#include "lib/base/log.h"

#define LINE_MAX_SIZE 2000 /* as lib/base/log cuts */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

void say_lock(void)
{
	pthread_mutex_lock(&lock);
}

void say_unlock(void)
{
	log_flush();
	pthread_mutex_unlock(&lock);
}

void say_info(const char *fmt, ...)
{
	char line[LINE_MAX_SIZE];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof line, fmt, ap);
	va_end(ap);
	say_lock();
	log_info("%s", line);
	say_unlock();
}

void say_warn(const char *fmt, ...)
{
	char line[LINE_MAX_SIZE];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof line, fmt, ap);
	va_end(ap);
	say_lock();
	log_warn("%s", line);
	say_unlock();
}
