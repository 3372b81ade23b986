/* milters/common/log.h - log lines from libmilter's threads: lib/base/log is for one thread, so one thread at a time gets in. */
#ifndef GATEPOST_MILTERS_COMMON_LOG_H
#define GATEPOST_MILTERS_COMMON_LOG_H

void milter_log(const char *fmt, ...) __attribute__((format(printf, 1, 2)));      /* a fact about mail */
void milter_log_warn(const char *fmt, ...) __attribute__((format(printf, 1, 2))); /* an operator should look */

#endif
