/* mta/explain/share.c - from the ring to a Redis stream, in the order of the ring: what Redis could not take waits there. An entry holds the
 * lines of a moment; entries go when they are older than explain_time_to_live, or too many.
 */
#include <inttypes.h>

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/net/fiber.h"
#include "lib/net/redis.h"
#include "lib/service/redis_conf.h"
#include "mta/explain/explain.h"

#define BATCH_MAX (64 * 1024)
#define PAUSE_MS 1000 /* while Redis is away */
#define GATHER_MS 100
#define TRIM_EVERY 256 /* entries between two looks at their number */

static struct {
	struct redis *redis; /* NULL: not shared */
	struct str key;
	int64_t ttl_ms;
	uint64_t size_max; /* octets in the stream, about */
	struct ring_place place;
	struct waitq more;
	bool news; /* since the last look */
	uint64_t entries, octets; /* sent so far: their mean size */
} share;

void share_init(const struct conf *c)
{
	struct err e = ERR_INIT;
	struct buf key = { 0 };

	waitq_init(&share.more);
	share.ttl_ms = conf_time_ms(c, "explain_time_to_live");
	share.size_max = (uint64_t)conf_size(c, "explain_redis_size");
	if (share.ttl_ms == 0 || share.size_max == 0 || !ring_used())
		return;
	if (redis_configured(c, &share.redis, &e) < 0)
		log_fatal("%s", e.text);
	buf_addf(&key, "%sexplain", conf_str(c, "redis_key_prefix"));
	share.key = buf_str(&key); /* for the life of the process */
}

struct reading { /* one offloaded job */
	struct buf lines;
	int rc;
	struct err e;
};

static void read_run(void *arg)
{
	struct reading *r = arg;

	r->rc = ring_read(&share.place, BATCH_MAX, &r->lines, &r->e);
}

static int command(struct arena *a, size_t argc, const struct str *argv)
{
	struct redis_value v;
	struct err e = ERR_INIT;

	if (redis_command(share.redis, a, argc, argv, &v, &e) < 0) /* Redis says itself that it is away */
		return -1;
	if (v.type == REDIS_ERROR)
		log_warn("Redis does not keep events: %.*s", STRF(v.text));
	return v.type == REDIS_ERROR ? -1 : 0;
}

/* Time alone does not bound memory. */
static void trim(struct arena *a)
{
	uint64_t keep = share.size_max / (share.octets / share.entries + 1) + 1;
	struct str words[] = { STR_INIT("XTRIM"), share.key, STR_INIT("MAXLEN"), STR_INIT("~"), arena_printf(a, "%" PRIu64, keep) };

	(void)command(a, 5, words); /* the next one will do */
}

static int send_lines(struct str lines)
{
	struct arena *a = arena_new("explain entry");
	int64_t oldest_ms = clock_wall_us() / 1000 - share.ttl_ms;
	struct str words[] = { STR_INIT("XADD"), share.key, STR_INIT("MINID"), STR_INIT("~"), arena_printf(a, "%" PRId64, oldest_ms),
		STR_INIT("*"), STR_INIT("e"), lines };
	int rc = command(a, 8, words);

	if (rc == 0) {
		share.octets += lines.n;
		if (++share.entries % TRIM_EVERY == 0)
			trim(a);
	}
	arena_free(a);
	return rc;
}

static void sharer(void *arg)
{
	(void)arg; /* there is one stream */
	for (;;) {
		struct ring_place before = share.place;
		struct reading r = { .e = ERR_INIT };

		share.news = false;
		offload(read_run, &r);
		if (r.rc < 0)
			log_warn("%s", r.e.text);
		if (r.rc <= 0) {
			if (!share.news)
				(void)waitq_wait(&share.more, DEADLINE_NEVER);
			fiber_sleep(GATHER_MS);
		} else if (send_lines(buf_str(&r.lines)) < 0) {
			share.place = before;
			fiber_sleep(PAUSE_MS);
		}
		buf_done(&r.lines);
	}
}

/* What was written before this process began was another one's to share. */
static void skip_old(void)
{
	struct reading r = { .rc = 1, .e = ERR_INIT };

	while (r.rc > 0) {
		buf_clear(&r.lines);
		offload(read_run, &r);
	}
	buf_done(&r.lines);
}

void share_start(void)
{
	if (share.redis == NULL)
		return;
	skip_old();
	fiber_start("explain share", sharer, NULL);
}

void share_wake(void)
{
	share.news = true;
	waitq_wake_all(&share.more);
}
