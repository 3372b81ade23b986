/* mta/tools/gatepost/explain_find.c - which events belong together: those of a session, of its messages, and of the notifications about them.
 */
#include <stdint.h>

#include "lib/base/map.h"
#include "lib/base/mem.h"
#include "mta/tools/gatepost/explain.h"

/* Ids are numbered as they are met; numbers that belong to one story are joined (union and find). */
struct joining {
	struct map *numbers; /* id -> its number */
	uint32_t *parent;
	uint32_t count, cap;
};

static uint32_t number_of(struct joining *j, struct str id)
{
	uintptr_t n = (uintptr_t)map_get(j->numbers, id);

	if (n != 0)
		return (uint32_t)n;
	if (j->count + 1 >= j->cap) {
		j->cap = j->cap * 2 + 256;
		j->parent = mem_grow(j->parent, j->cap, sizeof *j->parent);
	}
	n = ++j->count;
	j->parent[n] = (uint32_t)n;
	map_put(j->numbers, id, (void *)n);
	return (uint32_t)n;
}

static uint32_t root_of(const struct joining *j, uint32_t n)
{
	while (j->parent[n] != n)
		n = j->parent[n] = j->parent[j->parent[n]];
	return n;
}

static void join(struct joining *j, struct str a, struct str b)
{
	uint32_t x = root_of(j, number_of(j, a)), y = root_of(j, number_of(j, b));

	if (x < y) /* the first one met stays */
		j->parent[y] = x;
	else
		j->parent[x] = y;
}

/* "sender non-delivery notification: ID", "uid=... orig_id=..." name another message. */
static struct str other_message(const struct event *e)
{
	static const struct str words[] = { STR_INIT(" notification: "), STR_INIT("orig_queue_id=") };

	for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
		ptrdiff_t at = str_find(e->line, words[i]);
		struct str id = at < 0 ? STR_NONE : str_skip(e->line, (size_t)at + words[i].n);

		at = str_any(id, "\", ");
		if (at > 0)
			return str_sub(id, 0, (size_t)at);
	}
	return STR_NONE;
}

static struct str id_of(const struct event *e)
{
	return e->sid.n > 0 ? e->sid : e->qid;
}

static void join_ids(struct joining *j, const struct events *all)
{
	for (size_t i = 0; i < all->count; i++) {
		const struct event *e = &all->v[i];
		struct str other = other_message(e);

		if (id_of(e).n == 0)
			continue;
		(void)number_of(j, id_of(e));
		if (e->sid.n > 0 && e->qid.n > 0)
			join(j, e->sid, e->qid);
		if (other.n > 0)
			join(j, id_of(e), other);
	}
}

/* ---- keys ---- */

static bool contains(struct str text, struct str word)
{
	for (size_t i = 0; i + word.n <= text.n; i++)
		if (str_eqi(str_sub(text, i, word.n), word))
			return true;
	return false;
}

/* An id is meant whole; anything else (an address, a client, a Message-ID) may be anywhere. */
static bool mentions(const struct event *e, char **keys, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct str key = str_z(keys[i]);

		if (str_eq(e->sid, key) || str_eq(e->qid, key) || contains(e->line, key))
			return true;
	}
	return count == 0;
}

uint32_t stories_find(struct events *all, char **keys, size_t key_count)
{
	struct joining j = { .numbers = map_new() };
	uint32_t *story, found = 0;
	bool *wanted;

	join_ids(&j, all);
	story = mem_array(j.count + 1, sizeof *story);
	wanted = mem_array(j.count + 1, sizeof *wanted);
	for (size_t i = 0; i < all->count; i++)
		if (id_of(&all->v[i]).n > 0 && mentions(&all->v[i], keys, key_count))
			wanted[root_of(&j, number_of(&j, id_of(&all->v[i])))] = true;
	for (size_t i = 0; i < all->count; i++) {
		uint32_t root = id_of(&all->v[i]).n == 0 ? 0 : root_of(&j, number_of(&j, id_of(&all->v[i])));

		if (root != 0 && wanted[root] && story[root] == 0)
			story[root] = ++found;
		all->v[i].story = root == 0 ? 0 : story[root];
	}
	map_free(j.numbers, NULL);
	mem_free(j.parent);
	mem_free(story);
	mem_free(wanted);
	return found;
}
