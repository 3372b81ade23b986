/* milters/common/cache.c - the process's memory: a map and a list in order of use; the longest unused goes first. */
#include "milters/common/cache.h"

#include <pthread.h>

#include "lib/base/clock.h"
#include "lib/base/list.h"
#include "lib/base/map.h"
#include "lib/base/mem.h"

#define ROOM (16UL * 1024 * 1024) /* octets of keys, values and their keeping: some 20000 DKIM keys */
#define ENTRY_COST 160 /* octets of an entry besides key and value, about */

struct entry {
	struct list node;
	int64_t expires_at;
	struct str key, value; /* behind this struct */
};

static struct {
	pthread_mutex_t lock;
	struct map *map;
	struct list used; /* latest first */
	size_t octets;
} cache = { .lock = PTHREAD_MUTEX_INITIALIZER };

static size_t cost(const struct entry *e)
{
	return ENTRY_COST + e->key.n * 2 + e->value.n;
}

static void drop(struct entry *e)
{
	cache.octets -= cost(e);
	list_del(&e->node);
	map_del(cache.map, e->key);
	mem_free(e);
}

static struct entry *entry_new(struct str key, struct str value, int64_t seconds)
{
	struct entry *e = mem_alloc(sizeof *e + key.n + value.n);
	char *room = (char *)(e + 1);

	memcpy(room, key.p, key.n);
	memcpy(room + key.n, value.p, value.n);
	e->key = str_n(room, key.n);
	e->value = str_n(room + key.n, value.n);
	e->expires_at = deadline_in(seconds * 1000);
	return e;
}

bool cache_get(struct str key, struct buf *value)
{
	struct entry *e;

	pthread_mutex_lock(&cache.lock);
	e = cache.map == NULL ? NULL : map_get(cache.map, key);
	if (e != NULL && e->expires_at <= clock_mono_ms()) {
		drop(e);
		e = NULL;
	}
	if (e != NULL) {
		buf_add(value, e->value);
		list_del(&e->node);
		list_add_head(&cache.used, &e->node);
	}
	pthread_mutex_unlock(&cache.lock);
	return e != NULL;
}

static void put(struct entry *e)
{
	struct entry *before;

	if (cache.map == NULL) {
		cache.map = map_new();
		list_init(&cache.used);
	}
	before = map_get(cache.map, e->key);
	if (before != NULL)
		drop(before);
	map_put(cache.map, e->key, e);
	list_add_head(&cache.used, &e->node);
	cache.octets += cost(e);
	while (cache.octets > ROOM)
		drop(LIST_OWNER(cache.used.prev, struct entry, node));
}

void cache_put(struct str key, struct str value, int64_t seconds)
{
	struct entry *e;

	if (seconds <= 0 || key.n + value.n > ROOM / 16)
		return;
	e = entry_new(key, value, seconds);
	pthread_mutex_lock(&cache.lock);
	put(e);
	pthread_mutex_unlock(&cache.lock);
}
