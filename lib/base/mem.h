/* lib/base/mem.h - memory that cannot fail: exhaustion ends the process, the queue is the recovery plan. */
#ifndef GATEPOST_LIB_BASE_MEM_H
#define GATEPOST_LIB_BASE_MEM_H

#include <stddef.h>

void *mem_alloc(size_t n);                            /* zeroed; never NULL */
void *mem_array(size_t count, size_t size);           /* zeroed; overflow checked */
void *mem_grow(void *p, size_t count, size_t size);   /* realloc; overflow checked; new part not zeroed */
void *mem_dup(const void *p, size_t n);
char *mem_strdup(const char *z);
void mem_free(void *p);

/* Impossible states, on in every build: logs file:line and the condition, then aborts. */
#define check(cond) ((cond) ? (void)0 : check_failed(__FILE__, __LINE__, #cond))
void check_failed(const char *file, int line, const char *cond) __attribute__((noreturn));

#endif
