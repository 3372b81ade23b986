/* mta/smtp/deliver.c - one request: next hops and their servers in turn, until every recipient has its final result. */
#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/proto/agent.h"
#include "mta/smtp/smtp.h"

/* ---- results ---- */

static void finish(struct delivery *d, size_t rcpt)
{
	struct rcpt_state *st = &d->states[rcpt];
	struct deliver_result *res = &d->results[rcpt];

	tables_filter_status(&cfg->status_filter, d->a, d->r->m.id, &res->code, &res->text);
	res->status = deliver_status_of(res->code);
	deliver_log(d->r, rcpt, &d->results[rcpt], st->conn_use, st->connect_us);
	st->open = false;
	d->open_count--;
}

static void set_result(struct delivery *d, size_t rcpt, const struct session *s, const struct failure *f)
{
	struct deliver_result *res = &d->results[rcpt];

	*res = (struct deliver_result){ .status = f->code.c == 5 ? DELIVER_BOUNCED : DELIVER_DEFERRED, .code = f->code, .text = f->text };
	res->relay = s != NULL ? arena_dup(d->a, s->relay) : f->relay.n > 0 ? f->relay : STR("none");
	if (f->remote)
		res->remote_mta = s != NULL ? arena_dup(d->a, s->host) : f->host;
	d->states[rcpt].conn_use = s != NULL ? s->uses : 0;
	d->states[rcpt].connect_us = s != NULL ? d->connect_us : 0;
}

void delivery_fail_rcpt(struct delivery *d, size_t rcpt, const struct session *s, const struct failure *f)
{
	if (!d->states[rcpt].open)
		return;
	set_result(d, rcpt, s, f);
	d->note_due = true;
	if (f->code.c == 5)
		finish(d, rcpt);
}

/* No session came about: that says less than what an earlier server had to say about a recipient. */
static void fail_unanswered(struct delivery *d, const struct failure *f)
{
	for (size_t i = 0; i < d->r->m.rcpt_count; i++) {
		if (d->states[i].connect_us == 0)
			delivery_fail_rcpt(d, i, NULL, f);
	}
}

void delivery_fail_open(struct delivery *d, const struct session *s, const struct failure *f)
{
	for (size_t i = 0; i < d->r->m.rcpt_count; i++)
		delivery_fail_rcpt(d, i, s, f);
}

/* The same, but even a permanent reason waits: another next hop may know better. */
static void keep_reason(struct delivery *d, const struct failure *f)
{
	for (size_t i = 0; i < d->r->m.rcpt_count; i++) {
		if (d->states[i].open)
			set_result(d, i, NULL, f);
	}
}

void delivery_sent(struct delivery *d, size_t rcpt, const struct session *s)
{
	struct deliver_result *res = &d->results[rcpt];

	*res = (struct deliver_result){ .status = DELIVER_SENT, .code = s->reply.code };
	res->relay = arena_dup(d->a, s->relay);
	res->text = arena_dup(d->a, buf_str(&s->reply.text));
	res->remote_mta = arena_dup(d->a, s->host);
	res->dsn_passed = (s->offers & OFFER_DSN) && !cfg->assume_final;
	res->action = cfg->assume_final ? DELIVER_DELIVERED : DELIVER_PLAIN;
	d->states[rcpt].conn_use = s->uses;
	d->states[rcpt].connect_us = d->connect_us;
	finish(d, rcpt);
}

/* Another server will be tried for what this one did not take: say why not, once for each reason. */
static void note_reasons(struct delivery *d)
{
	struct str said = STR_NONE;

	for (size_t i = 0; d->note_due && i < d->r->m.rcpt_count; i++) {
		if (!d->states[i].open || d->results[i].text.n == 0 || str_eq(d->results[i].text, said))
			continue;
		said = d->results[i].text;
		log_info("%s: %.*s", d->r->m.id, STRF(said));
	}
	d->note_due = false;
}

/* ---- servers ---- */

/* The destination in use. */
struct place {
	const struct nexthop *hop;
	const struct security *sec;
	struct cache_use *use;
	struct sock_addr tried; /* by a kept session; len 0: none was */
	size_t sessions;
};

static enum outcome use_session(struct delivery *d, const struct place *p, struct session *s)
{
	enum outcome o;

	d->handshaken = true;
	d->connect_us = clock_wall_us();
	o = transaction_run(d, s);
	cache_put(s, p->hop, p->use);
	return o;
}

/* Connection to one server; where TLS is optional and its handshake failed, once more without. */
static struct session *open_session(struct delivery *d, const struct nexthop *hop, const struct server *server, bool best_mx,
	const struct security *sec, struct failure *why)
{
	bool refused_tls;
	struct session *s = session_open(d->a, hop, server, best_mx, sec, why, &refused_tls);

	if (s == NULL && refused_tls) {
		struct security clear = *sec;

		clear.level = TLS_NONE;
		s = session_open(d->a, hop, server, best_mx, &clear, why, &refused_tls);
	}
	return s;
}

static bool same_addr(const struct sock_addr *a, const struct sock_addr *b)
{
	return a->len == b->len && memcmp(&a->u, &b->u, a->len) == 0;
}

/* A kept session, by next hop or by server. True: it decided something. */
static bool try_kept(struct delivery *d, struct place *p, struct str key)
{
	struct session *s = cache_take(key);
	struct sock_addr addr;

	if (s == NULL)
		return false;
	addr = s->addr;
	if (use_session(d, p, s) != OUTCOME_DONE)
		return false;
	p->tried = addr;
	p->sessions++;
	return true;
}

static void try_server(struct delivery *d, struct place *p, const struct servers *list, const struct server *server)
{
	bool best_mx = list->best_mx && server->pref == list->v[0].pref;
	struct security sec = *p->sec;
	struct failure why;
	struct session *s = NULL;

	if (try_kept(d, p, cache_server_key(d->a, server, &sec)))
		return;
	if (security_for_server(d->a, p->hop, list, server, &sec, &why) == 0)
		s = open_session(d, p->hop, server, best_mx, &sec, &why);
	if (s == NULL) {
		d->last = why;
		fail_unanswered(d, &why);
		d->note_due = why.relay.n > 0; /* a refused connection was logged when it was */
		return;
	}
	use_session(d, p, s);
	p->sessions++;
}

static void try_servers(struct delivery *d, struct place *p)
{
	struct servers list;
	struct failure why = { .code = CODE(0, 0, 0, 0) };

	if (resolve_servers(d->a, p->hop, &list, &why) < 0) {
		d->loops = list.loops;
		d->last = why;
		keep_reason(d, &why);
		return;
	}
	for (size_t i = 0; i < list.count && d->open_count > 0; i++) {
		if (same_addr(&list.v[i].addr, &p->tried))
			continue;
		note_reasons(d);
		try_server(d, p, &list, &list.v[i]);
		if (cfg->mx_session_limit > 0 && p->sessions >= cfg->mx_session_limit)
			break;
	}
}

static void try_hop(struct delivery *d, struct str text)
{
	struct nexthop hop;
	struct security sec;
	struct place p = { .hop = &hop, .sec = &sec };
	struct failure why;
	struct str key;
	struct err e;

	if (nexthop_parse(text, cfg->port, !cfg->lmtp, &hop, &e) < 0) {
		failure_local(d->a, CODE(0, 4, 3, 5), &why, "%s", e.text);
		log_warn("%s: %s", d->r->m.id, e.text);
		keep_reason(d, &why);
		return;
	}
	if (security_for(d->a, &hop, d->r->m.sender, !cfg->lmtp && (d->r->m.flags & QUEUE_REQUIRETLS), &sec, &why) < 0) {
		keep_reason(d, &why);
		return;
	}
	key = cache_key(d->a, &hop, &sec);
	p.use = cache_begin(key);
	try_kept(d, &p, key);
	if (d->open_count > 0)
		try_servers(d, &p);
	cache_end(p.use);
}

/* ---- the request ---- */

static void try_all(struct delivery *d)
{
	struct str lists[] = { d->r->nexthop, str_z(cfg->fallback) };

	for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
		struct str word;

		/* A loop would go on through the fallback relay. */
		while (d->open_count > 0 && !d->loops && (word = str_word(&lists[i], ", \t\r\n")).n > 0)
			try_hop(d, word);
	}
}

/* best_mx_transport: mail that came to its destination, after all, is delivered here. It does that for all recipients or for none. */
static void deliver_here(struct delivery *d)
{
	struct deliver_request r = *d->r;
	struct deliver_answer answer;
	struct str where = str_z(cfg->best_mx_transport), transport = str_cut(&where, ':');
	struct failure why;
	struct err e = ERR_INIT;

	if (where.n > 0)
		r.nexthop = where;
	if (agent_hand_over(d->a, transport, &r, DEADLINE_NEVER, &answer, &e) < 0) {
		log_warn("%s: %s", d->r->m.id, e.text);
		failure_local(d->a, CODE(0, 4, 3, 5), &why, "mail transport unavailable");
		keep_reason(d, &why);
		return;
	}
	d->results = answer.results;
	for (size_t i = 0; i < d->r->m.rcpt_count; i++)
		d->states[i].open = false;
	d->open_count = 0;
}

void deliver_message(struct arena *a, const struct deliver_request *r, struct deliver_answer *out)
{
	struct delivery d = { .r = r, .a = a, .open_count = r->m.rcpt_count };
	struct failure nowhere = { .code = CODE(0, 4, 3, 5), .text = STR("no next hop") };

	d.results = arena_alloc(a, (r->m.rcpt_count + 1) * sizeof *d.results);
	d.states = arena_alloc(a, (r->m.rcpt_count + 1) * sizeof *d.states);
	for (size_t i = 0; i < r->m.rcpt_count; i++)
		d.states[i].open = true;
	keep_reason(&d, &nowhere);
	if (generic_envelope(&d, &nowhere) == 0)
		try_all(&d);
	else
		keep_reason(&d, &nowhere);
	if (d.loops && d.open_count == r->m.rcpt_count && *cfg->best_mx_transport != '\0')
		deliver_here(&d);
	*out = (struct deliver_answer){ .results = d.results, .count = r->m.rcpt_count };
	if (d.open_count > 0 && !d.handshaken && d.last.code.c == 4) {
		out->site_down = true;
		out->site_text = d.last.text;
		out->site_code = d.last.code;
	}
	for (size_t i = 0; i < r->m.rcpt_count; i++) {
		if (d.states[i].open)
			finish(&d, i);
	}
}
