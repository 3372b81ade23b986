/* mta/smtpd/policy.c - the asking side of policy delegation: what is told about a session, retries, and what an answer leads to. */
#include "mta/smtpd/policy.h"

#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/metrics.h"
#include "lib/mail/addr.h"
#include "lib/net/fiber.h"
#include "lib/net/tls.h"
#include "lib/proto/policy.h"
#include "lib/service/service.h"
#include "mta/smtpd/action.h"
#include "mta/smtpd/resolve.h"
#include "mta/smtpd/session.h"
#include "mta/smtpd/settings.h"

#define POOL_MAX 64
#define REASONS_MAX 8000 /* octets that are told of one list */
#define CODE_TRY_LATER CODE(451, 4, 3, 0)

struct policy_service {
	struct policy_service *next;
	struct str text; /* as written in the restriction */
	const char *endpoint;
	struct pool *pool;
	int64_t timeout_ms, retry_ms, max_idle_ms, max_ttl_ms;
	int64_t try_limit, request_limit;
	struct str default_action, context;
};

static struct policy_service *services;

/* ---- settings of one service ---- */

static struct str unbrace(struct str s)
{
	s = str_trim(s);
	if (s.n >= 2 && s.p[0] == '{' && s.p[s.n - 1] == '}')
		return str_trim(str_sub(s, 1, s.n - 2));
	return s;
}

static bool set_time(struct str value, int64_t *ms)
{
	return conf_parse_time(value, 's', ms) && *ms >= 0;
}

static bool set_count(struct str value, int64_t *out)
{
	uint64_t n;

	if (!str_to_u64(value, INT32_MAX, &n))
		return false;
	*out = (int64_t)n;
	return true;
}

static int set_option(struct policy_service *p, struct str option, struct err *e)
{
	struct str value = unbrace(option), name = str_trim(str_cut(&value, '='));
	bool ok = true;

	value = arena_dup(cf.life, unbrace(value));
	if (str_eqz(name, "timeout"))
		ok = set_time(value, &p->timeout_ms);
	else if (str_eqz(name, "retry_delay"))
		ok = set_time(value, &p->retry_ms);
	else if (str_eqz(name, "max_idle"))
		ok = set_time(value, &p->max_idle_ms);
	else if (str_eqz(name, "max_ttl"))
		ok = set_time(value, &p->max_ttl_ms);
	else if (str_eqz(name, "try_limit"))
		ok = set_count(value, &p->try_limit);
	else if (str_eqz(name, "request_limit"))
		ok = set_count(value, &p->request_limit);
	else if (str_eqz(name, "default_action"))
		p->default_action = value;
	else if (str_eqz(name, "policy_context"))
		p->context = value;
	else
		return err_perm(e, "check_policy_service: no such setting: \"%.*s\"", STRF(option));
	return ok ? 0 : err_perm(e, "check_policy_service: bad value in \"%.*s\"", STRF(option));
}

static struct policy_service *service_new(struct str text)
{
	struct policy_service *p = arena_alloc(cf.life, sizeof *p);

	*p = (struct policy_service){ .next = services, .text = arena_dup(cf.life, text),
		.timeout_ms = cf.policy_timeout_ms, .retry_ms = cf.policy_retry_ms,
		.max_idle_ms = cf.policy_max_idle_ms, .max_ttl_ms = cf.policy_max_ttl_ms,
		.try_limit = cf.policy_try_limit, .request_limit = cf.policy_request_limit,
		.default_action = str_z(cf.policy_default_action), .context = str_z(cf.policy_context) };
	return p;
}

int policy_service_parse(struct arena *a, struct str text, struct policy_service **out, struct err *e)
{
	struct policy_service *p;
	struct str rest = unbrace(text), endpoint;

	(void)a; /* services live as long as the process, whoever names them */
	for (p = services; p != NULL; p = p->next)
		if (str_eq(p->text, text)) {
			*out = p;
			return 0;
		}
	p = service_new(text);
	endpoint = str_word_braced(&rest);
	if (endpoint.n == 0 || str_chr(endpoint, ':') < 0)
		return err_perm(e, "check_policy_service: \"%.*s\" is not a server", STRF(endpoint));
	p->endpoint = arena_z(cf.life, endpoint);
	for (struct str o = str_word_braced(&rest); o.n > 0; o = str_word_braced(&rest)) {
		if (set_option(p, o, e) < 0)
			return -1;
	}
	/* A server that answers once per connection must not get a second question on it. */
	p->pool = pool_new(p->endpoint, p->request_limit == 1 ? 0 : POOL_MAX, p->max_idle_ms, p->max_ttl_ms);
	services = *out = p;
	return 0;
}

/* ---- the request ---- */

static const char *state_name(const struct session *s)
{
	return strcmp(s->where, "BDAT") == 0 ? "DATA" : s->where;
}

static bool judges_message(const struct session *s)
{
	const char *state = state_name(s);

	return strcmp(state, "DATA") == 0 || strcmp(state, "END-OF-MESSAGE") == 0;
}

static struct str number(struct session *s, uint64_t n)
{
	return arena_printf(session_scratch(s), "%llu", (unsigned long long)n);
}

static struct str recipient_of(const struct session *s)
{
	if (s->t.rcpt_now.n > 0)
		return s->t.rcpt_now;
	return judges_message(s) && s->t.rcpts.count == 1 ? s->t.rcpts.v[0].addr : STR_NONE;
}

static struct str xtext(struct session *s, struct str text)
{
	struct buf b = { 0 };
	struct str kept;

	addr_xtext_encode(&b, text);
	kept = arena_dup(session_scratch(s), buf_str(&b));
	buf_done(&b);
	return kept;
}

static void add_tls(struct policy_request *q, struct session *s)
{
	const struct tls *t = stream_tls(s->io);

	policy_add(q, "ccert_subject", s->ccert.trusted ? xtext(s, s->ccert.subject) : STR_NONE);
	policy_add(q, "ccert_issuer", s->ccert.trusted ? xtext(s, s->ccert.issuer) : STR_NONE);
	policy_add(q, "ccert_fingerprint", s->ccert.fingerprint);
	policy_add(q, "ccert_pubkey_fingerprint", s->ccert.key_fingerprint);
	policy_add(q, "encryption_protocol", t != NULL ? str_z(tls_protocol(t)) : STR_NONE);
	policy_add(q, "encryption_cipher", t != NULL ? str_z(tls_cipher(t)) : STR_NONE);
	policy_add(q, "encryption_keysize", number(s, t != NULL ? (uint64_t)tls_cipher_bits(t, NULL) : 0));
}

/* Of Postfix 3.8 and 3.12. */
static void add_new(struct policy_request *q, const struct session *s)
{
	bool own;

	policy_add(q, "compatibility_level", str_z(cf.compatibility_level));
	policy_add(q, "mail_version", str_z(cf.mail_version));
	policy_add(q, "tls_sni", stream_tls(s->io) != NULL ? tls_server_name(stream_tls(s->io), &own) : STR_NONE);
}

/* The attributes of Postfix 3.7, in its order, and perhaps those since. */
static struct policy_request *build_request(struct session *s, struct str sender, struct str rcpt, struct str context)
{
	struct policy_request *q = arena_alloc(session_scratch(s), sizeof *q);

	policy_add(q, "request", STR("smtpd_access_policy"));
	policy_add(q, "protocol_state", str_z(state_name(s)));
	policy_add(q, "protocol_name", str_z(session_protocol(s)));
	policy_add(q, "client_address", s->client.addr);
	policy_add(q, "client_name", s->client.name);
	policy_add(q, "client_port", s->client.port);
	policy_add(q, "reverse_client_name", s->client.reverse);
	policy_add(q, "server_address", s->server_addr);
	policy_add(q, "server_port", s->server_port);
	policy_add(q, "helo_name", s->helo);
	policy_add(q, "sender", sender);
	policy_add(q, "recipient", rcpt);
	policy_add(q, "recipient_count", number(s, judges_message(s) ? s->t.rcpts.count : 0));
	policy_add(q, "queue_id", str_z(s->t.id));
	policy_add(q, "instance", s->t.instance);
	policy_add(q, "size", number(s, s->t.size));
	policy_add(q, "etrn_domain", s->t.etrn);
	policy_add(q, "stress", str_z(cf.stress));
	policy_add(q, "sasl_method", s->sasl_method);
	policy_add(q, "sasl_username", s->sasl_user);
	policy_add(q, "sasl_sender", s->t.auth_sender);
	add_tls(q, s);
	policy_add(q, "policy_context", context);
	if (cf.policy_new)
		add_new(q, s);
	return q;
}

static int ask(const char *server, struct pool *pool, struct session *s, const struct policy_request *q, struct policy_request *answer,
	int64_t timeout_ms, struct err *e)
{
	int64_t began_us = clock_mono_us();
	int rc = policy_ask(pool, session_scratch(s), q, answer, deadline_in(timeout_ms), e);

	metric_observe(METRIC_POLICY_SECONDS, (uint64_t)(clock_mono_us() - began_us), server, NULL);
	if (rc < 0)
		metric_count(METRIC_POLICY_FAILURES, server, NULL, NULL);
	return rc;
}

/* ---- check_policy_service ---- */

static int ask_service(struct policy_service *p, struct session *s, const struct policy_request *q, struct policy_request *answer)
{
	struct err e = ERR_INIT;

	for (int64_t tries = 1;; tries++) {
		if (ask(p->endpoint, p->pool, s, q, answer, p->timeout_ms, &e) == 0)
			return 0;
		log_warn("problem talking to server %s: %s", p->endpoint, e.text);
		if (tries >= p->try_limit)
			return -1;
		fiber_sleep(p->retry_ms);
	}
}

enum verdict check_policy_service(struct check *c, const struct rule *r)
{
	struct session *s = c->s;
	struct policy_service *p = r->policy;
	struct policy_request *q = build_request(s, s->t.sender, recipient_of(s), p->context);
	struct policy_request *answer = arena_alloc(session_scratch(s), sizeof *answer);
	struct action_source src = { .name = c->name, .klass = c->klass, .where = str_z(p->endpoint) };
	struct str action = p->default_action;

	if (ask_service(p, s, q, answer) == 0)
		action = policy_get(answer, "action");
	return action_apply(c, action, &src);
}

/* ---- policyd ---- */

static struct str run_text(struct session *s, const struct rule *rules, size_t n)
{
	struct buf b = { 0 };
	struct str text;

	for (size_t i = 0; i < n; i++)
		buf_addf(&b, "%s%.*s%s%.*s", i ? ", " : "", STRF(rules[i].word), rules[i].arg.n ? " " : "", STRF(rules[i].arg));
	text = arena_dup(session_scratch(s), buf_str(&b));
	buf_done(&b);
	return text;
}

/* Received-SPF and its like; asked for every recipient, wanted once. */
static void take_headers(struct session *s, const struct policy_request *answer)
{
	if (!s->t.open && strcmp(s->where, "MAIL") != 0)
		return;
	for (size_t i = 0; i < answer->count; i++) {
		struct str field = answer->attrs[i].value;
		bool known = !str_eqz(answer->attrs[i].name, "header");

		for (size_t k = 0; k < s->t.prepend.count && !known; k++)
			known = str_eq(s->t.prepend.v[k], field);
		if (!known)
			str_list_add(s->mail, &s->t.prepend, field);
	}
}

static void take_reasons(struct buf *story, const struct policy_request *answer)
{
	for (size_t i = 0; i < answer->count; i++)
		if (str_eqz(answer->attrs[i].name, "reason") && story->n < REASONS_MAX)
			buf_addf(story, "  %.*s\n", STRF(answer->attrs[i].value));
}

/* A permit that a forged name, a stranger's DNS or a routed address could bring about is no permit. */
static enum verdict doubt_permit(struct check *c, const struct rule *r)
{
	struct session *s = c->s;
	bool list_permit = str_startsi(r->word, STR("permit_"));

	if (r->def->flags & RULE_FORBID_OK) {
		struct str name;
		const char *klass;

		check_subject(c, r->def->about, &name, &klass);
		log_warn("restriction %.*s returns OK for %.*s", STRF(r->word), STRF(name));
		log_warn("this is not allowed for security reasons; use DUNNO instead of OK if you want to make an exception");
		return check_trouble(c, CODE(451, 4, 3, 5), "Server configuration error");
	}
	if (s->t.rcpt_now.n == 0 || s->t.rcpt_answer == NULL)
		return CHECK_OK;
	if (r->def->about == ABOUT_RCPT && (s->t.rcpt_answer->flags & REWRITE_ROUTED) && !cf.allow_untrusted_routing)
		return CHECK_DUNNO;
	return list_permit && !resolve_is_ours(s->t.rcpt_answer) ? CHECK_DUNNO : CHECK_OK;
}

static enum verdict obey(struct check *c, const struct rule *r, const struct policy_request *answer)
{
	struct action_source src = { .whole = str_eqz(policy_get(answer, "whole"), "1"), .where = r->arg };
	enum verdict v;

	check_subject(c, r->def->about, &src.name, &src.klass);
	v = action_apply(c, policy_get(answer, "action"), &src);
	return v == CHECK_OK && !c->s->t.discard ? doubt_permit(c, r) : v;
}

/* An attribute that is missing says as much, to policyd. */
static void leave_out_empty(struct policy_request *q)
{
	size_t kept = 0;

	for (size_t i = 0; i < q->count; i++)
		if (q->attrs[i].value.n > 0)
			q->attrs[kept++] = q->attrs[i];
	q->count = kept;
}

enum verdict policy_ask_run(struct check *c, const struct rule *rules, size_t n, size_t *used)
{
	struct session *s = c->s;
	struct policy_request *q = build_request(s, resolve_sender_key(s), resolve_rcpt_key(s), str_z(cf.policy_context));
	struct policy_request *answer = arena_alloc(session_scratch(s), sizeof *answer);
	struct err e = ERR_INIT;
	uint64_t index = 0;

	*used = n;
	leave_out_empty(q);
	policy_add(q, "service", str_z(service_name()));
	policy_add(q, "restrictions", run_text(s, rules, n));
	if (cf.dry_run)
		policy_add(q, "explain", STR("yes"));
	else if (c->story != NULL)
		policy_add(q, "reasons", STR("yes"));
	if (ask("policyd", cf.policyd, s, q, answer, cf.policy_timeout_ms, &e) < 0) {
		log_warn("problem talking to policyd: %s", e.text);
		return check_trouble(c, CODE_TRY_LATER, "Temporary lookup failure");
	}
	take_headers(s, answer);
	if (c->story != NULL)
		take_reasons(c->story, answer);
	if (!str_to_u64(policy_get(answer, "index"), n - 1, &index))
		return CHECK_DUNNO; /* all were asked, none had an opinion */
	*used = (size_t)index + 1;
	return obey(c, &rules[index], answer);
}
