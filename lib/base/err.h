/* lib/base/err.h - one error record, filled where it happened, enriched on the way up, decided once.
 * The callee fills struct err and returns -1; callers add context; the one who changes the outcome (SMTP
 * reply, deferral, exit) logs. Never log and return the same error.
 */
#ifndef GATEPOST_LIB_BASE_ERR_H
#define GATEPOST_LIB_BASE_ERR_H

#include <stddef.h>

enum err_kind { ERR_NONE, ERR_TEMP, ERR_PERM };

/* An SMTP reply code with its enhanced status code (RFC 3463); {0} parts mean "none". */
struct code {
	short smtp;
	unsigned char c;
	unsigned short s, d;
};

#define CODE(smtp_, c_, s_, d_) ((struct code){ smtp_, c_, s_, d_ })

struct err {
	enum err_kind kind;
	struct code code; /* {0} when the cause has no mail-system meaning of its own */
	char text[512];
};

#define ERR_INIT { ERR_NONE, { 0, 0, 0, 0 }, "" }

/* All return -1, so that "return err_set(...)" reads as a sentence. */
int err_set(struct err *e, enum err_kind kind, struct code code, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
int err_temp(struct err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3))); /* code 451 4.3.0 */
int err_perm(struct err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3))); /* code 550 5.0.0 */
/* "<fmt>: strerror(errnum)", temporary; errno is errnum afterwards. */
int err_errno(struct err *e, int errnum, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* Put "<fmt>: " in front of the text that is there. */
int err_context(struct err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
