/* lib/base/arena.h - memory with a lifetime: allocated one by one, freed all at once.
 * Lifetimes in Gatepost: the process (configuration), a session, a mail transaction, scratch. What must end
 * together with the memory (streams, fds, foreign objects) is registered with arena_defer().
 */
#ifndef GATEPOST_LIB_BASE_ARENA_H
#define GATEPOST_LIB_BASE_ARENA_H

#include <stddef.h>

#include "lib/base/str.h"

struct arena;

struct arena *arena_new(const char *label); /* label: static text, for diagnostics */
void *arena_alloc(struct arena *a, size_t n); /* zeroed, aligned for any type; never NULL */
struct str arena_dup(struct arena *a, struct str s);
char *arena_z(struct arena *a, struct str s); /* NUL-terminated copy */
struct str arena_printf(struct arena *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
struct str arena_lower(struct arena *a, struct str s);
/* Run fn(arg) at arena_reset() or arena_free(), last registered first. */
void arena_defer(struct arena *a, void (*fn)(void *), void *arg);
size_t arena_size(const struct arena *a); /* bytes held, for limits and diagnostics */
void arena_reset(struct arena *a);        /* everything goes, the arena stays; large blocks are returned */
void arena_free(struct arena *a);         /* NULL allowed */

#endif
