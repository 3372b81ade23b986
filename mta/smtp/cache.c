/* mta/smtp/cache.c - sessions kept open between requests of this worker: the next message to the same place needs no connection, no
 * greeting and no EHLO. They wait in one list in the order in which they run out of time; it is short enough to be searched.
 *
 * A session is kept for destinations the operator named, and on demand: while several requests for a place run, or follow one another
 * quickly. A lone message leaves no connection behind.
 */
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/map.h"
#include "lib/base/mem.h"
#include "lib/net/fiber.h"
#include "lib/service/service.h"
#include "mta/smtp/smtp.h"

#define IDLE_MAX 500 /* sessions kept at all; with more, the oldest goes */
#define BUSY_MS 250 /* requests for one place that begin closer together are traffic */

/* The requests for one place; remembered for BUSY_MS after the last one. */
struct cache_use {
	struct list link; /* in cache.quiet while none runs */
	struct str key; /* the map's key is a copy of it */
	unsigned running;
	bool busy; /* the latest request came soon after the one before */
	int64_t begun_at;
};

static struct {
	struct map *uses; /* key -> struct cache_use */
	struct list quiet; /* of uses without a request, oldest first */
	struct list idle; /* all kept sessions, oldest first */
	size_t count;
	bool sweeping;
} cache;

void cache_init(void)
{
	cache.uses = map_new();
	list_init(&cache.quiet);
	list_init(&cache.idle);
}

struct str cache_key(struct arena *a, const struct nexthop *hop, const struct security *sec)
{
	struct str text = arena_lower(a, hop->text);

	return arena_printf(a, "%.*s|%u|%.*s", STRF(text), (unsigned)hop->port, STRF(sec->key));
}

struct str cache_server_key(struct arena *a, const struct server *server, const struct security *sec)
{
	struct buf ip = { 0 };
	struct str key = STR_NONE;

	if (sec->shareable) {
		sock_addr_text(&server->addr, &ip);
		key = arena_printf(a, "%.*s|%s|%u|%.*s", STRF(server->host), buf_z(&ip), (unsigned)sock_addr_port(&server->addr), STRF(sec->key));
		buf_done(&ip);
	}
	return key;
}

/* ---- which places are busy ---- */

static void forget_use(struct cache_use *u)
{
	list_del(&u->link);
	map_del(cache.uses, u->key);
	mem_free((void *)(uintptr_t)u->key.p);
	mem_free(u);
}

static void forget_quiet(int64_t now)
{
	while (!list_empty(&cache.quiet)) {
		struct cache_use *u = LIST_OWNER(cache.quiet.next, struct cache_use, link);

		if (now - u->begun_at < BUSY_MS)
			return;
		forget_use(u);
	}
}

struct cache_use *cache_begin(struct str key)
{
	int64_t now = clock_mono_ms();
	struct cache_use *u = map_get(cache.uses, key);

	if (u == NULL) {
		u = mem_alloc(sizeof *u);
		u->key = str_n(mem_dup(key.p, key.n), key.n);
		list_init(&u->link);
		map_put(cache.uses, key, u);
	} else {
		u->busy = now - u->begun_at < BUSY_MS;
	}
	u->begun_at = now;
	u->running++;
	list_del(&u->link);
	forget_quiet(now);
	return u;
}

void cache_end(struct cache_use *u)
{
	if (--u->running == 0)
		list_add_tail(&cache.quiet, &u->link);
}

/* ---- kept sessions ---- */

static void unlink_session(struct session *s)
{
	list_del(&s->link);
	cache.count--;
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

/* The one used last: it is the most likely to be alive. */
static struct session *find(struct str key)
{
	for (struct list *i = cache.idle.prev; i != &cache.idle; i = i->prev) {
		struct session *s = LIST_OWNER(i, struct session, link);

		if (str_eq(s->key, key) || str_eq(s->server_key, key))
			return s;
	}
	return NULL;
}

struct session *cache_take(struct str key)
{
	struct session *s;

	while (key.n > 0 && (s = find(key)) != NULL) {
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
	return s->broken || service_draining() || (cfg->reuse_count > 0 && s->uses >= cfg->reuse_count) ||
	       clock_mono_ms() - s->born_at >= cfg->reuse_ms;
}

static bool wanted(const struct session *s, const struct nexthop *hop, const struct cache_use *u)
{
	struct err e = ERR_INIT;

	if (stream_tls(s->io) != NULL && !s->keep_tls)
		return false;
	if (cfg->cache_on_demand && (u->busy || u->running > 1))
		return true;
	return matchlist_host(cfg->cache_always, hop->host, &e) == TABLE_FOUND;
}

void cache_put(struct session *s, const struct nexthop *hop, const struct cache_use *u)
{
	if (used_up(s) || !wanted(s, hop, u)) {
		session_quit(s);
		return;
	}
	s->idle_until = deadline_in(cfg->idle_ms);
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
