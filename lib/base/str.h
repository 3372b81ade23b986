/* lib/base/str.h - byte slices (borrowed) and growable buffers (owned).
 * A struct str never owns its bytes and has no terminating NUL. A struct buf starts as { 0 }, grows on
 * demand, keeps a NUL behind its bytes for library borders, and is released with buf_done().
 * Nothing here fails: memory exhaustion ends the process (lib/base/mem.h), inputs are bounded by callers.
 */
#ifndef GATEPOST_LIB_BASE_STR_H
#define GATEPOST_LIB_BASE_STR_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct str {
	const char *p;
	size_t n;
};

struct buf {
	char *p;
	size_t n, cap;
};

#define STR(lit) ((struct str){ "" lit, sizeof(lit) - 1 }) /* from a literal */
#define STR_INIT(lit) { "" lit, sizeof(lit) - 1 }          /* same, for static initialisers */
#define STRF(s) (int)(s).n, (s).p                          /* for "%.*s"; evaluates s twice */
#define STR_NONE ((struct str){ "", 0 })

/* Slices. */
struct str str_z(const char *z); /* z may be NULL: empty */
struct str str_n(const char *p, size_t n);
struct str str_sub(struct str s, size_t from, size_t n); /* clipped to s */
struct str str_skip(struct str s, size_t n);             /* s without its first n bytes, clipped */
bool str_eq(struct str a, struct str b);
bool str_eqi(struct str a, struct str b); /* ASCII case folded */
bool str_eqz(struct str a, const char *z);
bool str_eqiz(struct str a, const char *z);
int str_cmp(struct str a, struct str b); /* memcmp order, shorter first */
int str_cmpi(struct str a, struct str b);
bool str_starts(struct str s, struct str prefix);
bool str_startsi(struct str s, struct str prefix);
bool str_ends(struct str s, struct str suffix);
bool str_endsi(struct str s, struct str suffix);

/* Position of the first/last c, or of needle; -1 when absent. */
ptrdiff_t str_chr(struct str s, char c);
ptrdiff_t str_rchr(struct str s, char c);
ptrdiff_t str_find(struct str s, struct str needle);
ptrdiff_t str_any(struct str s, const char *set); /* first byte of s that is in the NUL-terminated set */

/* Cut the part before the first sep off the front of *rest and return it; sep itself is dropped.
 * Without sep: everything is returned and *rest becomes empty. */
struct str str_cut(struct str *rest, char sep);
/* Next run of bytes not in set; leading bytes in set are skipped. Empty result: nothing left. */
struct str str_word(struct str *rest, const char *set);
/* Like str_word() for Postfix lists (blank or comma separated) but a "{ ... }" group, braces nested, is one
 * word or part of one ("inline:{ a = b }"), braces kept. Unbalanced braces: the rest is one word. */
struct str str_word_braced(struct str *rest);
struct str str_trim(struct str s); /* without leading and trailing blank, tab, CR, LF */

bool str_digits(struct str s); /* decimal digits, at least one, and nothing else */
/* Unsigned decimal number, all of s, at most max. False: not a number or too large; *out untouched. */
bool str_to_u64(struct str s, uint64_t max, uint64_t *out);

/* Printable copies for logs: anything but printable ASCII (and, with utf8, valid UTF-8) becomes '?'. */
struct buf;
void buf_add_safe(struct buf *b, struct str s);

/* Buffers. */
void buf_add(struct buf *b, struct str s);
void buf_addc(struct buf *b, char c);
void buf_addz(struct buf *b, const char *z);
void buf_addn(struct buf *b, const void *p, size_t n);
void buf_addf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void buf_addfv(struct buf *b, const char *fmt, va_list ap) __attribute__((format(printf, 2, 0)));
void buf_add_lower(struct buf *b, struct str s);   /* ASCII lower case */
char *buf_reserve(struct buf *b, size_t n);        /* room for n more bytes; returns where they go; set b->n yourself */
void buf_consume(struct buf *b, size_t n);         /* drop the first n bytes, n <= b->n */
void buf_truncate(struct buf *b, size_t n);        /* keep the first n bytes */
void buf_clear(struct buf *b);                     /* empty, memory kept */
void buf_done(struct buf *b);                      /* empty, memory freed */
struct str buf_str(const struct buf *b);           /* slice of the bytes, valid until b changes */
const char *buf_z(struct buf *b);                  /* NUL-terminated view, never NULL */

#endif
