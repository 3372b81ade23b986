/* policyd/check_greylist.c - check_greylist: who comes for the first time is asked to come again.
 * What counts as the same: the client's network, or with greylist_group_by_spf the sender domain it may send for; the sender; the
 * recipient.
 */
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/mail/date.h"
#include "lib/mail/ip.h"
#include "policyd/checks.h"
#include "policyd/store.h"
#include "policyd/text.h"

static bool exempt(const struct request *r)
{
	struct err e = ERR_INIT;

	return r->sasl_username.n > 0 || matchlist_addr(settings.greylist_exempt, r->client_address, &e) == TABLE_FOUND;
}

/* Empty: not an address. */
static struct str client_net(struct request *r)
{
	struct ip ip;
	struct buf text = { 0 };
	struct str net;
	unsigned bits;

	if (!ip_parse(r->client_address, &ip))
		return STR_NONE;
	bits = (unsigned)conf_int(settings.conf, ip.v4 ? "greylist_ipv4_prefix" : "greylist_ipv6_prefix");
	ip = ip_mask(&ip, bits);
	ip_print(&text, &ip);
	net = arena_printf(r->life, "%.*s/%u", (int)text.n, text.p, bits);
	buf_done(&text);
	return net;
}

static struct str who(struct request *r)
{
	struct str domain;

	if (conf_bool(settings.conf, "greylist_group_by_spf") && spf_passes(r, &domain))
		return arena_printf(r->life, "spf=%.*s", STRF(domain));
	return client_net(r);
}

static void delayed_header(struct request *r, int64_t seconds, struct verdict *v)
{
	struct buf date = { 0 };

	if (!conf_bool(settings.conf, "greylist_header"))
		return;
	date_rfc5322(&date, clock_wall_us());
	v->header = arena_printf(
		r->life, "X-Greylist: delayed %lld seconds by Gatepost at %s; %s", (long long)seconds, settings.myhostname, date.p);
	buf_done(&date);
}

static void apply(struct request *r, const struct greylist_answer *g, struct verdict *v)
{
	struct text_var vars[] = { { "greylist_wait", arena_printf(r->life, "%lld", (long long)g->seconds) } };

	if (g->state == GREYLIST_WAIT)
		v->action = text_action(r->life, "greylist_action", vars, 1);
	else if (g->state == GREYLIST_PASSED)
		delayed_header(r, g->seconds, v);
}

void greylist_eval(const struct rule *rule, struct request *r, struct verdict *v)
{
	struct greylist_times t = {
		.delay_s = conf_time_ms(settings.conf, "greylist_delay") / 1000,
		.window_s = conf_time_ms(settings.conf, "greylist_retry_window") / 1000,
		.lifetime_s = conf_time_ms(settings.conf, "greylist_lifetime") / 1000,
		.auto_allow = conf_int(settings.conf, "greylist_auto_allow"),
	};
	struct greylist_answer answer = { GREYLIST_WAIT, 0 };
	struct str client, net, triplet;
	struct err e = ERR_INIT;

	(void)rule; /* takes no argument */
	if (exempt(r))
		return;
	client = who(r);
	if (client.n == 0)
		return;
	/* The braces keep a client's keys on one node of a Redis cluster. */
	net = arena_printf(r->life, "grey:{%.*s}", STRF(client));
	triplet = arena_printf(r->life, "grey:{%.*s}:%.*s:%.*s", STRF(client), STRF(arena_lower(r->life, r->sender)),
		STRF(arena_lower(r->life, r->recipient)));
	if (store_greylist(r->life, net, triplet, &t, &answer, &e) < 0)
		v->action = text_action(r->life, "greylist_failure_action", NULL, 0);
	else
		apply(r, &answer, v);
}
