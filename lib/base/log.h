/* lib/base/log.h - log lines in Postfix's format, to syslog, a file, or stdout.
 * A line is "Mon DD HH:MM:SS host ident[pid]: text"; syslog adds the first part itself. Lines are collected and
 * written once per loop turn (log_flush) and at once for fatal; a stuck or full target costs lines, never time:
 * the target is written without blocking, dropped lines are counted and reported when it recovers.
 * Control and non-ASCII bytes in the text are replaced by '?', lines are cut at 2000 bytes.
 * Levels: info = a fact about mail; warning = an operator should look; error = mail is not moving; fatal = exit.
 */
#ifndef GATEPOST_LIB_BASE_LOG_H
#define GATEPOST_LIB_BASE_LOG_H

#include <stdbool.h>
#include <stddef.h>

/* ident: "syslog_name/program", copied. target: NULL or "" = syslog facility mail; a word without '/' = that syslog
 * facility ("local5"); "/dev/stdout"; else a file path (appended, created 0644). Until log_open() lines go to stderr.
 * Returns false (and stays on stderr) when the file cannot be opened or the facility is unknown. */
bool log_open(const char *ident, const char *target);
void log_reopen(void); /* after rotation; keeps the old file when the new one cannot be opened */
void log_verbose(bool on);

void log_info(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_warn(const char *fmt, ...) __attribute__((format(printf, 1, 2)));  /* "warning: ..." */
void log_error(const char *fmt, ...) __attribute__((format(printf, 1, 2))); /* "error: ..." */
void log_debug(const char *fmt, ...) __attribute__((format(printf, 1, 2))); /* only with log_verbose */
void log_fatal(const char *fmt, ...) __attribute__((format(printf, 1, 2), noreturn)); /* "fatal: ...", exit 1 */
/* log_fatal() says it on stderr, too, unless the log is stdout; for whoever started us, until he is gone. */
void log_flush(void);
/* tell() hears every line as it is made: the level's word ("", "warning", "error", "fatal") and the text. session(): the session that lines are
 * to name in front of their text, "[ID 0 sid.SESSION]", "" for none. Either may be NULL. */
void log_tell(void (*tell)(const char *level, const char *text, size_t n), const char *(*session)(void));

#endif
