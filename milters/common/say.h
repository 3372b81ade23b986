/* milters/common/say.h - log lines and shared library calls from libmilter's threads. lib/base/log is made for one thread: every call
 * that may log goes through this one lock.
 */
#ifndef GATEPOST_MILTERS_COMMON_SAY_H
#define GATEPOST_MILTERS_COMMON_SAY_H

void say_info(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void say_warn(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Around calls into lib/ that may log by themselves (tables). Not recursive: no say_*() inside. */
void say_lock(void);
void say_unlock(void);

#endif
