/* policyd/session.c - one client connection: attributes in, action out, until the client goes.
 * Our smtpd names the restrictions it wants evaluated and understands the answer's extra attributes; it connects to the socket in private/.
 * Anybody else (a stock Postfix, over inet) gets policyd_restrictions and a plain action: a stranger must not choose which tables are read.
 */
#include "policyd/policyd.h"

#include <string.h>
#include <sys/socket.h>

#include "lib/base/clock.h"
#include "lib/base/list.h"
#include "lib/base/log.h"
#include "lib/base/lru.h"
#include "lib/service/service.h"
#include "policyd/admin.h"
#include "policyd/allow.h"
#include "policyd/explain.h"
#include "policyd/shadow.h"

#define IDLE_MS (1000 * 1000) /* smtpd_policy_service_max_ttl: Postfix never keeps a connection longer */
#define SEND_MS (100 * 1000)
#define INSTANCES_KEPT 10000
#define INSTANCE_S 3600

struct session {
	struct list node;
	struct stream *io;
	bool trusted; /* may name restrictions */
	bool idle; /* between requests */
};

/* The process's sessions, for draining, and the messages that have their header fields already (one message, many recipients). */
static struct {
	struct list sessions;
	struct lru *instances;
} all;

struct str request_domain(struct str address)
{
	ptrdiff_t at = str_rchr(address, '@');

	return at < 0 ? STR_NONE : str_skip(address, (size_t)at + 1);
}

int64_t request_dns_deadline(const struct request *r)
{
	return deadline_min(r->deadline, deadline_in(r->settings->dns_timeout_ms));
}

void verdict_config_error(struct verdict *v)
{
	*v = (struct verdict){ .action = STR("451 4.3.5 Server configuration error"), .whole = true, .header = STR_NONE };
}

static bool after_mail(struct str state)
{
	return str_eqiz(state, "MAIL") || str_eqiz(state, "RCPT") || str_eqiz(state, "DATA") || str_eqiz(state, "BDAT") ||
	       str_eqiz(state, "END-OF-MESSAGE");
}

static unsigned facts_of(const struct request *r, struct str state)
{
	return (r->client_address.n > 0 ? FACT_CLIENT : 0u) | (r->helo.n > 0 ? FACT_HELO : 0u) | (after_mail(state) ? FACT_SENDER : 0u) |
	       (r->recipient.n > 0 ? FACT_RCPT : 0u) | (r->etrn_domain.n > 0 ? FACT_ETRN : 0u);
}

static int64_t number_of(const struct policy_request *attrs, const char *name)
{
	uint64_t n;

	return str_to_u64(policy_get(attrs, name), INT64_MAX, &n) ? (int64_t)n : 0;
}

static struct request *request_new(const struct settings *from, struct arena *life, const struct policy_request *attrs)
{
	struct request *r = arena_alloc(life, sizeof *r);

	r->settings = from;
	r->life = life;
	r->refs = 1;
	r->deadline = deadline_in(from->timeout_ms);
	r->client_address = policy_get(attrs, "client_address");
	r->client_name = policy_get(attrs, "client_name");
	r->reverse_client_name = policy_get(attrs, "reverse_client_name");
	r->helo = policy_get(attrs, "helo_name");
	r->sender = policy_get(attrs, "sender");
	r->recipient = policy_get(attrs, "recipient");
	r->etrn_domain = policy_get(attrs, "etrn_domain");
	r->sasl_username = policy_get(attrs, "sasl_username");
	r->ccert_fingerprint = policy_get(attrs, "ccert_fingerprint");
	r->ccert_pubkey_fingerprint = policy_get(attrs, "ccert_pubkey_fingerprint");
	r->instance = policy_get(attrs, "instance");
	r->state = policy_get(attrs, "protocol_state");
	r->size = number_of(attrs, "size");
	r->recipient_count = number_of(attrs, "recipient_count");
	r->facts = facts_of(r, policy_get(attrs, "protocol_state"));
	return r;
}

/* Has this message got this field already? Remembers that it has now. */
static bool header_is_new(const struct request *r, struct str field)
{
	struct buf key = { 0 };
	bool fresh;

	if (r->instance.n == 0 || r->dry)
		return true;
	buf_add(&key, r->instance);
	buf_addc(&key, '\n');
	buf_add(&key, field);
	fresh = !lru_get(all.instances, buf_str(&key), NULL);
	if (fresh)
		lru_put(all.instances, buf_str(&key), STR_NONE, INSTANCE_S);
	buf_done(&key);
	return fresh;
}

/* Our smtpd's answer: all there is to know. */
static void fill_answer(const struct request *r, const struct outcome *out, struct policy_request *answer)
{
	policy_add(answer, "action", out->verdict.action);
	if (out->answered)
		policy_add(answer, "index", arena_printf(r->life, "%zu", out->index));
	if (out->verdict.whole)
		policy_add(answer, "whole", STR("1"));
	for (size_t i = 0; i < out->header_count; i++)
		if (header_is_new(r, out->headers[i]))
			policy_add(answer, "header", out->headers[i]);
	for (size_t i = 0; r->trace != NULL && i < r->trace->count && answer->count < POLICY_ATTRS_MAX; i++)
		policy_add(answer, "reason", r->trace->lines[i]);
}

/* A stock Postfix's answer: one action. A header field is an action too, when there is no other. */
static void fill_plain_answer(const struct request *r, const struct outcome *out, struct policy_request *answer)
{
	struct str action = out->verdict.action;

	for (size_t i = 0; !out->answered && i < out->header_count; i++)
		if (header_is_new(r, out->headers[i])) {
			action = arena_printf(r->life, "PREPEND %.*s", STRF(out->headers[i]));
			break;
		}
	policy_add(answer, "action", action);
}

/* through: the asker will not come back for the rest. */
static void decide(struct request *r, struct ruleset *rules, bool through, struct outcome *out)
{
	const char *allowed = allow_reason(r);

	*out = (struct outcome){ .answered = true };
	if (rules->broken) {
		verdict_config_error(&out->verdict);
	} else if (allowed != NULL) {
		*out = (struct outcome){ .verdict = { .action = STR("DUNNO") } };
		request_trace(r, "%s: nothing else is asked", allowed);
	} else {
		(through ? evaluate_through : evaluate)(r, rules, out);
	}
}

/* The reasons are the answer. */
static int explain(struct session *s, struct request *r, struct str named, struct err *e)
{
	struct policy_request answer = { .count = 0 };
	struct ruleset *rules = ruleset_get(r->settings, named);
	const char *allowed;
	struct outcome out;

	r->dry = true;
	r->trace = arena_alloc(r->life, sizeof *r->trace);
	allowed = allow_reason(r);
	if (named.n > 0 || allowed != NULL) {
		decide(r, rules, true, &out);
		shadow_try(r, rules, &out);
	} else {
		explain_lists(r, &out);
	}
	if (out.by != NULL)
		policy_add(&answer, "by", str_z(out.by->name));
	fill_answer(r, &out, &answer);
	ruleset_unref(rules);
	return policy_send_answer(s->io, &answer, deadline_in(SEND_MS), e);
}

/* The answer to one request, and what is tried behind it. */
static int serve_request(struct session *s, struct request *r, struct str named, struct err *e)
{
	bool plain = !s->trusted || named.n == 0;
	struct ruleset *rules = ruleset_get(r->settings, plain ? r->settings->restrictions : named);
	struct policy_request answer = { .count = 0 };
	struct outcome out;
	int rc;

	decide(r, rules, plain, &out);
	if (plain)
		fill_plain_answer(r, &out, &answer);
	else
		fill_answer(r, &out, &answer);
	rc = policy_send_answer(s->io, &answer, deadline_in(SEND_MS), e);
	r->trace = NULL; /* it is on its way: nobody hears what comes now */
	shadow_try(r, rules, &out);
	ruleset_unref(rules);
	return rc;
}

/* The request's memory is given back when the last check that still works on it is done. */
static int answer_request(struct session *s, struct arena *life, const struct policy_request *attrs, struct err *e)
{
	struct request *r = request_new(s->trusted ? settings_of(policy_get(attrs, "service")) : &settings, life, attrs);
	struct str named = policy_get(attrs, "restrictions");
	bool asked_why = s->trusted && policy_get(attrs, "explain").n > 0;
	int rc;

	if (s->trusted && policy_get(attrs, "reasons").n > 0)
		r->trace = arena_alloc(r->life, sizeof *r->trace); /* for the story that smtpd tells */
	rc = asked_why ? explain(s, r, named, e) : serve_request(s, r, named, e);
	request_unref(r);
	return rc;
}

/* 0 answered, 1 the client is gone or should be, -1 with *e. */
static int one_turn(struct session *s, struct err *e)
{
	struct arena *life = arena_new("policyd request");
	struct policy_request attrs;
	int rc;

	s->idle = true;
	rc = policy_receive(s->io, life, &attrs, deadline_in(IDLE_MS), e);
	s->idle = false;
	if (rc != 0) {
		arena_free(life);
		return service_draining() ? 1 : rc;
	}
	if (s->trusted && admin_order(policy_get(&attrs, "request")) != NULL) {
		rc = admin_serve(s->io, life, admin_order(policy_get(&attrs, "request")), &attrs, e);
		arena_free(life);
		return rc;
	}
	return answer_request(s, life, &attrs, e);
}

void session_serve(struct stream *io, bool trusted)
{
	struct session s = { .io = io, .trusted = trusted };
	struct err e = ERR_INIT;
	int rc = 0;

	if (all.instances == NULL) {
		all.instances = lru_new(INSTANCES_KEPT);
		list_init(&all.sessions);
	}
	list_add_tail(&all.sessions, &s.node);
	while (rc == 0 && !service_draining())
		rc = one_turn(&s, &e);
	list_del(&s.node);
	if (rc < 0)
		log_warn("policy client: %s", e.text);
}

/* Sessions that wait for a request would keep the process for as long as their clients like. */
void session_drain(void)
{
	struct list *at;

	if (all.instances == NULL)
		return;
	for (at = all.sessions.next; at != &all.sessions; at = at->next) {
		struct session *s = LIST_OWNER(at, struct session, node);

		if (s->idle)
			shutdown(stream_fd(s->io), SHUT_RD);
	}
}
