/* lib/base/lru.c - a hash map over a list in order of use. */
#include "lib/base/lru.h"

#include "lib/base/clock.h"
#include "lib/base/list.h"
#include "lib/base/map.h"
#include "lib/base/mem.h"

struct entry {
	struct list node;
	int64_t expires; /* monotonic ms */
	struct buf key, value;
};

struct lru {
	struct map *map;
	struct list used; /* most recent first */
	size_t limit;
};

struct lru *lru_new(size_t entries)
{
	struct lru *l = mem_alloc(sizeof *l);

	l->map = map_new();
	list_init(&l->used);
	l->limit = entries;
	return l;
}

static void drop(struct lru *l, struct entry *e)
{
	map_del(l->map, buf_str(&e->key));
	list_del(&e->node);
	buf_done(&e->key);
	buf_done(&e->value);
	mem_free(e);
}

void lru_free(struct lru *l)
{
	while (!list_empty(&l->used))
		drop(l, LIST_OWNER(l->used.next, struct entry, node));
	map_free(l->map, NULL);
	mem_free(l);
}

bool lru_get(struct lru *l, struct str key, struct buf *value)
{
	struct entry *e = map_get(l->map, key);

	if (e == NULL)
		return false;
	if (e->expires <= clock_mono_ms()) {
		drop(l, e);
		return false;
	}
	list_del(&e->node);
	list_add_head(&l->used, &e->node);
	if (value != NULL)
		buf_add(value, buf_str(&e->value));
	return true;
}

void lru_put(struct lru *l, struct str key, struct str value, int64_t seconds)
{
	struct entry *e = map_get(l->map, key);

	if (e != NULL)
		drop(l, e);
	if (l->limit == 0 || seconds <= 0)
		return;
	if (map_count(l->map) >= l->limit)
		drop(l, LIST_OWNER(l->used.prev, struct entry, node));
	e = mem_alloc(sizeof *e);
	buf_add(&e->key, key);
	buf_add(&e->value, value);
	e->expires = deadline_in(seconds * 1000);
	list_add_head(&l->used, &e->node);
	map_put(l->map, key, e);
}

size_t lru_del(struct lru *l, struct str prefix)
{
	size_t count = 0;

	for (struct list *at = l->used.next, *next; at != &l->used; at = next) {
		struct entry *e = LIST_OWNER(at, struct entry, node);

		next = at->next;
		if (str_starts(buf_str(&e->key), prefix)) {
			drop(l, e);
			count++;
		}
	}
	return count;
}

void lru_each(struct lru *l, bool (*visit)(void *ctx, struct str key, struct str value, int64_t seconds_left), void *ctx)
{
	int64_t now = clock_mono_ms();

	for (struct list *at = l->used.next; at != &l->used; at = at->next) {
		const struct entry *e = LIST_OWNER(at, struct entry, node);

		if (e->expires > now && !visit(ctx, buf_str(&e->key), buf_str(&e->value), (e->expires - now + 999) / 1000))
			return;
	}
}

size_t lru_count(const struct lru *l)
{
	return map_count(l->map);
}
