/* t/unit/heap.c - priority queue: order, leaving from the middle, changed priorities. */
#include "lib/base/heap.h"

#include "t/unit/tap.h"

#define COUNT 500

struct thing {
	unsigned key;
	size_t place;
};

static bool before(const void *a, const void *b)
{
	return ((const struct thing *)a)->key < ((const struct thing *)b)->key;
}

static size_t *place(void *item)
{
	return &((struct thing *)item)->place;
}

static struct thing things[COUNT];

/* All come out, none before one that it should follow. */
static size_t drain(struct heap *h, bool *ordered)
{
	unsigned last = 0;
	size_t count = 0;
	struct thing *t;

	*ordered = true;
	while ((t = heap_first(h)) != NULL) {
		*ordered = *ordered && t->key >= last;
		last = t->key;
		heap_del(h, t);
		count++;
	}
	return count;
}

int main(void)
{
	struct heap h = { .before = before, .place = place };
	unsigned seed = 1;
	bool ordered;

	ok(heap_first(&h) == NULL, "empty");
	for (size_t i = 0; i < COUNT; i++) {
		seed = seed * 1103515245 + 12345;
		things[i].key = seed >> 16 & 1023;
		heap_put(&h, &things[i]);
		heap_put(&h, &things[i]);
	}
	for (size_t i = 0; i < COUNT; i += 3)
		heap_del(&h, &things[i]);
	heap_del(&h, &things[0]);
	for (size_t i = 1; i < COUNT; i += 5) {
		things[i].key = (things[i].key * 7 + 3) & 1023;
		heap_moved(&h, &things[i]);
	}
	is_int((long long)drain(&h, &ordered), COUNT - (COUNT + 2) / 3, "what did not leave comes out once");
	ok(ordered, "in order");
	heap_put(&h, &things[0]);
	ok(heap_first(&h) == &things[0], "used again");
	heap_done(&h);
	return done_testing();
}
