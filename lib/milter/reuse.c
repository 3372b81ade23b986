/* lib/milter/reuse.c - connections to a filter that serve one client after the other (SMFIC_QUIT_NC), so that under load neither side opens
 * one for each. Only at the end of a message: libmilter ignores QUIT_NC in most other places, also behind an ABORT, and then hears nothing
 * more. And only where the very first event is answered: a connection that did not survive shows itself there, and a new one takes over
 * before the filter has heard of any message. A filter with which that keeps happening is left alone.
 */
#include "lib/base/log.h"
#include "lib/base/map.h"
#include "lib/base/mem.h"
#include "lib/milter/filter.h"
#include "lib/net/pool.h"
#include "lib/net/sock.h"

#define IDLE_MAX 32 /* connections kept in one process for one filter */
#define IDLE_MS 5000
#define PATIENCE_MS 2000 /* for the first answer: one who ignored the QUIT_NC may ignore the greeting as well */
#define FAILURES_MAX 3 /* in a row, then it is not tried again */

struct reuse {
	struct pool *pool; /* connections that agreed on exactly this: */
	struct agreement agreed;
	unsigned users; /* sessions connected to it now */
	unsigned failures; /* in a row */
};

/* Settings that offer different versions come to different agreements. */
static struct reuse *reuse_of(const struct milter_settings *set)
{
	static struct map *all; /* as many as are configured */
	struct buf key = { 0 };
	struct reuse *r;

	if (all == NULL)
		all = map_new();
	buf_addf(&key, "%u %s", set->version, set->endpoint);
	r = map_get(all, buf_str(&key));
	if (r == NULL) {
		r = mem_alloc(sizeof *r);
		map_put(all, buf_str(&key), r);
	}
	buf_done(&key);
	return r;
}

/* ---- what was agreed ---- */

static bool same_list(const char *a, const char *b)
{
	return a == b || (a != NULL && b != NULL && str_eqz(str_z(a), b));
}

static bool same(const struct agreement *a, const struct agreement *b)
{
	bool equal = a->version == b->version && a->actions == b->actions && a->protocol == b->protocol;

	for (size_t i = 0; i < MILTER_STAGES; i++)
		equal = equal && same_list(a->macros[i], b->macros[i]);
	return equal;
}

/* Whoever negotiates something new has been configured anew: older connections are of no use. */
static void agree(struct reuse *r, const struct filter *f)
{
	if (r->pool != NULL && same(&r->agreed, &f->agreed))
		return;
	pool_free(r->pool);
	r->pool = pool_new(f->set->endpoint, IDLE_MAX, IDLE_MS, -1);
	for (size_t i = 0; i < MILTER_STAGES; i++) {
		mem_free((void *)(uintptr_t)r->agreed.macros[i]);
		r->agreed.macros[i] = NULL;
	}
	r->agreed.version = f->agreed.version;
	r->agreed.actions = f->agreed.actions;
	r->agreed.protocol = f->agreed.protocol;
	for (size_t i = 0; i < MILTER_STAGES; i++)
		if (f->agreed.macros[i] != NULL)
			r->agreed.macros[i] = mem_strdup(f->agreed.macros[i]);
}

/* ---- a session's connection ---- */

struct stream *reuse_connect(struct filter *f, struct arena *life, int64_t deadline, struct err *e)
{
	struct reuse *r = f->set->keep ? reuse_of(f->set) : NULL;
	struct stream *io;

	f->reused = false;
	if (r != NULL && r->pool != NULL && r->failures < FAILURES_MAX)
		io = pool_get(r->pool, deadline, &f->reused, e);
	else
		io = sock_connect_endpoint(str_z(f->set->endpoint), deadline, e);
	if (io == NULL || r == NULL)
		return io;
	f->counted = true;
	r->users++;
	if (!f->reused)
		return io;
	f->agreed = r->agreed;
	for (size_t i = 0; i < MILTER_STAGES; i++)
		if (f->agreed.macros[i] != NULL)
			f->agreed.macros[i] = arena_z(life, str_z(f->agreed.macros[i]));
	f->until = deadline_in(PATIENCE_MS);
	return io;
}

void reuse_left(struct filter *f)
{
	if (f->counted)
		reuse_of(f->set)->users--;
	f->counted = false;
}

void reuse_worked(struct filter *f)
{
	f->reused = false;
	f->until = 0;
	reuse_of(f->set)->failures = 0;
}

void reuse_failed(struct filter *f)
{
	struct reuse *r = reuse_of(f->set);

	f->reused = false;
	f->until = 0;
	if (++r->failures == FAILURES_MAX)
		log_info("milter %s: its connections end with the session: they are not used again", f->set->endpoint);
	pool_free(r->pool); /* the others are no better */
	r->pool = NULL;
}

bool reuse_wanted(const struct filter *f)
{
	const struct reuse *r;

	if (!f->counted || f->version < 6 || (f->protocol & (WITHOUT_CONNECT | NR_CONNECT)) != 0)
		return false;
	if ((f->state != FILTER_OPEN && f->state != FILTER_PASSED) || !f->at_end)
		return false;
	r = reuse_of(f->set);
	return r->users > 1 && r->failures < FAILURES_MAX;
}

void reuse_keep(struct filter *f)
{
	struct reuse *r = reuse_of(f->set);

	agree(r, f);
	pool_put(r->pool, f->io);
	f->io = NULL;
}
