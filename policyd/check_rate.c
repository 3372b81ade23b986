/* policyd/check_rate.c - check_rate { key[:unit]=count/period[/burst] ... }: how much one client, network, sender, recipient or user may
 * bring. Units: requests (each question, the usual), recipients, messages, bytes. Every limit of the group counts the event, or none does
 * when one of them says no.
 */
#include "lib/base/log.h"
#include "lib/mail/ip.h"
#include "policyd/checks.h"
#include "policyd/net.h"
#include "policyd/store.h"
#include "policyd/text.h"

#define COUNT_MAX (UINT64_C(1) << 50)

/* How much of a unit a request brings; 0: nothing to count. */
typedef int64_t cost_fn(const struct request *r);

struct rate_key {
	const char *name;
	struct str (*value)(struct request *r);
};

struct unit {
	const char *name;
	cost_fn *cost;
	bool per_message; /* a message's recipients come with one question each: counted once */
};

struct limit {
	const struct rate_key *key;
	const struct unit *unit;
	struct gcra_limit gcra;
	struct str text; /* part of the stored key: two limits on the same thing do not meet */
};

struct rate {
	struct limit limits[STORE_RATE_MAX];
	size_t count;
};

/* ---- what is counted by ---- */

static struct str client_of(struct request *r)
{
	return r->client_address;
}

static struct str net_of(struct request *r)
{
	return net_text(r->settings, r->life, r->client_address);
}

static struct str helo_of(struct request *r)
{
	return r->helo;
}

static struct str sender_of(struct request *r)
{
	return r->sender;
}

static struct str sender_domain_of(struct request *r)
{
	return request_domain(r->sender);
}

static struct str recipient_of(struct request *r)
{
	return r->recipient;
}

static struct str recipient_domain_of(struct request *r)
{
	return request_domain(r->recipient);
}

static struct str user_of(struct request *r)
{
	return r->sasl_username;
}

/* A request without the value (null sender, no login) is not counted. */
static const struct rate_key keys[] = {
	{ "client", client_of },
	{ "client_net", net_of },
	{ "helo", helo_of },
	{ "recipient", recipient_of },
	{ "recipient_domain", recipient_domain_of },
	{ "sasl_username", user_of },
	{ "sender", sender_of },
	{ "sender_domain", sender_domain_of },
};

/* ---- what is counted ---- */

static bool at_recipient(const struct request *r)
{
	return r->recipient.n > 0 && !str_eqiz(r->state, "DATA") && !str_eqiz(r->state, "END-OF-MESSAGE");
}

static int64_t one_request(const struct request *r)
{
	(void)r; /* any */
	return 1;
}

static int64_t recipients_of(const struct request *r)
{
	return at_recipient(r) ? 1 : r->recipient_count;
}

static int64_t one_message(const struct request *r)
{
	return (r->facts & FACT_SENDER) != 0 ? 1 : 0;
}

static int64_t size_of(const struct request *r)
{
	return r->size;
}

static const struct unit units[] = {
	{ "requests", one_request, false },
	{ "recipients", recipients_of, false },
	{ "messages", one_message, true },
	{ "bytes", size_of, true },
};

/* ---- the argument ---- */

static const struct rate_key *key_find(struct str name)
{
	for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
		if (str_eqiz(name, keys[i].name))
			return &keys[i];
	return NULL;
}

static const struct unit *unit_find(struct str name)
{
	for (size_t i = 0; i < sizeof units / sizeof *units; i++)
		if (str_eqiz(name, units[i].name) || (name.n == 0 && i == 0))
			return &units[i];
	return NULL;
}

/* "10", "500k", "20m". */
static bool parse_amount(struct str s, int64_t *out)
{
	static const char suffixes[] = "kmg";
	uint64_t n, factor = 1;

	for (size_t i = 0; s.n > 1 && suffixes[i] != '\0'; i++)
		if ((s.p[s.n - 1] | 0x20) == suffixes[i]) {
			s = str_sub(s, 0, s.n - 1);
			factor = UINT64_C(1) << 10 * (i + 1);
			break;
		}
	if (!str_to_u64(s, COUNT_MAX / factor, &n) || n == 0)
		return false;
	*out = (int64_t)(n * factor);
	return true;
}

/* "client=10/60s" or "sender:bytes=100m/1h/20m". */
static int parse_limit(struct str word, struct limit *l, struct err *e)
{
	struct str rest = word, what = str_cut(&rest, '='), count = str_cut(&rest, '/'), period = str_cut(&rest, '/');
	struct str name = str_cut(&what, ':');
	int64_t period_ms = 0;

	l->key = key_find(name);
	l->unit = unit_find(what);
	if (l->key == NULL)
		return err_temp(e,
			"\"%.*s\" is not one of client, client_net, helo, recipient, recipient_domain, sasl_username, sender, "
			"sender_domain",
			STRF(name));
	if (l->unit == NULL)
		return err_temp(e, "\"%.*s\" is not one of requests, recipients, messages, bytes", STRF(what));
	if (!parse_amount(count, &l->gcra.count) || !conf_parse_time(period, 's', &period_ms) || period_ms <= 0 ||
		period_ms > INT64_MAX / 1000000 || (rest.n > 0 && !parse_amount(rest, &l->gcra.burst)))
		return err_temp(e, "\"%.*s\" is not key=count/period or key=count/period/burst", STRF(word));
	l->gcra.period_us = period_ms * 1000;
	if (rest.n == 0)
		l->gcra.burst = l->gcra.count;
	l->text = word;
	return 0;
}

int rate_prepare(struct rule *rule, struct arena *a, struct err *e)
{
	struct rate *rate = arena_alloc(a, sizeof *rate);
	struct str rest = rule->argument, word;

	if (rest.n >= 2 && rest.p[0] == '{')
		rest = str_sub(rest, 1, rest.n - 2);
	while ((word = str_word(&rest, ", \t\r\n")).n > 0) {
		if (rate->count == STORE_RATE_MAX)
			return err_temp(e, "more than %d limits", STORE_RATE_MAX);
		if (parse_limit(word, &rate->limits[rate->count++], e) < 0)
			return -1;
	}
	if (rate->count == 0)
		return err_temp(e, "no limit given");
	rule->state = rate;
	return 0;
}

/* ---- counting ---- */

static void refuse(struct request *r, const struct limit *l, int64_t wait_us, struct verdict *v)
{
	struct text_var vars[] = {
		{ "rate_wait", arena_printf(r->life, "%lld", (long long)(wait_us + 999999) / 1000000) },
		{ "rate_key", str_z(l->key->name) },
		{ "rate_unit", str_z(l->unit->name) },
		{ "rate_limit", l->text },
	};

	v->action = text_action(r, "rate_action", vars, sizeof vars / sizeof *vars);
	v->result = STR("over");
	v->why = arena_printf(r->life, "over %.*s", STRF(l->text));
}

struct str rate_key(struct arena *a, struct str value)
{
	value = store_tag(a, value);
	return arena_printf(a, "rate:{%.*s}:", STRF(value)); /* the braces keep one value on one node of a Redis cluster */
}

bool rate_state(struct str text, struct str kept, struct rate_state *out)
{
	struct limit l;
	struct err e = ERR_INIT;
	uint64_t arrival;
	int64_t left;

	if (!str_to_u64(kept, INT64_MAX, &arrival) || arrival < 1000 /* "this message was counted" */ || parse_limit(text, &l, &e) < 0)
		return false;
	left = (int64_t)arrival - store_rate_now();
	*out = (struct rate_state){ .burst = l.gcra.burst };
	if (left > 0) {
		out->seconds = left / 1000000 + 1;
		out->used = (int64_t)((double)left * (double)l.gcra.count / (double)l.gcra.period_us + 0.999);
	}
	return true;
}

static struct gcra_item item_for(struct request *r, const struct limit *l, struct str value, int64_t cost)
{
	struct str base = rate_key(r->life, value);
	struct str key = arena_printf(r->life, "%.*s%.*s%.*s", STRF(base), STRF(r->mark_prefix), STRF(l->text));
	struct gcra_item item = { .limit = l->gcra, .cost = cost, .key = key, .once = STR_NONE };

	if (l->unit->per_message && r->instance.n > 0)
		item.once = arena_printf(r->life, "%.*s:%.*s", STRF(key), STRF(str_sub(r->instance, 0, 100)));
	return item;
}

void rate_eval(const struct rule *rule, struct request *r, struct verdict *v)
{
	const struct rate *rate = rule->state;
	const struct limit *which[STORE_RATE_MAX];
	struct gcra_item items[STORE_RATE_MAX];
	bool local = trouble_remedy(r->settings, rule->check, TROUBLE_REDIS) == REMEDY_LOCAL;
	size_t count = 0;
	int64_t wait_us = 0;
	struct err e = ERR_INIT;
	int over;

	for (size_t i = 0; i < rate->count; i++) {
		const struct limit *l = &rate->limits[i];
		struct str value = l->key->value(r);
		int64_t cost = l->unit->cost(r);

		if (value.n == 0 || cost <= 0)
			continue;
		which[count] = l;
		items[count++] = item_for(r, l, value, cost);
	}
	if (count == 0)
		return;
	if (store_rate(r->life, items, count, r->dry, local, &over, &wait_us, &e) < 0)
		trouble_verdict(rule, r, TROUBLE_REDIS, arena_z(r->life, str_z(e.text)), v);
	else if (over >= 0)
		refuse(r, which[over], wait_us, v);
	else
		v->why = STR("within the limits");
}
