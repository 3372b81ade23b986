/* policyd/greylist.c - one step of greylisting over memory, and the script that does the same in Redis.
 * A triplet's value is the second it was first seen, or "p" once it has passed; a network's value counts its triplets that passed, or is "a"
 * when the operator allowed it.
 */
#include "policyd/greylist.h"

const char greylist_script[] =
	"local dry = ARGV[5] == '1'\n"
	"local delay, window, life, auto = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])\n"
	"local passed = redis.call('GET', KEYS[2]) or '0'\n"
	"if passed == '" GREYLIST_ALLOWED "' or auto > 0 and (tonumber(passed) or 0) >= auto then\n"
	"  if not dry then redis.call('EXPIRE', KEYS[2], life) end\n"
	"  return {1, 0}\n"
	"end\n"
	"local now = tonumber(redis.call('TIME')[1])\n"
	"local first = redis.call('GET', KEYS[1])\n"
	"if first == '" GREYLIST_PASSED_VALUE "' then\n"
	"  if not dry then redis.call('EXPIRE', KEYS[1], life) end\n"
	"  return {1, 0}\n"
	"end\n"
	"if not first or not tonumber(first) then\n"
	"  if delay <= 0 then first = now else\n"
	"    if not dry then redis.call('SET', KEYS[1], now, 'EX', window) end\n"
	"    return {0, delay}\n"
	"  end\n"
	"end\n"
	"local waited = now - tonumber(first)\n"
	"if waited < delay then return {0, math.min(delay, delay - waited)} end\n"
	"if dry then return {2, waited} end\n"
	"redis.call('SET', KEYS[1], '" GREYLIST_PASSED_VALUE "', 'EX', life)\n"
	"redis.call('INCR', KEYS[2])\n"
	"redis.call('EXPIRE', KEYS[2], life)\n"
	"return {2, waited}\n";

static bool get_number(struct lru *l, struct str key, uint64_t *n)
{
	struct buf value = { 0 };
	bool found = lru_get(l, key, &value) && str_to_u64(buf_str(&value), INT64_MAX, n);

	buf_done(&value);
	return found;
}

static void put_number(struct lru *l, struct str key, uint64_t n, int64_t seconds)
{
	struct buf value = { 0 };

	buf_addf(&value, "%llu", (unsigned long long)n);
	lru_put(l, key, buf_str(&value), seconds);
	buf_done(&value);
}

static bool has_value(struct lru *l, struct str key, const char *wanted)
{
	struct buf value = { 0 };
	bool has = lru_get(l, key, &value) && str_eqz(buf_str(&value), wanted);

	buf_done(&value);
	return has;
}

/* May all of the network pass? Stays so for another lifetime. */
static bool network_passes(struct lru *l, struct str net, const struct greylist_times *t, uint64_t *passed)
{
	bool allowed = has_value(l, net, GREYLIST_ALLOWED), enough;

	enough = get_number(l, net, passed) && t->auto_allow > 0 && *passed >= (uint64_t)t->auto_allow;
	if (allowed && !t->dry)
		lru_put(l, net, STR(GREYLIST_ALLOWED), t->lifetime_s);
	else if (enough && !t->dry)
		put_number(l, net, *passed, t->lifetime_s);
	return allowed || enough;
}

struct greylist_answer greylist_in_memory(struct lru *l, struct str net, struct str triplet, const struct greylist_times *t, int64_t now_s)
{
	uint64_t passed = 0, first = (uint64_t)now_s;
	int64_t waited;

	if (network_passes(l, net, t, &passed))
		return (struct greylist_answer){ GREYLIST_KNOWN, 0 };
	if (has_value(l, triplet, GREYLIST_PASSED_VALUE)) {
		if (!t->dry)
			lru_put(l, triplet, STR(GREYLIST_PASSED_VALUE), t->lifetime_s);
		return (struct greylist_answer){ GREYLIST_KNOWN, 0 };
	}
	if (!get_number(l, triplet, &first) && !t->dry)
		put_number(l, triplet, first, t->window_s);
	waited = now_s - (int64_t)first;
	if (waited < t->delay_s)
		return (struct greylist_answer){ GREYLIST_WAIT, waited < 0 ? t->delay_s : t->delay_s - waited };
	if (!t->dry) {
		lru_put(l, triplet, STR(GREYLIST_PASSED_VALUE), t->lifetime_s);
		put_number(l, net, passed + 1, t->lifetime_s);
	}
	return (struct greylist_answer){ GREYLIST_PASSED, waited };
}
