/* lib/base/buf.c - growable buffers, the other half of str.h. */
#include "lib/base/str.h"

#include "lib/base/format.h"
#include "lib/base/mem.h"

#define BUF_FIRST 64 /* octets of a buffer's first allocation */

/* Room for n more bytes and the NUL behind them. */
char *buf_reserve(struct buf *b, size_t n)
{
	size_t need, cap = b->cap > 0 ? b->cap : BUF_FIRST;

	check(!__builtin_add_overflow(b->n, n, &need) && need < SIZE_MAX / 4);
	need++;
	if (need <= b->cap)
		return b->p + b->n;
	while (cap < need)
		cap *= 2;
	b->p = mem_grow(b->p, cap, 1);
	b->cap = cap;
	return b->p + b->n;
}

/* n bytes were written behind the end: they belong to the buffer now. */
static void extend(struct buf *b, size_t n)
{
	b->n += n;
	b->p[b->n] = '\0';
}

void buf_addn(struct buf *b, const void *p, size_t n)
{
	char *at = buf_reserve(b, n);

	if (n > 0)
		memcpy(at, p, n);
	extend(b, n);
}

void buf_add(struct buf *b, struct str s)
{
	buf_addn(b, s.p, s.n);
}

void buf_addc(struct buf *b, char c)
{
	buf_addn(b, &c, 1);
}

void buf_addz(struct buf *b, const char *z)
{
	buf_add(b, str_z(z));
}

void buf_addfv(struct buf *b, const char *fmt, va_list ap)
{
	va_list again;
	size_t room;
	int n;

	buf_reserve(b, 0);
	room = b->cap - b->n;
	va_copy(again, ap);
	n = format_text(b->p + b->n, room, fmt, ap);
	check(n >= 0);
	if ((size_t)n >= room)
		format_text(buf_reserve(b, (size_t)n), (size_t)n + 1, fmt, again);
	va_end(again);
	b->n += (size_t)n;
}

void buf_addf(struct buf *b, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	buf_addfv(b, fmt, ap);
	va_end(ap);
}

void buf_add_lower(struct buf *b, struct str s)
{
	char *at = buf_reserve(b, s.n);

	for (size_t i = 0; i < s.n; i++)
		at[i] = (char)(s.p[i] >= 'A' && s.p[i] <= 'Z' ? s.p[i] + ('a' - 'A') : s.p[i]);
	extend(b, s.n);
}

void buf_add_safe(struct buf *b, struct str s)
{
	char *at = buf_reserve(b, s.n);

	for (size_t i = 0; i < s.n; i++)
		at[i] = (char)(s.p[i] >= ' ' && s.p[i] <= '~' ? s.p[i] : '?');
	extend(b, s.n);
}

void buf_consume(struct buf *b, size_t n)
{
	check(n <= b->n);
	if (n == 0)
		return;
	memmove(b->p, b->p + n, b->n - n);
	b->n -= n;
	b->p[b->n] = '\0';
}

void buf_truncate(struct buf *b, size_t n)
{
	if (n >= b->n)
		return;
	b->n = n;
	b->p[n] = '\0';
}

void buf_clear(struct buf *b)
{
	buf_truncate(b, 0);
}

void buf_done(struct buf *b)
{
	mem_free(b->p);
	*b = (struct buf){ 0 };
}

struct str buf_str(const struct buf *b)
{
	return b->n == 0 ? STR_NONE : (struct str){ b->p, b->n };
}

const char *buf_z(struct buf *b)
{
	if (b->p == NULL)
		return "";
	buf_reserve(b, 0);
	b->p[b->n] = '\0';
	return b->p;
}
