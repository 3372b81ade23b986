/* mta/smtpd/limit_fleet.c - counters in Redis: a number that goes with its period, and a sorted set of connections by when they are no longer
 * believed, so that those of a gateway that died do not count for ever. */
#include "mta/smtpd/limit_fleet.h"

#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/service/redis_conf.h"
#include "mta/smtpd/settings.h"

#define BELIEVED_MIN_MS 600000 /* a connection, at least */

static struct {
	struct redis *redis; /* NULL: off */
	struct buf prefix;   /* of keys, the service's name included */
	uint64_t number;     /* of the last connection */
} fleet;

static const char count_script[] = "local n = redis.call('INCR', KEYS[1]) "
				   "if n == 1 then redis.call('PEXPIRE', KEYS[1], ARGV[1]) end "
				   "return n";

static const char connect_script[] = "redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', ARGV[1]) "
				     "redis.call('ZADD', KEYS[1], ARGV[2], ARGV[3]) "
				     "redis.call('PEXPIRE', KEYS[1], ARGV[4]) "
				     "return redis.call('ZCARD', KEYS[1])";

void fleet_init(const struct conf *c, const char *service)
{
	struct err e = ERR_INIT;
	struct str name = str_z(service), port = str_skip(name, (size_t)(str_rchr(name, ':') + 1)); /* hosts have addresses of their own */

	if (!conf_bool(c, "smtpd_client_limits_shared"))
		return;
	if (redis_configured(c, &fleet.redis, &e) < 0)
		log_fatal("%s", e.text);
	if (fleet.redis == NULL)
		log_warn("smtpd_client_limits_shared: there is no redis_server to share with");
	buf_addf(&fleet.prefix, "%slimit:%.*s:", conf_str(c, "redis_key_prefix"), STRF(port));
}

static struct str key(struct arena *a, const char *what, uint64_t client)
{
	struct str prefix = buf_str(&fleet.prefix);

	return arena_printf(a, "%.*s%s:%016llx", STRF(prefix), what, (unsigned long long)client);
}

static struct str number(struct arena *a, int64_t n)
{
	return arena_printf(a, "%lld", (long long)n);
}

/* Runs the script and frees a. */
static uint64_t ask(struct arena *a, const char *script, size_t count, const struct str *words)
{
	struct redis_value v;
	struct err e = ERR_INIT;
	uint64_t n = 0;

	if (redis_script(fleet.redis, a, script, 1, count, words, &v, &e) == 0 && v.type == REDIS_INTEGER && v.integer > 0)
		n = (uint64_t)v.integer;
	arena_free(a);
	return n;
}

uint64_t fleet_count(const char *what, uint64_t client)
{
	struct arena *a;
	struct str words[2];

	if (fleet.redis == NULL)
		return 0;
	a = arena_new("fleet");
	words[0] = key(a, what, client);
	words[1] = number(a, cf.rate_unit_ms);
	return ask(a, count_script, 2, words);
}

uint64_t fleet_look(const char *what, uint64_t client)
{
	struct arena *a;
	struct redis_value v;
	struct err e = ERR_INIT;
	struct str words[2] = { STR_INIT("GET") };
	uint64_t n = 0;

	if (fleet.redis == NULL)
		return 0;
	a = arena_new("fleet");
	words[1] = key(a, what, client);
	if (redis_command(fleet.redis, a, 2, words, &v, &e) == 0 && v.type == REDIS_STRING)
		str_to_u64(v.text, UINT64_MAX, &n);
	arena_free(a);
	return n;
}

/* ---- connections ---- */

static struct str member(struct arena *a, uint64_t n)
{
	return arena_printf(a, "%s %ld %llu", cf.myhostname, (long)getpid(), (unsigned long long)n);
}

uint64_t fleet_connect(uint64_t client, uint64_t *n)
{
	int64_t now = clock_wall_us() / 1000, life = 2 * cf.timeout_ms > BELIEVED_MIN_MS ? 2 * cf.timeout_ms : BELIEVED_MIN_MS;
	struct arena *a;
	struct str words[5];

	if (fleet.redis == NULL)
		return 0;
	*n = ++fleet.number;
	a = arena_new("fleet");
	words[0] = key(a, "connections", client);
	words[1] = number(a, now);
	words[2] = number(a, now + life);
	words[3] = member(a, *n);
	words[4] = number(a, life);
	return ask(a, connect_script, 5, words);
}

void fleet_disconnect(uint64_t client, uint64_t n)
{
	struct arena *a;
	struct redis_value v;
	struct err e = ERR_INIT;
	struct str words[3] = { STR_INIT("ZREM") };

	if (fleet.redis == NULL || n == 0)
		return;
	a = arena_new("fleet");
	words[1] = key(a, "connections", client);
	words[2] = member(a, n);
	(void)redis_command(fleet.redis, a, 3, words, &v, &e); /* it ends by itself in time */
	arena_free(a);
}
