/* policyd/store_admin.c - the memory as operators see it: list, set, forget. */
#include <stdlib.h>

#include "lib/base/clock.h"
#include "policyd/policyd.h"
#include "policyd/store_parts.h"

/* Keys, or whole entries, that were found. */
struct found {
	struct arena *a;
	struct str prefix; /* as stored */
	struct store_entry *list;
	size_t count, max;
};

static struct lru *memory_of(enum store_kind kind)
{
	return kind == STORE_GREYLIST ? store.greylist : store.rates;
}

static bool take_entry(void *ctx, struct str key, struct str value, int64_t seconds_left)
{
	struct found *f = ctx;

	if (str_starts(key, f->prefix))
		f->list[f->count++] = (struct store_entry){ arena_dup(f->a, key), arena_dup(f->a, value), seconds_left };
	return f->count < f->max;
}

static bool take_key(void *ctx, struct str key)
{
	return take_entry(ctx, key, STR_NONE, 0);
}

/* A glob pattern for what begins with prefix. */
static const char *pattern_for(struct arena *a, struct str prefix)
{
	struct buf b = { 0 };
	const char *z;

	for (size_t i = 0; i < prefix.n; i++) {
		if (strchr("*?[]^\\", prefix.p[i]) != NULL)
			buf_addc(&b, '\\');
		buf_addc(&b, prefix.p[i]);
	}
	buf_addc(&b, '*');
	z = arena_z(a, buf_str(&b));
	buf_done(&b);
	return z;
}

static int ask_redis(struct arena *a, const char *verb, struct str key, struct redis_value *v, struct err *e)
{
	struct str words[] = { str_z(verb), key };

	if (redis_command(store.redis, a, 2, words, v, e) < 0)
		return -1;
	return v->type == REDIS_ERROR ? err_temp(e, "Redis: %.*s", STRF(v->text)) : 0;
}

/* What the key holds now. 1: nothing any more. */
static int fill_from_redis(struct arena *a, struct store_entry *entry, struct err *e)
{
	struct redis_value v;

	if (ask_redis(a, "GET", entry->key, &v, e) < 0)
		return -1;
	if (v.type != REDIS_STRING)
		return 1;
	entry->value = v.text;
	if (ask_redis(a, "TTL", entry->key, &v, e) < 0)
		return -1;
	entry->seconds_left = v.type == REDIS_INTEGER && v.integer > 0 ? v.integer : 0;
	entry->key = str_skip(entry->key, settings.key_prefix.n);
	return 0;
}

static int by_key(const void *a, const void *b)
{
	return str_cmp(((const struct store_entry *)a)->key, ((const struct store_entry *)b)->key);
}

/* SCAN may show a key twice. */
static int fill_all(struct found *f, struct err *e)
{
	struct str before = STR_NONE;
	size_t kept = 0;

	for (size_t i = 0; i < f->count; i++) {
		struct store_entry entry = f->list[i];
		int rc = i > 0 && str_eq(before, entry.key) ? 1 : fill_from_redis(f->a, &entry, e);

		before = f->list[i].key;
		if (rc < 0)
			return -1;
		if (rc == 0)
			f->list[kept++] = entry;
	}
	f->count = kept;
	return 0;
}

int store_list(struct arena *a, enum store_kind kind, struct str prefix, size_t max, struct store_entry **out, size_t *count, struct err *e)
{
	struct found f = { .a = a, .prefix = prefix, .list = arena_alloc(a, (max + 1) * sizeof *f.list), .max = max };
	int rc = 0;

	if (store.redis == NULL) {
		lru_each(memory_of(kind), take_entry, &f);
	} else {
		f.prefix = store_full_key(a, prefix);
		rc = redis_scan(store.redis, pattern_for(a, f.prefix), take_key, &f, e);
	}
	qsort(f.list, f.count, sizeof *f.list, by_key);
	if (rc == 0 && store.redis != NULL)
		rc = fill_all(&f, e);
	*out = f.list;
	*count = f.count;
	return rc;
}

int store_set(struct arena *a, enum store_kind kind, struct str key, struct str value, int64_t seconds, struct err *e)
{
	struct redis_value v;
	struct str words[] = { STR_INIT("SET"), store_full_key(a, key), value, STR_INIT("EX"), arena_printf(a, "%lld", (long long)seconds) };

	if (store.redis == NULL) {
		lru_put(memory_of(kind), key, value, seconds);
		return 0;
	}
	if (redis_command(store.redis, a, 5, words, &v, e) < 0)
		return -1;
	return v.type == REDIS_ERROR ? err_temp(e, "Redis: %.*s", STRF(v.text)) : 0;
}

int store_forget(struct arena *a, enum store_kind kind, struct str key, struct err *e)
{
	struct redis_value v;

	lru_del(store.cache, store_known_key(a, key));
	lru_put(memory_of(kind), key, STR_NONE, 0);
	return store.redis == NULL ? 0 : ask_redis(a, "DEL", store_full_key(a, key), &v, e);
}

bool store_is_shared(void)
{
	return store.redis != NULL;
}

int64_t store_rate_now(void)
{
	return store.redis == NULL ? clock_mono_ms() * 1000 : clock_wall_us(); /* Redis has its own wall clock */
}
