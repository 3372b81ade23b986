/* mta/tools/gatepost/check_redis.c - check: a Redis that does not answer, or not us. */
#include "lib/net/fiber.h"
#include "lib/net/loop.h"
#include "lib/service/redis_conf.h"
#include "mta/tools/gatepost/check.h"

struct question {
	struct checking *k;
	struct redis *redis;
};

/* One command of those that mail needs, in the name of the fleet: user, password, TLS, sentinels and cluster are tried on the way. */
static void ask(void *ctx)
{
	struct question *q = ctx;
	struct checking *k = q->k;
	struct str words[] = { STR_INIT("GET"), arena_printf(k->a, "%scheck", conf_str(k->c, "redis_key_prefix")) };
	struct redis_value answer;
	struct err e = ERR_INIT;

	if (redis_command(q->redis, k->a, 2, words, &answer, &e) < 0)
		found(k, false, "redis_server", "no answer: %s", e.text);
	else if (answer.type == REDIS_ERROR)
		found(k, false, "redis_server", "Redis refuses: %.*s: are redis_user and redis_password right?", STRF(answer.text));
	redis_free(q->redis);
}

void check_redis(struct checking *k)
{
	struct question q = { .k = k };
	struct err e = ERR_INIT;

	if (redis_configured(k->c, &q.redis, &e) < 0)
		found(k, false, "redis_server", "%s", e.text);
	if (q.redis == NULL)
		return;
	loop_init();
	fiber_start("redis", ask, &q);
	loop_run();
}
