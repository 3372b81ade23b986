/* mta/smtpd/crowd.c - the choice of who has to leave, or to stay out, when there are more clients than the service may have. */
#include "mta/smtpd/crowd.h"

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/map.h"
#include "lib/base/mem.h"
#include "lib/net/fiber.h"
#include "lib/service/service.h"
#include "mta/smtpd/limit.h"
#include "mta/smtpd/settings.h"

#define BUSY_MS 1000       /* a client that spoke this short a time ago is at work: round trips of far networks take that long */
#define SILENT_MS 10000    /* as smtpd_timeout under stress: silent clients go, whoever they are */
#define PATIENCE_MS 30000  /* of a newcomer */
#define STRESS_MS 60000    /* how long stress lasts after somebody found no room */
#define LOOK_AGAIN_MS 1000 /* at what happens in other workers: they do not tell */

struct holder { /* one client's sessions in this worker: those let in, and those that wait to be */
	uint64_t key;
	unsigned count;
};

static struct map *holders;
static struct list inside;
static struct waitq room;

void crowd_init(void)
{
	holders = map_new();
	list_init(&inside);
	waitq_init(&room);
}

/* ---- holders ---- */

static struct str key_of(const uint64_t *key)
{
	return str_n((const char *)key, sizeof *key);
}

static struct holder *hold(struct session *s)
{
	uint64_t key = limit_client_key(s);
	struct holder *h = map_get(holders, key_of(&key));

	if (h == NULL) {
		h = mem_alloc(sizeof *h);
		h->key = key;
		map_put(holders, key_of(&key), h);
	}
	h->count++;
	return h;
}

static void let_go(struct session *s)
{
	struct holder *h = s->holder;

	s->holder = NULL;
	if (h == NULL || --h->count > 0)
		return;
	map_del(holders, key_of(&h->key));
	mem_free(h);
}

static unsigned heaviest(void)
{
	unsigned most = 0;

	for (const struct list *l = inside.next; l != &inside; l = l->next) {
		const struct session *s = LIST_OWNER(l, struct session, crowd);

		if (!s->exempt && s->holder->count > most)
			most = s->holder->count;
	}
	return most;
}

/* ---- stress ---- */

/* Settings change for all at once, as soon as there is no room, and back when there was room for a while. */
static void adapt(void)
{
	bool on = limit_full_ago() < STRESS_MS;

	if (settings_stress(on))
		log_info("service \"%s\": settings %s stress", service_name(), on ? "for" : "as without");
}

/* ---- who goes ---- */

/* The longest silence among sessions of clients that hold at least this many. */
static struct session *silent_longest(unsigned at_least, int64_t ms)
{
	struct session *found = NULL;
	int64_t latest = clock_mono_ms() - ms;

	for (struct list *l = inside.next; l != &inside; l = l->next) {
		struct session *s = LIST_OWNER(l, struct session, crowd);
		int64_t since = stream_waiting_since(s->io);

		if (s->exempt || s->holder->count < at_least || since == 0 || since > latest)
			continue;
		found = s;
		latest = since;
	}
	return found;
}

static void evict(struct session *s)
{
	s->evicted = true;
	list_del(&s->crowd);
	let_go(s);
	stream_end_input(s->io);
}

static bool full(void)
{
	unsigned limit = service_max_clients();

	return limit > 0 && limit_full(limit);
}

/* True: somebody leaves. heavier: the client that holds most, holds more than the newcomer. */
static bool make_room(bool heavier, unsigned most)
{
	struct session *victim = heavier ? silent_longest(most, BUSY_MS) : NULL;

	if (victim == NULL)
		victim = silent_longest(0, SILENT_MS);
	if (victim != NULL)
		evict(victim);
	return victim != NULL;
}

static bool wait_for_room(struct session *s)
{
	int64_t by = deadline_in(PATIENCE_MS);
	struct err e = ERR_INIT;
	bool exempt = matchlist_addr(cf.limit_exempt, s->client.addr, &e) == TABLE_FOUND;

	while (full()) {
		unsigned most = heaviest(), own = s->holder->count;

		limit_note_full();
		adapt();
		if (service_draining() || clock_mono_ms() >= by || (!exempt && own > 1 && own >= most))
			return false;
		if (make_room(exempt || own < most, most))
			return true;
		limit_want_room();
		waitq_wait(&room, deadline_in(LOOK_AGAIN_MS));
	}
	return true;
}

/* Clients without a message under way hear of the end now, not when they speak next. */
static void end_idle(void)
{
	for (struct list *l = inside.next; l != &inside; l = l->next) {
		struct session *s = LIST_OWNER(l, struct session, crowd);

		if (!s->t.open && stream_waiting_since(s->io) != 0)
			stream_end_input(s->io);
	}
}

static void watch(void *arg)
{
	(void)arg; /* there is one crowd */
	while (!service_stopping()) {
		fiber_sleep(LOOK_AGAIN_MS);
		adapt();
		if (limit_room_wanted(LOOK_AGAIN_MS) && full())
			make_room(heaviest() > 1, heaviest());
	}
	end_idle();
}

void crowd_start(void)
{
	fiber_start("crowd", watch, NULL);
}

/* ---- in and out ---- */

static void turn_away(struct session *s)
{
	session_log(s, "reject", STR("421 4.3.2 All server ports are busy"));
	session_reply(s, CODE(421, 4, 3, 2), "%s Error: all server ports are busy", cf.myhostname);
}

bool crowd_enter(struct session *s)
{
	s->holder = hold(s);
	if (full()) {
		service_tell_full();
		if (!wait_for_room(s)) {
			turn_away(s);
			return false;
		}
	}
	s->in_crowd = true;
	limit_session_count(1);
	list_add_tail(&inside, &s->crowd);
	return true;
}

void crowd_leave(struct session *s)
{
	if (s->in_crowd) {
		list_del(&s->crowd);
		limit_session_count(-1);
		waitq_wake_one(&room);
	}
	let_go(s);
}
