/* mta/smtpd/early.c - the order of the early checks, their memory, and what a client that fails one meets. */
#include "mta/smtpd/early.h"

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/mail/addr.h"
#include "lib/mail/delay.h"
#include "lib/service/shared_cache.h"
#include "mta/smtpd/limit.h"
#include "mta/smtpd/settings.h"

#define REMEMBERED 65536   /* clients a worker knows by itself */
#define NEAR_MS 600000     /* how long it does not ask Redis again */
#define CODE_UNWANTED CODE(550, 5, 3, 2)
#define CODE_NOT_HERE CODE(450, 4, 3, 2)
#define CODE_TALKS_FIRST CODE(550, 5, 5, 1)
#define CODE_LISTED CODE(550, 5, 7, 1)

enum action { ACTION_IGNORE, ACTION_ENFORCE, ACTION_DROP };
enum next { NEXT_GO_ON, NEXT_END };

static struct {
	struct early_list *access;
	struct early_sites sites;
	struct matchlist *interfaces;
	struct tables reply_map;
	struct shared_cache *passed;
	enum action denied, greet, dnsbl;
} early;

struct screening {
	struct session *s;
	struct arena *a;
	struct str client; /* "[addr]:port" */
	int64_t began_us;
	int64_t greet_until, dnsbl_until; /* seconds since 1970 until which a test counts as passed; 0: it failed */
	bool greet_due, dnsbl_due, failed;
};

/* ---- configuration ---- */

static enum action action_load(const struct conf *c, const char *name)
{
	static const char *const names[] = { "ignore", "enforce", "drop" };
	struct str value = str_z(conf_str(c, name));

	for (int i = ACTION_IGNORE; i <= ACTION_DROP; i++)
		if (str_eqiz(value, names[i]))
			return (enum action)i;
	log_fatal("%s: \"%.*s\" is not ignore, enforce or drop", name, STRF(value));
}

void early_init(const struct conf *c)
{
	struct err e = ERR_INIT;
	const char *name = "postscreen_access_list";

	if (!cf.early)
		return;
	early.denied = action_load(c, "postscreen_denylist_action");
	early.greet = action_load(c, "postscreen_greet_action");
	early.dnsbl = action_load(c, "postscreen_dnsbl_action");
	early.access = early_list_load(cf.life, conf_str(c, name), conf_dir(c), &e);
	if (early.access == NULL)
		log_fatal("%s: %s", name, e.text);
	name = "postscreen_dnsbl_sites";
	if (early_sites_load(cf.life, conf_str(c, name), &early.sites, &e) < 0)
		log_fatal("%s: %s", name, e.text);
	name = "postscreen_dnsbl_reply_map";
	if (tables_open(cf.life, conf_str(c, name), conf_dir(c), &early.reply_map, &e) < 0)
		log_fatal("%s: %s", name, e.text);
	name = "postscreen_allowlist_interfaces";
	early.interfaces = matchlist_open(conf_str(c, name), MATCH_ADDR, conf_dir(c), &e);
	if (early.interfaces == NULL)
		log_fatal("%s: %s", name, e.text);
	early.passed = shared_cache_new(c, "early:", REMEMBERED, NEAR_MS);
	if (*conf_str(c, "postscreen_upstream_proxy_protocol") != '\0') {
		cf.proxy_protocol = conf_str(c, "postscreen_upstream_proxy_protocol");
		cf.proxy_timeout_ms = conf_time_ms(c, "postscreen_upstream_proxy_timeout");
	}
}

/* ---- saying no ---- */

static struct str client_text(struct session *s, struct arena *a)
{
	return arena_printf(a, "[%.*s]:%.*s", STRF(s->client.addr), STRF(s->client.port));
}

void early_goodbye(const struct session *s)
{
	log_info("DISCONNECT [%.*s]:%.*s", STRF(s->client.addr), STRF(s->client.port));
}

static enum next drop(struct session *s, struct code code, struct str text)
{
	s->early_refusal = (struct reply){ code, arena_dup(s->life, text) };
	session_reply_with(s, &s->early_refusal);
	early_goodbye(s);
	return NEXT_END;
}

/* A check failed. Its action says how it goes on; the first reason is the one that is told. */
static enum next act(struct screening *c, enum action action, struct code code, struct str text)
{
	c->failed = true;
	if (action == ACTION_IGNORE)
		return NEXT_GO_ON;
	code = reply_soften(code);
	if (action == ACTION_DROP)
		return drop(c->s, CODE(code.smtp >= 500 ? 521 : 421, code.c, code.s, code.d), text);
	if (c->s->early_refusal.code.smtp == 0)
		c->s->early_refusal = (struct reply){ code, arena_dup(c->s->life, text) };
	return NEXT_GO_ON;
}

int early_refuse_rcpt(struct session *s)
{
	const struct reply *r = &s->early_refusal;
	struct arena *a = session_scratch(s);

	log_info("NOQUEUE: reject: RCPT from %.*s: %03d %u.%u.%u %.*s; from=<%.*s>, to=<%.*s>, proto=%s, helo=<%.*s>", STRF(client_text(s, a)),
		r->code.smtp, (unsigned)r->code.c, (unsigned)r->code.s, (unsigned)r->code.d, STRF(r->text), STRF(addr_log(a, s->t.sender)),
		STRF(addr_log(a, s->t.rcpt_now)), session_protocol(s), STRF(s->helo));
	return session_reply_with(s, r);
}

/* ---- the temporary allow list ---- */

static int64_t now_s(void)
{
	return clock_wall_us() / 1000000;
}

/* "greet dnsbl", seconds since 1970. */
static void recall(struct screening *c)
{
	struct str value = STR_NONE, first;
	uint64_t greet = 0, dnsbl = 0;

	if (shared_cache_get(early.passed, c->a, c->s->client.addr, &value)) {
		first = str_cut(&value, ' ');
		if (!str_to_u64(first, INT64_MAX, &greet) || !str_to_u64(value, INT64_MAX, &dnsbl))
			greet = dnsbl = 0;
	}
	c->greet_until = (int64_t)greet;
	c->dnsbl_until = (int64_t)dnsbl;
}

static void remember(struct screening *c)
{
	int64_t latest = c->greet_until > c->dnsbl_until ? c->greet_until : c->dnsbl_until;
	struct str value = arena_printf(c->a, "%lld %lld", (long long)c->greet_until, (long long)c->dnsbl_until);

	if (!cf.dry_run)
		shared_cache_put(early.passed, c->a, c->s->client.addr, value, latest - now_s());
}

static void passed_new(struct screening *c)
{
	log_info("PASS NEW %.*s", STRF(c->client));
	remember(c);
}

/* ---- the checks ---- */

static enum next check_count(struct screening *c)
{
	struct session *s = c->s;
	struct err e = ERR_INIT;

	s->limits_checked = true;
	s->exempt = matchlist_addr(cf.limit_exempt, s->client.addr, &e) == TABLE_FOUND;
	if (s->exempt || limit_connect(s))
		return NEXT_GO_ON;
	log_info("NOQUEUE: reject: CONNECT from %.*s: too many connections", STRF(c->client));
	return drop(s, CODE(421, 4, 7, 0), STR("Error: too many connections"));
}

/* *permitted: no other check. */
static enum next check_access(struct screening *c, bool *permitted)
{
	switch (early_list_find(early.access, c->s->client.addr, cf.mynetworks)) {
	case EARLY_PERMIT:
		log_info("%s %.*s", cf.respectful ? "ALLOWLISTED" : "WHITELISTED", STRF(c->client));
		*permitted = true;
		return NEXT_GO_ON;
	case EARLY_REJECT:
		log_info("%s %.*s", cf.respectful ? "DENYLISTED" : "BLACKLISTED", STRF(c->client));
		return early.denied == ACTION_IGNORE ? NEXT_GO_ON
						     : act(c, early.denied, CODE_UNWANTED, STR("Service currently unavailable"));
	case EARLY_DUNNO:
		break;
	}
	return NEXT_GO_ON;
}

/* Who only ever comes to the backup MX is not let in. */
static enum next check_interface(struct screening *c)
{
	struct err e = ERR_INIT;

	if (matchlist_addr(early.interfaces, c->s->server_addr, &e) != TABLE_MISSING)
		return NEXT_GO_ON;
	log_info("%s VETO %.*s", cf.respectful ? "ALLOWLIST" : "WHITELIST", STRF(c->client));
	return act(c, ACTION_ENFORCE, CODE_NOT_HERE, STR("Service currently unavailable"));
}

static struct str shown_name(struct screening *c, struct str domain)
{
	struct buf value = { 0 };
	struct err e = ERR_INIT;
	struct str name = domain;

	if (tables_lookup(&early.reply_map, domain, &value, &e) == TABLE_FOUND)
		name = arena_dup(c->a, buf_str(&value));
	buf_done(&value);
	return name;
}

static int64_t dnsbl_ttl(const struct early_score *score)
{
	int64_t ttl = score->ttl, least = cf.early_dnsbl_min_ttl_ms / 1000, most = cf.early_dnsbl_max_ttl_ms / 1000;

	if (score->ttl == UINT32_MAX || ttl < least)
		ttl = least;
	return ttl > most ? most : ttl;
}

/* *good: so well known that nothing else needs to be tested. */
static enum next judge_score(struct screening *c, const struct early_score *score, bool *good)
{
	int64_t until = now_s() + dnsbl_ttl(score);

	if (score->sum >= cf.early_dnsbl_threshold) {
		log_info("DNSBL rank %lld for %.*s", (long long)score->sum, STRF(c->client));
		c->dnsbl_until = 0;
		return act(c, early.dnsbl, CODE_LISTED,
			arena_printf(c->a, "Service unavailable; client [%.*s] blocked using %.*s", STRF(c->s->client.addr),
				STRF(shown_name(c, score->worst))));
	}
	c->dnsbl_until = until;
	*good = !c->failed && cf.early_allow_threshold < 0 && score->sum <= cf.early_allow_threshold;
	if (*good && c->greet_until < until)
		c->greet_until = until;
	return NEXT_GO_ON;
}

static struct str elapsed(struct screening *c)
{
	struct buf b = { 0 };
	struct str text;

	delay_print(&b, clock_mono_us() - c->began_us);
	text = arena_dup(c->a, buf_str(&b));
	buf_done(&b);
	return text;
}

static enum next talks_first(struct screening *c)
{
	struct buf shown = { 0 };

	session_show_input(c->s, &shown);
	log_info("PREGREET %zu after %.*s from %.*s: %s", stream_buffered(c->s->io), STRF(elapsed(c)), STRF(c->client), buf_z(&shown));
	buf_done(&shown);
	c->greet_until = 0;
	return act(c, early.greet, CODE_TALKS_FIRST, STR("Protocol error"));
}

/* The second half of the greeting lets us wait for it. */
static enum next wait_for_turn(struct screening *c, int64_t by)
{
	struct str early_input;
	int rc = stream_peek(c->s->io, &early_input, by);

	if (rc == STREAM_OK)
		return talks_first(c);
	if (rc == STREAM_TIMEOUT) {
		c->greet_until = now_s() + cf.early_greet_ttl_ms / 1000;
		return NEXT_GO_ON;
	}
	log_info("HANGUP after %.*s from %.*s in tests before SMTP handshake", STRF(elapsed(c)), STRF(c->client));
	early_goodbye(c->s);
	return NEXT_END;
}

/* DNS lists are asked while the client waits for its turn. */
static enum next run_tests(struct screening *c)
{
	int64_t by = deadline_in(cf.early_greet_wait_ms);
	struct early_score score = { .ttl = UINT32_MAX };
	bool good = false;

	if (c->greet_due) {
		stream_printf(c->s->io, by, "220-%s\r\n", cf.early_banner);
		if (stream_flush(c->s->io, by) < 0)
			c->s->closed = true;
	}
	if (c->dnsbl_due)
		early_score(c->a, &early.sites, c->s->client.addr, deadline_min(by, deadline_in(cf.early_dnsbl_timeout_ms)), &score);
	if (c->dnsbl_due && score.sum < cf.early_dnsbl_threshold && judge_score(c, &score, &good) == NEXT_END)
		return NEXT_END;
	if (!good && c->greet_due && wait_for_turn(c, by) == NEXT_END)
		return NEXT_END;
	return c->dnsbl_due && score.sum >= cf.early_dnsbl_threshold ? judge_score(c, &score, &good) : NEXT_GO_ON;
}

/* A stranger: what has not been tested lately is tested now. */
static enum next test(struct screening *c)
{
	bool greet = *cf.early_banner != '\0' && !cf.tls_wrappermode, dnsbl = early.sites.count > 0;

	if (!greet && !dnsbl)
		return NEXT_GO_ON;
	recall(c);
	c->greet_due = greet && c->greet_until <= now_s();
	c->dnsbl_due = dnsbl && c->dnsbl_until <= now_s();
	if (!c->greet_due && !c->dnsbl_due) {
		log_info("PASS OLD %.*s", STRF(c->client));
		return NEXT_GO_ON;
	}
	if (check_interface(c) == NEXT_END || run_tests(c) == NEXT_END)
		return NEXT_END;
	c->s->early_judged = c->greet_due;
	if (!c->failed)
		passed_new(c);
	return NEXT_GO_ON;
}

static enum next screen(struct screening *c)
{
	bool permitted = false;

	log_info("CONNECT from %.*s to [%.*s]:%.*s", STRF(c->client), STRF(c->s->server_addr), STRF(c->s->server_port));
	if (check_count(c) == NEXT_END || check_access(c, &permitted) == NEXT_END)
		return NEXT_END;
	return permitted ? NEXT_GO_ON : test(c);
}

bool early_screen(struct session *s)
{
	struct screening c = { .s = s, .began_us = clock_mono_us() };
	enum next next;

	if (!cf.early)
		return true;
	c.a = arena_new("early checks");
	c.client = client_text(s, c.a);
	next = screen(&c);
	arena_free(c.a);
	return next == NEXT_GO_ON;
}
