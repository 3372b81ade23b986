/* mta/metrics/queues.c - how many messages are in which queue, and how old the oldest is: counted from directory entries alone, by a thread,
 * seldom enough that a large queue costs no more than a twentieth of it.
 */
#include <inttypes.h>

#include "lib/base/clock.h"
#include "lib/base/metrics.h"
#include "lib/net/fiber.h"
#include "lib/queue/queue.h"
#include "mta/metrics/metrics.h"

#define FRESH_MS 5000
#define SHARE 20 /* a count that took t is good for SHARE * t */

static const char *const names[] = { "maildrop", "incoming", "active", "deferred", "hold", "corrupt" };

#define QUEUES (sizeof names / sizeof *names)

struct counted {
	size_t count[QUEUES];
	int64_t oldest_s[QUEUES]; /* 0: none */
};

static struct {
	struct counted last;
	int64_t good_until;
	bool counting;
} queues;

struct one {
	size_t count;
	int64_t oldest_s;
};

static int count_one(void *ctx, const char *path, const char *id)
{
	struct one *o = ctx;
	int64_t s = queue_id_time(id);

	(void)path; /* the id says it all */
	o->count++;
	if (s > 0 && (o->oldest_s == 0 || s < o->oldest_s))
		o->oldest_s = s;
	return 0;
}

/* In a thread. */
static void count_all(void *arg)
{
	struct counted *c = arg;
	struct err e = ERR_INIT;

	for (size_t i = 0; i < QUEUES; i++) {
		struct one o = { 0 };

		(void)queue_visit(names[i], count_one, &o, &e); /* a queue we may not see has nothing */
		c->count[i] = o.count;
		c->oldest_s[i] = o.oldest_s;
	}
}

static void refresh(void)
{
	int64_t began = clock_mono_ms();
	struct counted now = { .count = { 0 } };

	if (began < queues.good_until || queues.counting)
		return;
	queues.counting = true;
	offload(count_all, &now);
	queues.counting = false;
	queues.last = now;
	queues.good_until = clock_mono_ms() + FRESH_MS + SHARE * (clock_mono_ms() - began);
}

void queues_print(struct buf *out)
{
	int64_t now_s = clock_wall_us() / 1000000;

	refresh();
	metrics_print_head(out, "gatepost_queue_messages", "gauge", "Messages in each queue");
	for (size_t i = 0; i < QUEUES; i++)
		buf_addf(out, "gatepost_queue_messages{queue=\"%s\"} %zu\n", names[i], queues.last.count[i]);
	metrics_print_head(out, "gatepost_queue_oldest_seconds", "gauge", "Age of the oldest message in each queue");
	for (size_t i = 0; i < QUEUES; i++) {
		int64_t age = queues.last.oldest_s[i] == 0 ? 0 : now_s - queues.last.oldest_s[i];

		buf_addf(out, "gatepost_queue_oldest_seconds{queue=\"%s\"} %" PRId64 "\n", names[i], age > 0 ? age : 0);
	}
}
