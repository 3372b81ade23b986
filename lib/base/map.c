/* lib/base/map.c - hash map with open addressing and linear probing.
 * A deleted entry leaves a mark, so that probing goes on over it and map_next() can go on behind it; marks in front of
 * an empty slot are emptied at once, the others when the table is rebuilt.
 */
#include "lib/base/map.h"

#include <stdint.h>

#include "lib/base/hash.h"
#include "lib/base/mem.h"

#define SLOTS_FIRST 8 /* a power of two */

struct slot {
	uint64_t hash;
	char *key; /* NULL: no entry */
	size_t key_size;
	void *value; /* without an entry: non-NULL marks a deleted one */
};

struct map {
	struct slot *slots;
	size_t slot_count; /* a power of two */
	size_t used;       /* entries and marks */
	size_t count;
};

static char mark;

struct map *map_new(void)
{
	struct map *m = mem_alloc(sizeof *m);

	m->slot_count = SLOTS_FIRST;
	m->slots = mem_array(m->slot_count, sizeof *m->slots);
	return m;
}

void map_free(struct map *m, void (*value_free)(void *))
{
	if (m == NULL)
		return;
	for (size_t i = 0; i < m->slot_count; i++) {
		if (m->slots[i].key != NULL && value_free != NULL)
			value_free(m->slots[i].value);
		mem_free(m->slots[i].key);
	}
	mem_free(m->slots);
	mem_free(m);
}

static bool slot_empty(const struct slot *s)
{
	return s->key == NULL && s->value == NULL;
}

static bool slot_has(const struct slot *s, uint64_t hash, struct str key)
{
	return s->key != NULL && s->hash == hash && str_eq((struct str){ s->key, s->key_size }, key);
}

/* The entry with this key, or the empty slot where the search ended. */
static struct slot *find(const struct map *m, uint64_t hash, struct str key)
{
	size_t i = hash & (m->slot_count - 1);

	while (!slot_empty(&m->slots[i]) && !slot_has(&m->slots[i], hash, key))
		i = (i + 1) & (m->slot_count - 1);
	return &m->slots[i];
}

/* A new table, at most half full, without marks. */
static void rebuild(struct map *m)
{
	struct slot *old = m->slots;
	size_t old_count = m->slot_count;

	m->slot_count = SLOTS_FIRST;
	while (m->slot_count < (m->count + 1) * 2)
		m->slot_count *= 2;
	m->slots = mem_array(m->slot_count, sizeof *m->slots);
	m->used = m->count;
	for (size_t i = 0; i < old_count; i++) {
		if (old[i].key != NULL)
			*find(m, old[i].hash, (struct str){ old[i].key, old[i].key_size }) = old[i];
	}
	mem_free(old);
}

void *map_get(const struct map *m, struct str key)
{
	return find(m, hash_bytes(key), key)->value; /* an empty slot's value is NULL */
}

void *map_put(struct map *m, struct str key, void *value)
{
	uint64_t hash = hash_bytes(key);
	struct slot *s = find(m, hash, key);
	void *old = s->value;

	check(value != NULL);
	if (s->key != NULL) {
		s->value = value;
		return old;
	}
	if ((m->used + 1) * 4 > m->slot_count * 3) {
		rebuild(m);
		s = find(m, hash, key);
	}
	*s = (struct slot){ hash, mem_dup(key.p, key.n), key.n, value };
	m->used++;
	m->count++;
	return NULL;
}

/* Empty the marks that end at slot i, when nothing is probed over them. */
static void sweep(struct map *m, size_t i)
{
	size_t mask = m->slot_count - 1;

	if (!slot_empty(&m->slots[(i + 1) & mask]))
		return;
	while (m->slots[i].key == NULL && m->slots[i].value != NULL) {
		m->slots[i].value = NULL;
		m->used--;
		i = (i - 1) & mask;
	}
}

void *map_del(struct map *m, struct str key)
{
	struct slot *s = find(m, hash_bytes(key), key);
	void *old = s->value;

	if (s->key == NULL)
		return NULL;
	mem_free(s->key);
	*s = (struct slot){ 0, NULL, 0, &mark };
	m->count--;
	sweep(m, (size_t)(s - m->slots));
	return old;
}

size_t map_count(const struct map *m)
{
	return m->count;
}

bool map_next(const struct map *m, size_t *at, struct str *key, void **value)
{
	while (*at < m->slot_count) {
		const struct slot *s = &m->slots[(*at)++];

		if (s->key == NULL)
			continue;
		*key = (struct str){ s->key, s->key_size };
		*value = s->value;
		return true;
	}
	return false;
}
