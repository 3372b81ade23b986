/* mta/smtp/cache.c - sessions kept open between requests of this worker: the next message to the same place needs no connection, no
 * greeting and no EHLO. Sessions wait in one list in the order in which they run out of time, and in a list for each destination. */
#include "lib/base/clock.h"
#include "lib/base/map.h"
#include "lib/base/mem.h"
#include "lib/net/fiber.h"
#include "lib/service/service.h"
#include "mta/smtp/smtp.h"

#define IDLE_MAX 500 /* sessions kept at all; with more, the oldest goes */

static struct {
	struct map *by_key; /* key -> struct place */
	struct list idle; /* all kept sessions, oldest first */
	size_t count;
	bool sweeping;
} cache;

struct place {
	struct list idle; /* by session.place_link */
};

void cache_init(void)
{
	cache.by_key = map_new();
	list_init(&cache.idle);
}

struct str cache_key(struct arena *a, const struct nexthop *hop, const struct security *sec)
{
	struct str text = arena_lower(a, hop->text);

	return arena_printf(a, "%.*s|%u|%d|%.*s", STRF(text), (unsigned)hop->port, (int)sec->level, STRF(sec->sasl_user));
}

/* Out of both lists; a destination without sessions is forgotten. */
static void unlink_session(struct session *s)
{
	struct place *p = map_get(cache.by_key, s->key);

	list_del(&s->link);
	list_del(&s->place_link);
	cache.count--;
	if (p == NULL || !list_empty(&p->idle))
		return;
	map_del(cache.by_key, s->key);
	mem_free(p);
}

static struct session *oldest(void)
{
	return list_empty(&cache.idle) ? NULL : LIST_OWNER(cache.idle.next, struct session, link);
}

static void drop_oldest(void)
{
	struct session *s = oldest();

	unlink_session(s);
	session_quit(s);
}

/* One fiber waits for the oldest session's time while there is any. */
static void sweep(void *arg)
{
	struct session *s;

	(void)arg; /* there is one cache */
	while ((s = oldest()) != NULL) {
		int64_t left = s->idle_until - clock_mono_ms();

		if (left > 0)
			fiber_sleep(left);
		else
			drop_oldest();
	}
	cache.sweeping = false;
}

struct session *cache_take(struct str key)
{
	for (struct place *p; (p = map_get(cache.by_key, key)) != NULL;) {
		struct session *s = LIST_OWNER(p->idle.prev, struct session, place_link);

		unlink_session(s);
		if (stream_idle_ok(s->io) && s->idle_until > clock_mono_ms())
			return s;
		s->broken = true;
		session_close(s);
	}
	return NULL;
}

static bool used_up(const struct session *s)
{
	return s->broken || cfg->idle_ms <= 0 || service_draining() || (cfg->reuse_count > 0 && s->uses >= cfg->reuse_count) ||
	       clock_mono_ms() - s->born_at >= cfg->reuse_ms;
}

void cache_put(struct session *s)
{
	struct place *p;

	if (used_up(s)) {
		session_quit(s);
		return;
	}
	p = map_get(cache.by_key, s->key);
	if (p == NULL) {
		p = mem_alloc(sizeof *p);
		list_init(&p->idle);
		map_put(cache.by_key, s->key, p);
	}
	s->idle_until = deadline_in(cfg->idle_ms);
	list_add_tail(&p->idle, &s->place_link);
	list_add_tail(&cache.idle, &s->link);
	if (++cache.count > IDLE_MAX)
		drop_oldest();
	if (!cache.sweeping) {
		cache.sweeping = true;
		fiber_start("smtp cache", sweep, NULL);
	}
}

void cache_close_all(void)
{
	while (oldest() != NULL)
		drop_oldest();
}
