/* mta/qmgr/transport.c - transports by name: limits, the pool of connections to their agents, and rest for broken ones. */
#include "mta/qmgr/qmgr.h"

#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/conf/master_cf.h"

#define POOL_IDLE_MAX 100
#define CLOG_SHARE 5 /* a destination with this part of all messages clogs the queue */
#define POOL_IDLE_MS 30000
#define POOL_TTL_MS 600000

/* The maxproc column of the transport's row in master.cf. */
static unsigned process_limit(const char *name)
{
	struct arena *a = arena_new("master.cf");
	struct err e = ERR_INIT;
	struct service_row *rows;
	size_t count = 0;
	int64_t limit = -1;

	if (master_cf_load(conf_dir(qmgr.conf), a, &rows, &count, &e) < 0)
		log_warn("%s", e.text);
	for (size_t i = 0; i < count; i++)
		if (rows[i].type == SERVICE_UNIX && strcmp(rows[i].name, name) == 0)
			limit = rows[i].max_clients;
	arena_free(a);
	return (unsigned)(limit < 0 ? conf_int(qmgr.conf, "default_process_limit") : limit);
}

static void read_feedback(const char *name, const char *suffix, struct feedback *out)
{
	const char *text = conf_transport_str(qmgr.conf, name, suffix);

	if (feedback_parse(str_z(text), out))
		return;
	log_warn("bad value of %s_%s: \"%s\", using 1", name, suffix, text);
	*out = (struct feedback){ 1, FEEDBACK_FIXED };
}

static void read_settings(struct transport *t)
{
	const struct conf *c = qmgr.conf;

	t->rules.limit = (unsigned)conf_transport_int(c, t->name, "destination_concurrency_limit");
	t->rules.initial = (unsigned)conf_transport_int(c, t->name, "initial_destination_concurrency");
	t->rules.cohort_limit = (double)conf_transport_int(c, t->name, "destination_concurrency_failed_cohort_limit");
	read_feedback(t->name, "destination_concurrency_positive_feedback", &t->rules.positive);
	read_feedback(t->name, "destination_concurrency_negative_feedback", &t->rules.negative);
	t->slots.cost = conf_transport_int(c, t->name, "delivery_slot_cost");
	t->slots.loan = conf_transport_int(c, t->name, "delivery_slot_loan");
	t->slots.discount = conf_transport_int(c, t->name, "delivery_slot_discount");
	t->slots.minimum = conf_transport_int(c, t->name, "minimum_delivery_slots");
	t->rcpt_limit = (size_t)conf_transport_int(c, t->name, "destination_recipient_limit");
	t->dest_delay_ms = conf_transport_time_ms(c, t->name, "destination_rate_delay");
	t->delay_ms = conf_transport_time_ms(c, t->name, "transport_rate_delay");
	t->process_limit = t->delay_ms > 0 ? 1 : process_limit(t->name);
	if (t->dest_delay_ms > 0)
		t->rules.limit = t->rules.initial = 1;
}

struct transport *transport_get(struct str name)
{
	struct transport *t = map_get(qmgr.transports, name);
	struct buf b = { 0 };

	if (t != NULL)
		return t;
	t = mem_alloc(sizeof *t);
	buf_add(&b, name);
	t->name = mem_strdup(buf_z(&b));
	buf_clear(&b);
	buf_addf(&b, "unix:private/%s", t->name);
	t->pool = pool_new(buf_z(&b), POOL_IDLE_MAX, POOL_IDLE_MS, POOL_TTL_MS);
	buf_done(&b);
	t->dests = map_new();
	sched_init(t);
	read_settings(t);
	map_put(qmgr.transports, name, t);
	return t;
}

bool transport_usable(struct transport *t)
{
	if (t->dead_until != 0 && (qmgr.forget_dead || clock_mono_ms() >= t->dead_until))
		t->dead_until = 0;
	return t->dead_until == 0;
}

/* The agent crashed, or cannot be reached: everything for it waits a while. */
void transport_fail(struct transport *t, const char *text)
{
	struct str key;
	size_t at = 0;
	void *d;

	if (t->dead_until != 0)
		return;
	t->dead_until = clock_mono_ms() + qmgr.set.transport_retry_ms;
	t->dead_text = text;
	while (map_next(t->dests, &at, &key, &d)) {
		dest_defer_all(d, CODE(0, 4, 3, 0), text, true);
		dest_free_if_idle(d);
	}
}

void transport_forget_dead(void)
{
	qmgr.forget_dead = true;
	transport_sweep();
	qmgr.forget_dead = false;
}

void transport_sweep(void)
{
	struct str name, key;
	size_t at = 0, dest_at;
	void *t, *d;

	while (map_next(qmgr.transports, &at, &name, &t)) {
		(void)transport_usable(t);
		dest_at = 0;
		while (map_next(((struct transport *)t)->dests, &dest_at, &key, &d))
			if (dest_usable(d))
				dest_free_if_idle(d);
	}
}

/* ---- what takes the room? ---- */

static const struct dest *busiest(void)
{
	const struct dest *most = NULL;
	struct str name, key;
	size_t at = 0, dest_at;
	void *t, *d;

	while (map_next(qmgr.transports, &at, &name, &t)) {
		dest_at = 0;
		while (map_next(((struct transport *)t)->dests, &dest_at, &key, &d))
			if (most == NULL || ((struct dest *)d)->pending > most->pending)
				most = d;
	}
	return most;
}

void transport_warn_of_clog(void)
{
	static int64_t next_ms;
	const struct dest *d;
	size_t count = map_count(qmgr.messages);

	if (qmgr.set.clog_ms <= 0 || clock_mono_ms() < next_ms)
		return;
	d = busiest();
	if (d == NULL || (size_t)d->pending * CLOG_SHARE < count)
		return;
	next_ms = clock_mono_ms() + qmgr.set.clog_ms;
	log_warn("mail for %.*s is using up %u of %zu active queue entries", STRF(d->key), d->pending, count);
	log_warn("other mail waits for it: raise %s_destination_concurrency_limit (now %u) or the process limit of %s in master.cf, or give "
		 "the destination a transport of its own",
		d->transport->name, d->transport->rules.limit, d->transport->name);
}
