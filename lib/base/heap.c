/* lib/base/heap.c - priority queue: a binary tree in an array. Places count from one. */
#include "lib/base/heap.h"

#include "lib/base/mem.h"

static void set(struct heap *h, size_t at, void *item)
{
	h->v[at - 1] = item;
	*h->place(item) = at;
}

static void rise(struct heap *h, size_t at)
{
	void *item = h->v[at - 1];

	for (; at > 1 && h->before(item, h->v[at / 2 - 1]); at /= 2)
		set(h, at, h->v[at / 2 - 1]);
	set(h, at, item);
}

static void sink(struct heap *h, size_t at)
{
	void *item = h->v[at - 1];

	for (;;) {
		size_t child = at * 2;

		if (child < h->count && h->before(h->v[child], h->v[child - 1]))
			child++;
		if (child > h->count || !h->before(h->v[child - 1], item))
			break;
		set(h, at, h->v[child - 1]);
		at = child;
	}
	set(h, at, item);
}

void heap_put(struct heap *h, void *item)
{
	if (*h->place(item) != 0)
		return;
	if (h->count == h->cap) {
		h->cap = h->cap > 0 ? h->cap * 2 : 16;
		h->v = mem_grow(h->v, h->cap, sizeof *h->v);
	}
	set(h, ++h->count, item);
	rise(h, h->count);
}

void heap_moved(struct heap *h, void *item)
{
	size_t at = *h->place(item);

	if (at == 0)
		return;
	rise(h, at);
	sink(h, *h->place(item));
}

void heap_del(struct heap *h, void *item)
{
	size_t at = *h->place(item);
	void *last;

	if (at == 0)
		return;
	*h->place(item) = 0;
	last = h->v[--h->count];
	if (last == item)
		return;
	set(h, at, last);
	heap_moved(h, last);
}

void *heap_first(const struct heap *h)
{
	return h->count > 0 ? h->v[0] : NULL;
}

void heap_done(struct heap *h)
{
	mem_free(h->v);
	h->v = NULL;
	h->count = h->cap = 0;
}
