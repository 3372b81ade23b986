/* t/unit/tap.c - TAP output for C unit tests. */
#include "t/unit/tap.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static int count, failed;

bool ok(bool cond, const char *fmt, ...)
{
	va_list ap;

	printf("%sok %d - ", cond ? "" : "not ", ++count);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf("\n");
	fflush(stdout);
	if (!cond)
		failed++;
	return cond;
}

bool is_str(struct str got, struct str want, const char *name)
{
	if (ok(str_eq(got, want), "%s", name))
		return true;
	printf("# got '%.*s'\n# want '%.*s'\n", STRF(got), STRF(want));
	return false;
}

bool is_int(long long got, long long want, const char *name)
{
	if (ok(got == want, "%s", name))
		return true;
	printf("# got %lld\n# want %lld\n", got, want);
	return false;
}

void diag(const char *fmt, ...)
{
	va_list ap;

	printf("# ");
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf("\n");
}

void skip_all(const char *why)
{
	printf("1..0 # SKIP %s\n", why);
	exit(0);
}

int done_testing(void)
{
	printf("1..%d\n", count);
	return failed != 0;
}
