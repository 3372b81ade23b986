/* policyd/store.c - the two levels of memory: an LRU in this process, Redis behind it. */
#include "policyd/store_parts.h"

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/service/redis_conf.h"
#include "policyd/policyd.h"

#define KNOWN_S 60 /* how long a worker remembers by itself who has passed */
#define TAG_MAX 320 /* octets of a value in a key: an address */
#define CACHE_VALUE_MAX 2048 /* octets; longer ones are not worth a place */

struct store store;

int store_init(const struct conf *c, struct err *e)
{
	size_t entries = (size_t)conf_int(c, "policyd_cache_size");

	store.cache = lru_new(entries);
	store.greylist = lru_new(entries > 0 ? entries : 1);
	store.rates = lru_new(entries > 0 ? entries : 1);
	return redis_configured(c, &store.redis, e);
}

struct str store_full_key(struct arena *a, struct str key)
{
	return arena_printf(a, "%.*s%.*s", STRF(settings.key_prefix), STRF(key));
}

static void warn_once(void)
{
	if (!store.warned)
		log_warn("redis_server is not set: greylist and rates are remembered by each policyd process for itself, until it ends");
	store.warned = true;
}

bool store_cache_get(struct arena *a, struct str key, struct str *value)
{
	struct buf found = { 0 };
	struct redis_value v;
	struct err e = ERR_INIT;
	struct str words[] = { STR_INIT("GET"), store_full_key(a, key) };
	bool known = lru_get(store.cache, key, &found);

	if (known)
		*value = arena_dup(a, buf_str(&found));
	buf_done(&found);
	if (known || store.redis == NULL || redis_command(store.redis, a, 2, words, &v, &e) < 0 || v.type != REDIS_STRING)
		return known; /* Redis away: the breaker tells; the way without the cache is open */
	*value = v.text;
	return v.text.n <= CACHE_VALUE_MAX;
}

void store_cache_put(struct arena *a, struct str key, struct str value, uint32_t seconds)
{
	struct redis_value v;
	struct err e = ERR_INIT;
	struct str words[] = { STR_INIT("SET"), store_full_key(a, key), value, STR_INIT("EX"), arena_printf(a, "%u", seconds) };

	if (seconds == 0 || value.n > CACHE_VALUE_MAX)
		return;
	lru_put(store.cache, key, value, seconds);
	if (store.redis != NULL)
		(void)redis_command(store.redis, a, 5, words, &v, &e); /* a cache: not kept is fine */
}

/* Scripts answer two integers. */
static int two_integers(const struct redis_value *v, int64_t limit, int64_t *second, struct err *e)
{
	if (v->type == REDIS_ERROR)
		return err_temp(e, "Redis: %.*s", STRF(v->text));
	if (v->type != REDIS_ARRAY || v->count != 2 || v->items[0].type != REDIS_INTEGER || v->items[1].type != REDIS_INTEGER ||
		v->items[1].integer < 0 || v->items[1].integer > limit)
		return err_temp(e, "Redis: unexpected answer of a script");
	*second = v->items[1].integer;
	return 0;
}

static struct str number(struct arena *a, int64_t n)
{
	return arena_printf(a, "%lld", (long long)n);
}

struct str store_known_key(struct arena *a, struct str triplet)
{
	return arena_printf(a, "known:%.*s", STRF(triplet));
}

static int greylist_in_redis(
	struct arena *a, const struct store_greylist_keys *keys, const struct greylist_times *t, struct greylist_answer *out, struct err *e)
{
	struct str words[] = { store_full_key(a, keys->triplet), store_full_key(a, keys->net), number(a, t->delay_s), number(a, t->window_s),
		number(a, t->lifetime_s), number(a, t->auto_allow), t->dry ? STR("1") : STR("0") };
	struct redis_value v;

	if (redis_script(store.redis, a, greylist_script, 2, 7, words, &v, e) < 0 || two_integers(&v, INT32_MAX, &out->seconds, e) < 0)
		return -1;
	if (v.items[0].integer < GREYLIST_WAIT || v.items[0].integer > GREYLIST_PASSED)
		return err_temp(e, "Redis: unexpected answer of a script");
	out->state = (enum greylist_state)v.items[0].integer;
	return 0;
}

int store_greylist(struct arena *a, const struct store_greylist_keys *keys, const struct greylist_times *t, bool local,
	struct greylist_answer *out, struct err *e)
{
	struct str known = store_known_key(a, keys->triplet);

	if (store.redis != NULL && lru_get(store.cache, known, NULL)) {
		*out = (struct greylist_answer){ GREYLIST_KNOWN, 0 };
		return 0;
	}
	if (store.redis != NULL && greylist_in_redis(a, keys, t, out, e) == 0) {
		if (out->state != GREYLIST_WAIT && !t->dry)
			lru_put(store.cache, known, STR_NONE, t->lifetime_s < KNOWN_S ? t->lifetime_s : KNOWN_S);
		return 0;
	}
	if (store.redis != NULL && !local)
		return -1;
	if (store.redis == NULL)
		warn_once();
	*out = greylist_in_memory(store.greylist, keys->net, keys->triplet, t, clock_wall_us() / 1000000);
	return 0;
}

/* The items whose keys live on one server: those with the first one's tag; without a cluster, all. */
static size_t same_server(const struct gcra_item *items, size_t count)
{
	struct str tag = str_sub(items[0].key, 0, (size_t)str_chr(items[0].key, '}') + 1);
	size_t n = 1;

	if (!redis_is_cluster(store.redis))
		return count;
	while (n < count && str_starts(items[n].key, tag))
		n++;
	return n;
}

static int rate_in_redis(struct arena *a, const struct gcra_item *items, size_t count, bool dry, int *over, int64_t *wait_us, struct err *e)
{
	struct str words[2 * STORE_RATE_MAX + 1 + 4 * STORE_RATE_MAX];
	struct redis_value v;
	size_t n = 0;

	check(count <= STORE_RATE_MAX);
	for (size_t i = 0; i < count; i++) {
		words[n++] = store_full_key(a, items[i].key);
		words[n++] = store_full_key(a, items[i].once.n > 0 ? items[i].once : items[i].key);
	}
	words[n++] = dry ? STR("1") : STR("0");
	for (size_t i = 0; i < count; i++) {
		words[n++] = number(a, items[i].limit.period_us);
		words[n++] = number(a, items[i].limit.count);
		words[n++] = number(a, items[i].limit.burst);
		words[n++] = number(a, items[i].cost);
	}
	if (redis_script(store.redis, a, gcra_script, 2 * count, n, words, &v, e) < 0 || two_integers(&v, INT64_MAX, wait_us, e) < 0)
		return -1;
	if (v.items[0].integer < 0 || v.items[0].integer > (int64_t)count)
		return err_temp(e, "Redis: unexpected answer of a script");
	*over = (int)v.items[0].integer - 1;
	return 0;
}

int store_rate(struct arena *a, struct gcra_item *items, size_t count, bool dry, bool local, int *over, int64_t *wait_us, struct err *e)
{
	*over = -1;
	for (size_t at = 0, n; store.redis != NULL && at < count; at += n) {
		n = same_server(items + at, count - at);
		if (rate_in_redis(a, items + at, n, dry, over, wait_us, e) == 0) {
			if (*over >= 0)
				*over += (int)at;
			if (*over >= 0 || at + n == count)
				return 0;
			continue;
		}
		if (!local)
			return -1;
		break;
	}
	if (store.redis == NULL)
		warn_once();
	*over = gcra_in_memory(store.rates, items, count, dry, clock_mono_ms() * 1000, wait_us);
	return 0;
}

struct str store_tag(struct arena *a, struct str value)
{
	struct str tag = arena_lower(a, str_sub(value, 0, TAG_MAX));
	char *p = (char *)(uintptr_t)tag.p;

	for (size_t i = 0; i < tag.n; i++)
		if (p[i] == '{' || p[i] == '}' || (unsigned char)p[i] <= ' ')
			p[i] = '_';
	return tag;
}
