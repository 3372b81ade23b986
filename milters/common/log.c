/* milters/common/log.c - log lines from threads. */
#include "milters/common/log.h"

#include <pthread.h>
#include <stdarg.h>

#include "lib/base/log.h"
#include "lib/base/str.h"

static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;

static void write_line(void (*log)(const char *fmt, ...), const char *fmt, va_list ap)
{
	struct buf line = { 0 };

	buf_addfv(&line, fmt, ap);
	pthread_mutex_lock(&turn);
	log("%s", buf_z(&line));
	log_flush();
	pthread_mutex_unlock(&turn);
	buf_done(&line);
}

void milter_log(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	write_line(log_info, fmt, ap);
	va_end(ap);
}

void milter_log_warn(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	write_line(log_warn, fmt, ap);
	va_end(ap);
}
