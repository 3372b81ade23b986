/* lib/base/format.c - the fast printf. */
#include "lib/base/format.h"

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define DIGITS_MAX 20 /* of a 64-bit number */

struct text {
	char *to;
	size_t room, n; /* n: octets of the whole text so far, more than room perhaps */
};

struct directive {
	unsigned width; /* zero-padded; 0: none */
	char size;      /* 0, 'l', 'L' (ll), 'z' */
	bool precise;   /* %.*s */
	char what;
	const char *end;
};

static void put(struct text *t, const char *p, size_t n)
{
	if (t->n < t->room) {
		size_t fits = t->room - t->n < n ? t->room - t->n : n;

		if (fits > 0)
			memcpy(t->to + t->n, p, fits);
	}
	t->n += n;
}

/* False: not one of ours. at: behind the '%'. */
static bool parse(const char *at, struct directive *d)
{
	*d = (struct directive){ 0 };
	if (at[0] == '0' && at[1] >= '1' && at[1] <= '9') {
		d->width = (unsigned)(at[1] - '0');
		at += 2;
	} else if (at[0] == '.' && at[1] == '*') {
		d->precise = true;
		at += 2;
	}
	if (at[0] == 'l' || at[0] == 'z')
		d->size = *at++;
	if (d->size == 'l' && at[0] == 'l') {
		d->size = 'L';
		at++;
	}
	d->what = *at;
	d->end = at + 1;
	if (d->what == 's' || d->what == 'c' || d->what == '%')
		return d->width == 0 && d->size == 0 && (!d->precise || d->what == 's');
	return !d->precise && (d->what == 'd' || d->what == 'i' || d->what == 'u' || d->what == 'x');
}

/* A macro, because a va_list that is a parameter may be an array. */
#define NEXT_SIGNED(d, ap) \
	((d)->size == 'L' ? va_arg(ap, long long) : (d)->size == 'l' ? va_arg(ap, long) \
						   : (d)->size == 'z' ? (long long)va_arg(ap, size_t) : va_arg(ap, int))
#define NEXT_UNSIGNED(d, ap) \
	((d)->size == 'L' ? va_arg(ap, unsigned long long) : (d)->size == 'l' ? va_arg(ap, unsigned long) \
							    : (d)->size == 'z' ? va_arg(ap, size_t) : va_arg(ap, unsigned))

static void put_number(struct text *t, const struct directive *d, bool negative, uint64_t n)
{
	char digits[DIGITS_MAX + 10], *at = digits + sizeof digits;
	uint64_t base = d->what == 'x' ? 16 : 10;
	unsigned width = d->width - (negative && d->width > 0 ? 1 : 0), count = 0;

	do {
		*--at = "0123456789abcdef"[n % base];
		n /= base;
		count++;
	} while (n > 0);
	for (; count < width; count++)
		*--at = '0';
	if (negative)
		*--at = '-';
	put(t, at, (size_t)(digits + sizeof digits - at));
}

static void put_string(struct text *t, const char *p, int precision)
{
	if (p == NULL)
		p = precision < 0 || precision >= 6 ? "(null)" : ""; /* as the library */
	put(t, p, precision < 0 ? strlen(p) : strnlen(p, (size_t)precision));
}

/* The rest, from fmt on, by the library. Returns false when that fails. */
static bool put_rest(struct text *t, const char *fmt, va_list ap)
{
	size_t left = t->n < t->room ? t->room - t->n : 0;
	int n = vsnprintf(left > 0 ? t->to + t->n : NULL, left > 0 ? left + 1 : 0, fmt, ap);

	if (n < 0)
		return false;
	t->n += (size_t)n;
	return true;
}

/* room: without the NUL. */
static bool fill(struct text *t, const char *fmt, va_list ap)
{
	struct directive d;

	for (;;) {
		const char *plain_end = strchrnul(fmt, '%');

		put(t, fmt, (size_t)(plain_end - fmt));
		fmt = plain_end;
		if (*fmt == '\0')
			return true;
		if (!parse(fmt + 1, &d))
			return put_rest(t, fmt, ap);
		fmt = d.end;
		if (d.what == 's') {
			int precision = d.precise ? va_arg(ap, int) : -1;

			put_string(t, va_arg(ap, const char *), precision);
		} else if (d.what == 'd' || d.what == 'i') {
			long long n = NEXT_SIGNED(&d, ap);

			put_number(t, &d, n < 0, n < 0 ? -(uint64_t)n : (uint64_t)n);
		} else if (d.what == 'u' || d.what == 'x') {
			put_number(t, &d, false, NEXT_UNSIGNED(&d, ap));
		} else {
			char c = d.what == 'c' ? (char)va_arg(ap, int) : '%';

			put(t, &c, 1);
		}
	}
}

int format_text(char *to, size_t room, const char *fmt, va_list ap)
{
	struct text t = { .to = to, .room = room > 0 ? room - 1 : 0 };
	va_list args; /* one of our own can be given on by reference, whatever a va_list is here */
	bool filled;

	va_copy(args, ap);
	filled = fill(&t, fmt, args);
	va_end(args);
	if (!filled || t.n > INT_MAX)
		return -1;
	if (room > 0)
		to[t.n < room - 1 ? t.n : room - 1] = '\0';
	return (int)t.n;
}
