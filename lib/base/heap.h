/* lib/base/heap.h - priority queue of pointers. An item keeps its place in it, so that it can leave or move at any time in logarithmic time.
 */
#ifndef GATEPOST_LIB_BASE_HEAP_H
#define GATEPOST_LIB_BASE_HEAP_H

#include <stdbool.h>
#include <stddef.h>

struct heap { /* all zero but for the two functions: empty */
	bool (*before)(const void *a, const void *b); /* does a come out before b? */
	size_t *(*place)(void *item); /* where the item keeps its place: 0 when it is in no heap, as it is at first */
	void **v;
	size_t count, cap;
};

void heap_put(struct heap *h, void *item); /* no effect on one that is in it */
void heap_del(struct heap *h, void *item); /* no effect on one that is not in it */
void heap_moved(struct heap *h, void *item); /* what before() says about the item has changed */
void *heap_first(const struct heap *h); /* NULL: empty */
void heap_done(struct heap *h); /* items are left alone */

#endif
