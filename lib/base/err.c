/* lib/base/err.c - filling and enriching the error record. */
#include "lib/base/err.h"

#include <errno.h>
#include <stdarg.h>

static void fill(struct err *e, enum err_kind kind, struct code code, const char *fmt, va_list ap)
{
	e->kind = kind;
	e->code = code;
	vsnprintf(e->text, sizeof e->text, fmt, ap);
}

int err_set(struct err *e, enum err_kind kind, struct code code, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fill(e, kind, code, fmt, ap);
	va_end(ap);
	return -1;
}

int err_temp(struct err *e, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fill(e, ERR_TEMP, CODE(451, 4, 3, 0), fmt, ap);
	va_end(ap);
	return -1;
}

int err_perm(struct err *e, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fill(e, ERR_PERM, CODE(550, 5, 0, 0), fmt, ap);
	va_end(ap);
	return -1;
}

int err_errno(struct err *e, int errnum, const char *fmt, ...)
{
	va_list ap;
	size_t n;

	va_start(ap, fmt);
	fill(e, ERR_TEMP, CODE(451, 4, 3, 0), fmt, ap);
	va_end(ap);
	n = strlen(e->text);
	snprintf(e->text + n, sizeof e->text - n, ": %s", strerrordesc_np(errnum) != NULL ? strerrordesc_np(errnum) : "unknown error");
	errno = errnum; /* for callers that decide by it */
	return -1;
}

int err_context(struct err *e, const char *fmt, ...)
{
	char was[sizeof e->text];
	va_list ap;
	size_t n;

	memcpy(was, e->text, sizeof was);
	va_start(ap, fmt);
	vsnprintf(e->text, sizeof e->text, fmt, ap);
	va_end(ap);
	n = strlen(e->text);
	snprintf(e->text + n, sizeof e->text - n, ": %s", was);
	return -1;
}
