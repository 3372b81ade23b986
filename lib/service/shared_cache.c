/* lib/service/shared_cache.c - the two levels of memory: an LRU in this process, Redis behind it. */
#include "lib/service/shared_cache.h"

#include "lib/base/log.h"
#include "lib/base/lru.h"
#include "lib/base/mem.h"
#include "lib/service/redis_conf.h"

struct shared_cache {
	struct redis *redis; /* NULL: none configured */
	struct lru *near;
	int64_t near_s;
	struct buf prefix;
};

/* One for the process, made at first use; NULL: none is configured. */
static struct redis *own_redis(const struct conf *c)
{
	static struct redis *redis;
	struct err e = ERR_INIT;

	if (redis == NULL && redis_configured(c, &redis, &e) < 0)
		log_fatal("%s", e.text);
	return redis;
}

struct shared_cache *shared_cache_new(const struct conf *c, const char *kind, size_t entries, int64_t near_ms)
{
	struct shared_cache *s = mem_alloc(sizeof *s);

	s->redis = own_redis(c);
	s->near = lru_new(entries);
	s->near_s = near_ms / 1000;
	buf_addf(&s->prefix, "%s%s", conf_str(c, "redis_key_prefix"), kind);
	return s;
}

static struct str full_key(const struct shared_cache *s, struct arena *a, struct str key)
{
	struct str prefix = buf_str(&s->prefix);

	return arena_printf(a, "%.*s%.*s", STRF(prefix), STRF(key));
}

bool shared_cache_get(struct shared_cache *s, struct arena *a, struct str key, struct str *value)
{
	struct buf found = { 0 };
	struct redis_value v;
	struct err e = ERR_INIT;
	struct str words[] = { STR_INIT("GET"), full_key(s, a, key) };
	bool known = lru_get(s->near, key, &found);

	if (known)
		*value = arena_dup(a, buf_str(&found));
	buf_done(&found);
	if (known || s->redis == NULL || redis_command(s->redis, a, 2, words, &v, &e) < 0 || v.type != REDIS_STRING)
		return known;
	*value = str_sub(v.text, 0, SHARED_CACHE_VALUE_MAX);
	lru_put(s->near, key, *value, s->near_s);
	return true;
}

void shared_cache_put(struct shared_cache *s, struct arena *a, struct str key, struct str value, int64_t seconds)
{
	struct redis_value v;
	struct err e = ERR_INIT;
	struct str words[] = { STR_INIT("SET"), full_key(s, a, key), str_sub(value, 0, SHARED_CACHE_VALUE_MAX), STR_INIT("EX"),
		arena_printf(a, "%lld", (long long)seconds) };

	if (seconds <= 0)
		return;
	lru_put(s->near, key, words[2], s->redis != NULL && s->near_s < seconds ? s->near_s : seconds);
	if (s->redis != NULL)
		(void)redis_command(s->redis, a, 5, words, &v, &e); /* a cache: not kept is fine */
}
