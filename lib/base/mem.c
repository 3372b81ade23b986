/* lib/base/mem.c - heap memory that ends the process instead of failing. */
#include "lib/base/mem.h"

#include <stdint.h>

#include "lib/base/log.h"

/* The C library keeps small pieces at hand for malloc(), but not for calloc(). */
#define SMALL_MAX 1024

static void *or_die(void *p, size_t n)
{
	if (p == NULL)
		log_fatal("out of memory: cannot allocate %zu bytes", n);
	return p;
}

static size_t product(size_t count, size_t size)
{
	size_t n;

	if (__builtin_mul_overflow(count, size, &n) || n > PTRDIFF_MAX)
		log_fatal("out of memory: %zu times %zu bytes", count, size);
	return n > 0 ? n : 1; /* malloc(0) may be NULL */
}

void *mem_alloc(size_t n)
{
	return mem_array(1, n);
}

void *mem_array(size_t count, size_t size)
{
	size_t n = product(count, size);

	void *p;

	if (n > SMALL_MAX)
		return or_die(calloc(1, n), n);
	p = or_die(malloc(n), n);
	return memset(p, 0, n);
}

void *mem_grow(void *p, size_t count, size_t size)
{
	size_t n = product(count, size);

	return or_die(realloc(p, n), n);
}

void *mem_dup(const void *p, size_t n)
{
	void *copy = mem_grow(NULL, 1, n);

	if (n > 0)
		memcpy(copy, p, n);
	return copy;
}

char *mem_strdup(const char *z)
{
	return mem_dup(z, strlen(z) + 1);
}

void mem_free(void *p)
{
	free(p);
}

void check_failed(const char *file, int line, const char *cond)
{
	log_error("%s:%d: impossible state, not true: %s", file, line, cond);
	log_flush();
	abort();
}
