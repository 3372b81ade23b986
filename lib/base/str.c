/* lib/base/str.c - byte slices. */
#include "lib/base/str.h"

static const char blank[] = " \t\r\n";

static unsigned char lower(char c)
{
	return (unsigned char)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
}

static bool in_set(char c, const char *set)
{
	return c != '\0' && strchr(set, c) != NULL;
}

struct str str_z(const char *z)
{
	return z == NULL ? STR_NONE : (struct str){ z, strlen(z) };
}

struct str str_n(const char *p, size_t n)
{
	return n == 0 ? STR_NONE : (struct str){ p, n };
}

struct str str_skip(struct str s, size_t n)
{
	if (n > s.n)
		n = s.n;
	return (struct str){ n > 0 ? s.p + n : s.p, s.n - n };
}

struct str str_sub(struct str s, size_t from, size_t n)
{
	struct str tail = str_skip(s, from);

	if (tail.n > n)
		tail.n = n;
	return tail;
}

bool str_eq(struct str a, struct str b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

bool str_eqi(struct str a, struct str b)
{
	return a.n == b.n && str_cmpi(a, b) == 0;
}

bool str_eqz(struct str a, const char *z)
{
	return str_eq(a, str_z(z));
}

bool str_eqiz(struct str a, const char *z)
{
	return str_eqi(a, str_z(z));
}

static int by_length(struct str a, struct str b)
{
	return (a.n > b.n) - (a.n < b.n);
}

int str_cmp(struct str a, struct str b)
{
	size_t n = a.n < b.n ? a.n : b.n;
	int d = n > 0 ? memcmp(a.p, b.p, n) : 0;

	return d != 0 ? d : by_length(a, b);
}

int str_cmpi(struct str a, struct str b)
{
	size_t n = a.n < b.n ? a.n : b.n;

	for (size_t i = 0; i < n; i++) {
		int d = lower(a.p[i]) - lower(b.p[i]);

		if (d != 0)
			return d;
	}
	return by_length(a, b);
}

bool str_starts(struct str s, struct str prefix)
{
	return str_eq(str_sub(s, 0, prefix.n), prefix);
}

bool str_startsi(struct str s, struct str prefix)
{
	return str_eqi(str_sub(s, 0, prefix.n), prefix);
}

bool str_ends(struct str s, struct str suffix)
{
	return s.n >= suffix.n && str_eq(str_skip(s, s.n - suffix.n), suffix);
}

bool str_endsi(struct str s, struct str suffix)
{
	return s.n >= suffix.n && str_eqi(str_skip(s, s.n - suffix.n), suffix);
}

static ptrdiff_t offset(struct str s, const void *hit)
{
	return hit == NULL ? -1 : (const char *)hit - s.p;
}

ptrdiff_t str_chr(struct str s, char c)
{
	return s.n == 0 ? -1 : offset(s, memchr(s.p, c, s.n));
}

ptrdiff_t str_rchr(struct str s, char c)
{
	return s.n == 0 ? -1 : offset(s, memrchr(s.p, c, s.n));
}

ptrdiff_t str_find(struct str s, struct str needle)
{
	if (needle.n == 0)
		return 0;
	return s.n == 0 ? -1 : offset(s, memmem(s.p, s.n, needle.p, needle.n));
}

ptrdiff_t str_any(struct str s, const char *set)
{
	for (size_t i = 0; i < s.n; i++) {
		if (in_set(s.p[i], set))
			return (ptrdiff_t)i;
	}
	return -1;
}

struct str str_cut(struct str *rest, char sep)
{
	ptrdiff_t at = str_chr(*rest, sep);
	struct str front = at < 0 ? *rest : str_sub(*rest, 0, (size_t)at);

	*rest = str_skip(*rest, at < 0 ? rest->n : (size_t)at + 1);
	return front;
}

struct str str_word(struct str *rest, const char *set)
{
	struct str word;
	ptrdiff_t end;

	while (rest->n > 0 && in_set(rest->p[0], set))
		*rest = str_skip(*rest, 1);
	end = str_any(*rest, set);
	word = str_sub(*rest, 0, end < 0 ? rest->n : (size_t)end);
	*rest = str_skip(*rest, word.n);
	return word;
}

/* Octets of the "{ ... }" group that s begins with; all of s when it is not closed. */
static size_t group_size(struct str s)
{
	size_t depth = 0;

	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '{')
			depth++;
		else if (s.p[i] == '}' && --depth == 0)
			return i + 1;
	}
	return s.n;
}

struct str str_word_braced(struct str *rest)
{
	static const char separators[] = " \t\r\n,";
	struct str word;

	while (rest->n > 0 && in_set(rest->p[0], separators))
		*rest = str_skip(*rest, 1);
	if (rest->n > 0 && rest->p[0] == '{') {
		word = str_sub(*rest, 0, group_size(*rest));
	} else {
		size_t n = 0;

		while (n < rest->n && !in_set(rest->p[n], separators)) /* "inline:{ a = b }" is one word as well */
			n += rest->p[n] == '{' ? group_size(str_skip(*rest, n)) : 1;
		word = str_sub(*rest, 0, n);
	}
	*rest = str_skip(*rest, word.n);
	return word;
}

struct str str_trim(struct str s)
{
	while (s.n > 0 && in_set(s.p[0], blank))
		s = str_skip(s, 1);
	while (s.n > 0 && in_set(s.p[s.n - 1], blank))
		s.n--;
	return s;
}

bool str_digits(struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] < '0' || s.p[i] > '9')
			return false;
	}
	return s.n > 0;
}

bool str_to_u64(struct str s, uint64_t max, uint64_t *out)
{
	uint64_t v = 0;

	if (s.n == 0)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		unsigned digit = (unsigned)(unsigned char)s.p[i] - '0';

		if (digit > 9 || __builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, digit, &v) || v > max)
			return false;
	}
	*out = v;
	return true;
}
