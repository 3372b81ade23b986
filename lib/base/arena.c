/* lib/base/arena.c - memory with a lifetime, handed out from blocks that grow with use.
 * The first block is part of the arena and small: thousands of idle sessions hold two arenas each. Under
 * AddressSanitizer every allocation has a poisoned gap behind it and everything is poisoned at reset.
 */
#include "lib/base/arena.h"

#include <stdarg.h>
#include <stdint.h>

#include "lib/base/format.h"
#include "lib/base/mem.h"

#if defined(__SANITIZE_ADDRESS__)
#define ARENA_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ARENA_ASAN 1
#endif
#endif

#ifdef ARENA_ASAN
#include <sanitizer/asan_interface.h>
#define GAP 16
#else
#define ASAN_POISON_MEMORY_REGION(p, n) ((void)(p), (void)(n))
#define ASAN_UNPOISON_MEMORY_REGION(p, n) ((void)(p), (void)(n))
#define GAP 0
#endif

#define ALIGN _Alignof(max_align_t)
#define FIRST_SIZE 1024          /* octets of the arena with its first block */
#define PRINTF_ROOM 256          /* octets; longer texts are formatted twice */
#define BLOCK_MIN 2048           /* the second block; each further one is twice as large ... */
#define BLOCK_MAX (64 * 1024)    /* ... up to this; what is larger gets a block of its own */

struct block {
	struct block *next;
	size_t size; /* of mem */
	_Alignas(max_align_t) unsigned char mem[];
};

struct deferred {
	struct deferred *next;
	void (*fn)(void *);
	void *arg;
};

struct arena {
	const char *label;
	unsigned char *at, *end;   /* free space of the current block */
	struct block *blocks;      /* all but the first, newest first */
	struct deferred *deferred; /* last registered first */
	size_t held;
	size_t next_size;
	_Alignas(max_align_t) unsigned char first[];
};

static void begin(struct arena *a)
{
	a->at = a->first;
	a->end = (unsigned char *)a + FIRST_SIZE;
	a->blocks = NULL;
	a->held = FIRST_SIZE;
	a->next_size = BLOCK_MIN;
	ASAN_POISON_MEMORY_REGION(a->at, (size_t)(a->end - a->at));
}

struct arena *arena_new(const char *label)
{
	struct arena *a = mem_grow(NULL, 1, FIRST_SIZE);

	a->label = label;
	a->deferred = NULL;
	begin(a);
	return a;
}

static struct block *block_new(struct arena *a, size_t mem_size)
{
	struct block *b = mem_grow(NULL, 1, sizeof *b + mem_size);

	b->size = mem_size;
	b->next = a->blocks;
	a->blocks = b;
	a->held += sizeof *b + mem_size;
	ASAN_POISON_MEMORY_REGION(b->mem, mem_size);
	return b;
}

/* Room of size octets outside the current block, which does not have them. */
static unsigned char *more(struct arena *a, size_t size)
{
	struct block *b;

	if (size > a->next_size / 4) /* its own block: the rest of the current one stays in use */
		return block_new(a, size)->mem;
	b = block_new(a, a->next_size - sizeof *b);
	a->end = b->mem + b->size;
	a->at = b->mem + size;
	if (a->next_size < BLOCK_MAX)
		a->next_size *= 2;
	return b->mem;
}

void *arena_alloc(struct arena *a, size_t n)
{
	size_t size;
	unsigned char *p;

	check(n < PTRDIFF_MAX / 2);
	size = (n + GAP + (ALIGN - 1)) & ~(size_t)(ALIGN - 1);
	if (size <= (size_t)(a->end - a->at)) {
		p = a->at;
		a->at += size;
	} else {
		p = more(a, size);
	}
	ASAN_UNPOISON_MEMORY_REGION(p, n);
	return memset(p, 0, n);
}

char *arena_z(struct arena *a, struct str s)
{
	char *p = arena_alloc(a, s.n + 1);

	if (s.n > 0)
		memcpy(p, s.p, s.n);
	return p;
}

struct str arena_dup(struct arena *a, struct str s)
{
	return s.n == 0 ? STR_NONE : (struct str){ arena_z(a, s), s.n };
}

struct str arena_printf(struct arena *a, const char *fmt, ...)
{
	char text[PRINTF_ROOM], *p;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = format_text(text, sizeof text, fmt, ap);
	va_end(ap);
	check(n >= 0);
	p = arena_alloc(a, (size_t)n + 1);
	if ((size_t)n < sizeof text) {
		memcpy(p, text, (size_t)n);
		return (struct str){ p, (size_t)n };
	}
	va_start(ap, fmt);
	format_text(p, (size_t)n + 1, fmt, ap);
	va_end(ap);
	return (struct str){ p, (size_t)n };
}

struct str arena_lower(struct arena *a, struct str s)
{
	char *p;

	if (s.n == 0)
		return STR_NONE;
	p = arena_z(a, s);
	for (size_t i = 0; i < s.n; i++) {
		if (p[i] >= 'A' && p[i] <= 'Z')
			p[i] = (char)(p[i] + ('a' - 'A'));
	}
	return (struct str){ p, s.n };
}

void arena_defer(struct arena *a, void (*fn)(void *), void *arg)
{
	struct deferred *d = arena_alloc(a, sizeof *d);

	*d = (struct deferred){ a->deferred, fn, arg };
	a->deferred = d;
}

size_t arena_size(const struct arena *a)
{
	return a->held;
}

void arena_reset(struct arena *a)
{
	while (a->deferred != NULL) {
		struct deferred *d = a->deferred;

		a->deferred = d->next; /* first: fn may register again, or look */
		d->fn(d->arg);
	}
	while (a->blocks != NULL) {
		struct block *b = a->blocks;

		a->blocks = b->next;
		mem_free(b);
	}
	begin(a);
}

void arena_free(struct arena *a)
{
	if (a == NULL)
		return;
	arena_reset(a);
	mem_free(a);
}
