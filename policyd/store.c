/* policyd/store.c - the two levels of memory: an LRU in this process, Redis behind it. */
#include "policyd/store.h"

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/service/redis_conf.h"
#include "policyd/policyd.h"

#define CACHE_VALUE_MAX 2048 /* octets; longer ones are not worth a place */

/* The process's memory. */
static struct {
	struct redis *redis; /* NULL: none configured */
	struct lru *cache, *greylist, *rates;
	bool warned; /* that shared state is only this process's */
} store;

/* Key: theoretical arrival. Arguments: interval, burst, both in ms of Redis' clock. Answers {allowed, wait}. */
static const char gcra_script[] = "local t = redis.call('TIME')\n"
				  "local now = tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)\n"
				  "local interval, burst = tonumber(ARGV[1]), tonumber(ARGV[2])\n"
				  "local arrival = tonumber(redis.call('GET', KEYS[1]) or '0') or 0\n"
				  "local next = math.max(arrival, now) + interval\n"
				  "local allowed_at = next - burst * interval\n"
				  "if allowed_at > now then return {0, allowed_at - now} end\n"
				  "redis.call('SET', KEYS[1], string.format('%.0f', next), 'PX', next - now)\n"
				  "return {1, 0}\n";

void store_init(const struct conf *c)
{
	size_t entries = (size_t)conf_int(c, "policyd_cache_size");
	struct err e = ERR_INIT;

	store.cache = lru_new(entries);
	store.greylist = lru_new(entries > 0 ? entries : 1);
	store.rates = lru_new(entries > 0 ? entries : 1);
	if (redis_configured(c, &store.redis, &e) < 0)
		log_fatal("%s", e.text);
}

static struct str full_key(struct arena *a, struct str key)
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
	struct str words[] = { STR_INIT("GET"), full_key(a, key) };
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
	struct str words[] = { STR_INIT("SET"), full_key(a, key), value, STR_INIT("EX"), arena_printf(a, "%u", seconds) };

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

int store_greylist(
	struct arena *a, struct str net, struct str triplet, const struct greylist_times *t, struct greylist_answer *out, struct err *e)
{
	struct redis_value v;
	struct str words[] = { full_key(a, triplet), full_key(a, net), number(a, t->delay_s), number(a, t->window_s),
		number(a, t->lifetime_s), number(a, t->auto_allow) };

	if (store.redis == NULL) {
		warn_once();
		*out = greylist_in_memory(store.greylist, net, triplet, t, clock_wall_us() / 1000000);
		return 0;
	}
	if (redis_script(store.redis, a, greylist_script, 2, 6, words, &v, e) < 0 || two_integers(&v, INT32_MAX, &out->seconds, e) < 0)
		return -1;
	if (v.items[0].integer < GREYLIST_WAIT || v.items[0].integer > GREYLIST_PASSED)
		return err_temp(e, "Redis: unexpected answer of a script");
	out->state = (enum greylist_state)v.items[0].integer;
	return 0;
}

static void rate_in_memory(struct str key, const struct gcra_limit *limit, struct gcra_answer *out)
{
	struct buf kept = { 0 };
	uint64_t arrival = 0;
	int64_t now = clock_mono_ms();

	if (!lru_get(store.rates, key, &kept) || !str_to_u64(buf_str(&kept), INT64_MAX, &arrival))
		arrival = 0;
	*out = gcra_count(limit, (int64_t)arrival, now);
	buf_clear(&kept);
	buf_addf(&kept, "%lld", (long long)out->arrival);
	if (out->allowed)
		lru_put(store.rates, key, buf_str(&kept), (out->arrival - now) / 1000 + 1);
	buf_done(&kept);
}

int store_rate(struct arena *a, struct str key, const struct gcra_limit *limit, struct gcra_answer *out, struct err *e)
{
	struct redis_value v;
	int64_t interval = limit->period_ms / limit->count;
	struct str words[] = { full_key(a, key), number(a, interval > 0 ? interval : 1), number(a, limit->burst) };

	if (store.redis == NULL) {
		warn_once();
		rate_in_memory(key, limit, out);
		return 0;
	}
	if (redis_script(store.redis, a, gcra_script, 1, 3, words, &v, e) < 0 || two_integers(&v, INT64_MAX, &out->wait_ms, e) < 0)
		return -1;
	out->allowed = v.items[0].integer == 1;
	return 0;
}
