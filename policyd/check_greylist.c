/* policyd/check_greylist.c - check_greylist: who comes for the first time is asked to come again.
 * What counts as the same: the client's network, or with greylist_group_by_spf the sender domain it may send for (a provider's many hosts
 * are one then); the sender; the recipient.
 */
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/mail/date.h"
#include "policyd/checks.h"
#include "policyd/net.h"
#include "policyd/store.h"
#include "policyd/text.h"

static bool recipient_exempt(const struct request *r)
{
	struct buf value = { 0 };
	struct str ext;
	struct err e = ERR_INIT;
	bool found;

	if (r->settings->greylist_exempt_recipients.count == 0)
		return false;
	found = tables_lookup_address(&r->settings->greylist_exempt_recipients, r->recipient, r->settings->recipient_delimiter, true, &value, &ext,
			&e) == TABLE_FOUND;
	buf_done(&value);
	return found;
}

/* Who never waits, whatever SPF says. */
static bool exempt(const struct request *r)
{
	struct err e = ERR_INIT;

	return r->sasl_username.n > 0 || matchlist_addr(r->settings->greylist_exempt, r->client_address, &e) == TABLE_FOUND ||
	       (r->client_name.n > 0 && matchlist_host(r->settings->greylist_exempt, r->client_name, &e) == TABLE_FOUND) || recipient_exempt(r);
}

struct who {
	struct str key; /* empty: not an address */
	bool trusted; /* SPF makes it known and good: no waiting */
};

static struct who who_comes(struct request *r)
{
	bool pass_is_enough = conf_bool(r->settings->conf, "greylist_exempt_spf_pass"),
	     grouped = conf_bool(r->settings->conf, "greylist_group_by_spf");
	bool listed = *conf_str(r->settings->conf, "greylist_known_domains") != '\0';
	struct who who = { net_text(r->settings, r->life, r->client_address), false };
	struct str domain;
	struct err e = ERR_INIT;

	if ((!pass_is_enough && !grouped && !listed) || !spf_passes(r, &domain))
		return who;
	who.trusted = pass_is_enough || (listed && matchlist_host(r->settings->greylist_known_domains, domain, &e) == TABLE_FOUND);
	if (grouped) {
		domain = store_tag(r->life, domain);
		who.key = arena_printf(r->life, "spf=%.*s", STRF(domain));
	}
	return who;
}

static void delayed_header(struct request *r, int64_t seconds, struct verdict *v)
{
	struct buf date = { 0 };

	if (!conf_bool(r->settings->conf, "greylist_header"))
		return;
	date_rfc5322(&date, clock_wall_us());
	v->header = arena_printf(
		r->life, "X-Greylist: delayed %lld seconds by Gatepost at %s; %s", (long long)seconds, r->settings->myhostname, date.p);
	buf_done(&date);
}

static void apply(struct request *r, const struct greylist_answer *g, struct str who, struct verdict *v)
{
	static const char *const results[] = { [GREYLIST_WAIT] = "wait", [GREYLIST_KNOWN] = "known", [GREYLIST_PASSED] = "passed" };
	struct text_var vars[] = { { "greylist_wait", arena_printf(r->life, "%lld", (long long)g->seconds) } };

	v->result = str_z(results[g->state]);
	v->why = arena_printf(r->life, "%.*s: %s, %lld s", STRF(who), results[g->state], (long long)g->seconds);
	if (g->state == GREYLIST_WAIT)
		v->action = text_action(r, "greylist_action", vars, 1);
	else if (g->state == GREYLIST_PASSED)
		delayed_header(r, g->seconds, v);
}

struct str greylist_key(struct arena *a, struct str who)
{
	return arena_printf(a, "grey:{%.*s}", STRF(who)); /* the braces keep a client's keys on one node of a Redis cluster */
}

/* An address in a key: colons part it from the next. */
static struct str part(struct arena *a, struct str address)
{
	struct str tag = store_tag(a, address);
	char *p = (char *)(uintptr_t)tag.p;

	for (size_t i = 0; i < tag.n; i++)
		if (p[i] == ':')
			p[i] = '_';
	return tag;
}

struct str greylist_triplet_key(struct arena *a, struct str who, struct str sender, struct str recipient)
{
	struct str from = part(a, sender), to = part(a, recipient);

	return arena_printf(a, "grey:{%.*s}:%.*s:%.*s", STRF(who), STRF(from), STRF(to));
}

static struct store_greylist_keys keys_of(struct request *r, struct str who)
{
	struct store_greylist_keys keys = { greylist_key(r->life, who), greylist_triplet_key(r->life, who, r->sender, r->recipient) };

	if (r->mark_prefix.n > 0) {
		keys.net = arena_printf(r->life, "%.*s%.*s", STRF(r->mark_prefix), STRF(keys.net));
		keys.triplet = arena_printf(r->life, "%.*s%.*s", STRF(r->mark_prefix), STRF(keys.triplet));
	}
	return keys;
}

void greylist_eval(const struct rule *rule, struct request *r, struct verdict *v)
{
	struct greylist_times t = {
		.delay_s = conf_time_ms(r->settings->conf, "greylist_delay") / 1000,
		.window_s = conf_time_ms(r->settings->conf, "greylist_retry_window") / 1000,
		.lifetime_s = conf_time_ms(r->settings->conf, "greylist_lifetime") / 1000,
		.auto_allow = conf_int(r->settings->conf, "greylist_auto_allow"),
		.dry = r->dry,
	};
	struct greylist_answer answer = { GREYLIST_WAIT, 0 };
	struct store_greylist_keys keys;
	struct who who;
	struct err e = ERR_INIT;

	if (r->recipient.n == 0 && r->recipient_count < 2)
		return; /* before RCPT; the recipients of a message, together, are one that has no name */
	if (exempt(r)) {
		v->why = STR("exempt");
		return;
	}
	who = who_comes(r);
	if (who.key.n == 0 || who.trusted) {
		v->why = who.trusted ? STR("SPF pass, known and good") : STR("no client address");
		return;
	}
	keys = keys_of(r, who.key);
	if (store_greylist(r->life, &keys, &t, trouble_remedy(r->settings, rule->check, TROUBLE_REDIS) == REMEDY_LOCAL, &answer, &e) < 0)
		trouble_verdict(rule, r, TROUBLE_REDIS, arena_z(r->life, str_z(e.text)), v);
	else
		apply(r, &answer, who.key, v);
}
