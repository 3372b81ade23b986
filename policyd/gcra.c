/* policyd/gcra.c - the arithmetic of rate limits, in C and, the same, as a script in Redis. */
#include "policyd/gcra.h"

#define ONCE_S 3600 /* how long a message's recipients may take to come */
#define ONCE_TEXT "3600"

const char gcra_script[] = "local t = redis.call('TIME')\n"
			   "local now = tonumber(t[1]) * 1000000 + tonumber(t[2])\n"
			   "local arrivals = {}\n"
			   "for i = 1, #KEYS / 2 do\n"
			   "  local key, once = KEYS[2 * i - 1], KEYS[2 * i]\n"
			   "  if once == key or redis.call('EXISTS', once) == 0 then\n"
			   "    local period, count, burst, cost = tonumber(ARGV[4 * i - 2]), tonumber(ARGV[4 * i - 1]),\n"
			   "      tonumber(ARGV[4 * i]), tonumber(ARGV[4 * i + 1])\n"
			   "    local arrival = tonumber(redis.call('GET', key) or '0') or 0\n"
			   "    local next = math.max(arrival, now) + math.min(cost, burst) * period / count\n"
			   "    local allowed_at = next - burst * period / count\n"
			   "    if allowed_at > now + 1 then return {i, math.ceil(allowed_at - now)} end\n"
			   "    arrivals[i] = next\n"
			   "  end\n"
			   "end\n"
			   "if ARGV[1] == '1' then return {0, 0} end\n"
			   "for i, next in pairs(arrivals) do\n"
			   "  redis.call('SET', KEYS[2 * i - 1], string.format('%.0f', next), 'PX', math.ceil((next - now) / 1000) + 1)\n"
			   "  if KEYS[2 * i] ~= KEYS[2 * i - 1] then redis.call('SET', KEYS[2 * i], 1, 'EX', " ONCE_TEXT ") end\n"
			   "end\n"
			   "return {0, 0}\n";

/* In floating point: octets of a month fit in no integer product. */
static int64_t time_of(const struct gcra_limit *l, int64_t units)
{
	return (int64_t)((double)units * (double)l->period_us / (double)l->count);
}

struct gcra_answer gcra_count(const struct gcra_limit *l, int64_t cost, int64_t arrival, int64_t now)
{
	int64_t next = (arrival > now ? arrival : now) + time_of(l, cost < l->burst ? cost : l->burst);
	int64_t allowed_at = next - time_of(l, l->burst);

	if (allowed_at > now + 1)
		return (struct gcra_answer){ .allowed = false, .wait_us = allowed_at - now, .arrival = arrival };
	return (struct gcra_answer){ .allowed = true, .arrival = next };
}

static int64_t kept_arrival(struct lru *l, struct str key)
{
	struct buf kept = { 0 };
	uint64_t arrival = 0;

	if (!lru_get(l, key, &kept) || !str_to_u64(buf_str(&kept), INT64_MAX, &arrival))
		arrival = 0;
	buf_done(&kept);
	return (int64_t)arrival;
}

static bool counts(struct lru *l, const struct gcra_item *item)
{
	return item->once.n == 0 || !lru_get(l, item->once, NULL);
}

static void keep(struct lru *l, const struct gcra_item *item, int64_t now)
{
	struct gcra_answer answer = gcra_count(&item->limit, item->cost, kept_arrival(l, item->key), now);
	struct buf text = { 0 };

	buf_addf(&text, "%lld", (long long)answer.arrival);
	lru_put(l, item->key, buf_str(&text), (answer.arrival - now) / 1000000 + 1);
	buf_done(&text);
	if (item->once.n > 0)
		lru_put(l, item->once, STR_NONE, ONCE_S);
}

int gcra_in_memory(struct lru *l, const struct gcra_item *items, size_t count, bool dry, int64_t now, int64_t *wait_us)
{
	for (size_t i = 0; i < count; i++) {
		struct gcra_answer answer = gcra_count(&items[i].limit, items[i].cost, kept_arrival(l, items[i].key), now);

		if (!answer.allowed && counts(l, &items[i])) {
			*wait_us = answer.wait_us;
			return (int)i;
		}
	}
	for (size_t i = 0; i < count && !dry; i++)
		if (counts(l, &items[i]))
			keep(l, &items[i], now);
	return -1;
}
