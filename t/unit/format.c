/* t/unit/format.c - the fast printf says what the C library's says, whatever the room. */
#include "lib/base/format.h"

#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "t/unit/tap.h"

#define ROOM 80

static int ours(char *to, size_t room, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

static int ours(char *to, size_t room, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = format_text(to, room, fmt, ap);
	va_end(ap);
	return n;
}

/* The same by both, for every room. */
#define SAME(...) \
	do { \
		char a[ROOM + 1], b[ROOM + 1]; \
		bool same = true; \
		for (size_t room = 0; room <= ROOM; room++) { \
			int m, n; \
			memset(a, '~', sizeof a); \
			memset(b, '~', sizeof b); \
			m = ours(a, room, __VA_ARGS__); \
			n = snprintf(b, room, __VA_ARGS__); \
			same = same && m == n && memcmp(a, b, room > 0 ? strlen(b) + 1 : sizeof b) == 0 && a[ROOM] == b[ROOM]; \
		} \
		ok(same, "%s", b); \
	} while (0)

int main(void)
{
	const char *volatile text = "some text", *volatile empty = "", *volatile no_end = "abc";

	SAME("plain");
	SAME("%s", empty);
	SAME("a %s b %s", text, text);
	SAME("%.*s|%.*s|%.*s", 4, text, 0, text, 100, text);
	SAME("%.*s", -1, text);
	SAME("%.*s", 3, no_end);
	SAME("%c%c%%", 'x', 'y');
	SAME("%d %i %d %d", 0, -1, INT_MAX, INT_MIN);
	SAME("%u %u", 0u, UINT_MAX);
	SAME("%ld %ld %lu", LONG_MIN, LONG_MAX, ULONG_MAX);
	SAME("%lld %llu", LLONG_MIN, ULLONG_MAX);
	SAME("%zu %zd", SIZE_MAX, (ssize_t)-5);
	SAME("%x %lx %zx", 0xdeadbeefu, 0x123456789abcul, (size_t)10);
	SAME("%03d %02x %05u %02d %03d", 7, 10u, 12345678u, -3, -1234);
	SAME("%5d|%-5d|%+d|% d", 7, 7, 7, 7);
	SAME("%s %5.2f %s", text, 3.14159, text);
	SAME("%s|%10s|%-10s|%.3s", text, text, text, text);
	SAME("%d %p %d", 1, (void *)0, 2);
	SAME("%08llu %o %X", 42ull, 8u, 255u);
	SAME("%hhd %hu %jd", (signed char)-1, (unsigned short)7, (intmax_t)-9);
	return done_testing();
}
