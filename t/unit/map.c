/* t/unit/map.c - the hash map against a plain array, through growth, deletion and iteration. */
#include "lib/base/map.h"

#include "t/unit/tap.h"

#define KEYS 2000

static int values[KEYS];
static int freed;

static void count_free(void *value)
{
	(void)value;
	freed++;
}

static struct str key_of(char text[16], int i)
{
	return str_n(text, (size_t)snprintf(text, 16, "key%d", i));
}

static int wrong(const struct map *m, const bool *present)
{
	char text[16];
	int bad = 0;

	for (int i = 0; i < KEYS; i++)
		bad += map_get(m, key_of(text, i)) != (present[i] ? &values[i] : NULL);
	return bad;
}

/* Put and delete in an order that leaves marks everywhere. */
static void churn(struct map *m, bool *present)
{
	char text[16];
	unsigned x = 1;
	size_t count = 0;

	for (int round = 0; round < 50000; round++) {
		int i;

		x = x * 1103515245u + 12345u;
		i = (int)(x >> 8) % KEYS;
		if (present[i])
			map_del(m, key_of(text, i));
		else
			map_put(m, key_of(text, i), &values[i]);
		present[i] = !present[i];
	}
	for (int i = 0; i < KEYS; i++)
		count += present[i];
	is_int(wrong(m, present), 0, "contents after 50000 changes");
	is_int((long long)map_count(m), (long long)count, "count");
}

static void iterate(struct map *m, bool *present)
{
	struct str key;
	void *value;
	size_t at = 0, visits = 0, before = map_count(m);

	while (map_next(m, &at, &key, &value)) {
		int i = (int)((int *)value - values);

		visits++;
		if (i % 2 == 0) {
			map_del(m, key);
			present[i] = false;
		}
	}
	is_int((long long)visits, (long long)before, "every entry visited once, though visited ones were deleted");
	is_int(wrong(m, present), 0, "contents after it");
}

int main(void)
{
	static bool present[KEYS];
	struct map *m = map_new();
	char text[] = "gone";

	ok(map_get(m, STR("x")) == NULL && map_del(m, STR("x")) == NULL, "nothing in a new map");
	ok(map_put(m, str_z(text), &values[0]) == NULL, "a new key");
	text[0] = 'X';
	ok(map_get(m, STR("gone")) == &values[0], "keys are copied");
	ok(map_put(m, STR("gone"), &values[1]) == &values[0], "replaced");
	is_int((long long)map_count(m), 1, "still one");
	ok(map_del(m, STR("gone")) == &values[1] && map_get(m, STR("gone")) == NULL, "deleted");
	ok(map_put(m, STR_NONE, &values[2]) == NULL && map_get(m, STR("")) == &values[2], "the empty key is a key");
	ok(map_put(m, str_n("a\0b", 3), &values[3]) == NULL && map_get(m, STR("a")) == NULL, "NUL is part of a key");
	map_free(m, NULL);

	m = map_new();
	churn(m, present);
	iterate(m, present);
	map_free(m, count_free);
	ok(freed > 0 && freed < KEYS, "values freed with it: %d", freed);
	map_free(NULL, NULL);
	return done_testing();
}
