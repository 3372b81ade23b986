/* mta/qmgr/recipient.c - where do a message's recipients go? Each is resolved, then they are sorted into delivery requests: by transport,
 * by destination, as many in one as the transport takes.
 */
#include "mta/qmgr/qmgr.h"

#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/mail/addr.h"
#include "lib/mail/dsn.h"

#define TRANSPORT_NAME_MAX 100
#define NO_TRANSPORT "mail transport unavailable"

struct route {
	struct str transport, nexthop;
};

struct sorting { /* of one message's recipients into peers */
	struct message *msg;
	struct route *routes;
	struct map *peers; /* by transport and destination; NULL for a single recipient */
	struct map *seen; /* addresses, lower case */
	struct buf key;
	struct job *jobs[64];
	size_t job_count;
};

/* ---- outcomes without a delivery agent ---- */

static void settle_here(struct message *m, size_t rcpt, enum fate fate, struct code code, struct str text)
{
	struct deliver_request r = {
		.m = m->m, .active_us = m->active_us, .start_us = clock_wall_us(), .soft_bounce = qmgr.set.soft_bounce
	};
	struct deliver_result res = { .code = code, .relay = STR("none"), .text = text };
	struct outcome *o = &m->outcomes[rcpt];

	res.status = fate == FATE_SENT ? DELIVER_SENT : fate == FATE_BOUNCED ? DELIVER_BOUNCED : DELIVER_DEFERRED;
	deliver_log(&r, rcpt, &res, 0, 0);
	o->code = code;
	o->relay = res.relay;
	o->text = text;
	active_settle(m, rcpt, fate);
}

void recipient_defer(struct message *m, size_t rcpt, struct code code, struct str text)
{
	settle_here(m, rcpt, FATE_DEFERRED, code, text);
}

/* ---- resolving ---- */

/* content_filter=transport:nexthop; without a nexthop it is default_filter_nexthop, or else the recipient's domain. */
static void route_to_filter(struct message *m, size_t i, struct route *route)
{
	struct str rest = m->m.filter;

	route->transport = str_cut(&rest, ':');
	if (rest.n == 0)
		rest = str_z(qmgr.set.filter_nexthop);
	route->nexthop = rest.n > 0 ? rest : addr_split(m->m.rcpts[i].addr).domain;
}

/* Mail to the address that notifications to the postmaster come from ends here: it would go round for ever. */
static bool is_double_bounce(const struct rewrite_answer *r)
{
	return r->klass == CLASS_LOCAL && str_eqiz(addr_split(r->address).local, qmgr.set.double_bounce);
}

/* An alias whose recipients are others of this message: nothing is left but telling the sender. */
static bool is_expanded(struct message *m, size_t i)
{
	if (!(m->m.rcpts[i].notify & DSN_EXPANDED))
		return false;
	m->outcomes[i].action = DELIVER_EXPANDED;
	settle_here(m, i, FATE_SENT, CODE(250, 2, 0, 0), STR("alias expanded"));
	return true;
}

static void resolve(struct message *m, size_t i, struct route *route)
{
	struct rewrite_question q = { .sender = m->m.sender, .address = m->m.rcpts[i].addr };
	struct rewrite_answer r;
	struct err e = ERR_INIT;

	if (is_expanded(m, i))
		return;
	if (m->m.filter.n > 0 && !(m->m.flags & QUEUE_PROBE)) { /* it is for deliveries */
		route_to_filter(m, i, route);
	} else if (rewrite_ask(qmgr.rewrite, m->life, &q, &r, &e) < 0) {
		log_warn("%s: cannot resolve a recipient: %s", m->m.id, e.text);
		recipient_defer(m, i, CODE(451, 4, 3, 0), STR("address resolver failure"));
	} else if (r.temp_fail) {
		recipient_defer(m, i, CODE(451, 4, 3, 0), STR("address resolver failure"));
	} else if ((r.flags & REWRITE_ERROR) && !str_eqz(r.transport, "error")) {
		settle_here(m, i, FATE_BOUNCED, CODE(550, 5, 1, 3), STR("bad address syntax"));
	} else if (is_double_bounce(&r)) {
		settle_here(m, i, FATE_SENT, CODE(250, 2, 0, 0), STR("undeliverable postmaster notification discarded"));
	} else {
		if (r.address.n > 0)
			m->m.rcpts[i].addr = r.address;
		*route = (struct route){ r.transport, r.nexthop };
	}
}

/* ---- sorting ---- */

static bool transport_name_valid(struct str name)
{
	return name.n > 0 && name.n <= TRANSPORT_NAME_MAX && name.p[0] != '.' && str_any(name, "/ \t\r\n") < 0;
}

static bool transport_deferred(struct str name)
{
	struct str rest = str_z(qmgr.set.defer_transports), word;

	while ((word = str_word(&rest, ", \t\r\n")).n > 0)
		if (str_eqi(word, name))
			return true;
	return false;
}

/* Where one delivery takes one recipient, the unit of concurrency is the recipient's mailbox. */
static void dest_key(struct transport *t, struct str addr, struct str nexthop, struct buf *key)
{
	struct str ext;

	buf_clear(key);
	if (t->rcpt_limit == 1 && strcmp(t->name, "error") != 0 && strcmp(t->name, "retry") != 0) {
		buf_add_lower(key, addr_base(addr_split(addr).local, qmgr.set.recipient_delimiter, &ext));
		buf_addc(key, '@');
	}
	buf_add_lower(key, nexthop);
}

static struct job *job_for(struct sorting *s, struct transport *t)
{
	struct job *j;

	for (size_t i = 0; i < s->job_count; i++)
		if (s->jobs[i]->transport == t)
			return s->jobs[i];
	if (s->job_count == sizeof s->jobs / sizeof *s->jobs)
		return NULL;
	j = arena_alloc(s->msg->life, sizeof *j);
	sched_job(j, s->msg, t);
	s->jobs[s->job_count++] = j;
	return j;
}

static struct peer *peer_new(struct job *j, struct dest *d, struct str nexthop)
{
	struct peer *p = arena_alloc(j->msg->life, sizeof *p);

	p->job = j;
	p->dest = d;
	p->nexthop = nexthop;
	list_init(&p->node);
	list_init(&p->of_dest);
	list_init(&p->of_message);
	list_init(&p->batches);
	sched_ready(p);
	return p;
}

static struct peer *peer_for(struct sorting *s, struct job *j, struct dest *d, struct str nexthop)
{
	struct peer *p;

	if (s->peers == NULL)
		return peer_new(j, d, nexthop);
	buf_addc(&s->key, '\0');
	buf_addz(&s->key, j->transport->name);
	p = map_get(s->peers, buf_str(&s->key));
	if (p == NULL) {
		p = peer_new(j, d, nexthop);
		map_put(s->peers, buf_str(&s->key), p);
	}
	return p;
}

static void batch_add(struct peer *p, uint32_t rcpt)
{
	struct arena *life = p->job->msg->life;
	struct batch *b = p->open;
	size_t limit = verp_wanted(p->job->msg) ? 1 : p->job->transport->rcpt_limit;

	if (b == NULL || (limit > 0 && b->count >= limit)) {
		b = p->open = arena_alloc(life, sizeof *b);
		sched_add(p, b);
	}
	if (b->count == b->cap) {
		uint32_t *more;

		b->cap = b->cap > 0 ? b->cap * 4 : 1;
		more = arena_alloc(life, b->cap * sizeof *more);
		if (b->count > 0)
			memcpy(more, b->rcpts, b->count * sizeof *more);
		b->rcpts = more;
	}
	b->rcpts[b->count++] = rcpt;
}

static void sort_one(struct sorting *s, size_t i)
{
	struct message *m = s->msg;
	struct route *r = &s->routes[i];
	struct transport *t;
	struct dest *d;
	struct job *j;

	if (!transport_name_valid(r->transport)) {
		recipient_defer(m, i, CODE(451, 4, 3, 0), STR(NO_TRANSPORT));
		return;
	}
	if (!m->flushed && transport_deferred(r->transport)) {
		recipient_defer(m, i, CODE(451, 4, 3, 2), STR("deferred transport"));
		return;
	}
	t = transport_get(r->transport);
	if (!transport_usable(t)) {
		m->outcomes[i].soon = true;
		recipient_defer(m, i, CODE(451, 4, 3, 0), str_z(t->dead_text));
		return;
	}
	dest_key(t, m->m.rcpts[i].addr, r->nexthop, &s->key);
	d = dest_get(t, buf_str(&s->key));
	j = job_for(s, t);
	if (!dest_usable(d))
		recipient_defer(m, i, d->dead_code, arena_dup(m->life, str_z(d->dead_text)));
	else if (j == NULL)
		recipient_defer(m, i, CODE(451, 4, 3, 0), STR("too many transports for one message"));
	else
		batch_add(peer_for(s, j, d, r->nexthop), (uint32_t)i);
}

/* The same address twice, named by the same original recipient, is served once; the second one shares the first one's way, and needs no log
 * line. */
static bool seen_before(struct sorting *s, size_t i)
{
	if (s->seen == NULL)
		return false;
	buf_clear(&s->key);
	buf_add_lower(&s->key, s->msg->m.rcpts[i].addr);
	buf_addc(&s->key, '\n');
	buf_add_lower(&s->key, s->msg->m.rcpts[i].orig);
	return map_put(s->seen, buf_str(&s->key), s) != NULL;
}

static void sort_all(struct message *m, struct route *routes)
{
	struct sorting s = { .msg = m, .routes = routes };

	if (m->m.rcpt_count > 1) {
		s.peers = map_new();
		s.seen = map_new();
	}
	for (size_t i = 0; i < m->m.rcpt_count; i++) {
		if (m->outcomes[i].fate != FATE_NONE)
			continue;
		if (seen_before(&s, i))
			active_settle(m, i, FATE_SAME);
		else
			sort_one(&s, i);
	}
	if (s.peers != NULL) {
		map_free(s.peers, NULL);
		map_free(s.seen, NULL);
	}
	buf_done(&s.key);
	for (size_t i = 0; i < s.job_count; i++)
		sched_run(s.jobs[i]->transport);
}

void recipient_assign(struct message *m)
{
	struct route *routes = arena_alloc(m->life, m->m.rcpt_count * sizeof *routes + 1);

	m->in_flight++; /* nobody ends it meanwhile */
	for (size_t i = 0; i < m->m.rcpt_count && !qmgr.draining; i++)
		if (m->outcomes[i].fate == FATE_NONE)
			resolve(m, i, &routes[i]);
	if (!qmgr.draining)
		sort_all(m, routes);
	m->in_flight--;
	active_settled(m);
}
