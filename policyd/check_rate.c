/* policyd/check_rate.c - check_rate { key=count/period[/burst] ... }: how often one client, sender, recipient or user may come.
 * Every limit of the group counts the event; the first that is over its limit answers. The memory away means no limit.
 */
#include "policyd/checks.h"

#include "lib/base/log.h"
#include "policyd/store.h"
#include "policyd/text.h"

#define LIMITS_MAX 16

struct limit {
	const struct rate_key *key;
	struct gcra_limit gcra;
	struct str text; /* part of the stored key: two limits on the same thing do not meet */
};

struct rate {
	struct limit limits[LIMITS_MAX];
	size_t count;
};

static struct str client_of(const struct request *r)
{
	return r->client_address;
}

static struct str sender_of(const struct request *r)
{
	return r->sender;
}

static struct str sender_domain_of(const struct request *r)
{
	return request_domain(r->sender);
}

static struct str recipient_of(const struct request *r)
{
	return r->recipient;
}

static struct str recipient_domain_of(const struct request *r)
{
	return request_domain(r->recipient);
}

static struct str user_of(const struct request *r)
{
	return r->sasl_username;
}

/* What can be counted. A request without the value (null sender, no login) is not. */
static const struct rate_key {
	const char *name;
	struct str (*value)(const struct request *r);
} keys[] = {
	{ "client", client_of },
	{ "recipient", recipient_of },
	{ "recipient_domain", recipient_domain_of },
	{ "sasl_username", user_of },
	{ "sender", sender_of },
	{ "sender_domain", sender_domain_of },
};

static const struct rate_key *key_find(struct str name)
{
	for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
		if (str_eqiz(name, keys[i].name))
			return &keys[i];
	return NULL;
}

/* "client=10/60s" or "sender=100/1h/20". */
static int parse_limit(struct str word, struct limit *l, struct err *e)
{
	struct str rest = word, name = str_cut(&rest, '='), count = str_cut(&rest, '/'), period = str_cut(&rest, '/');
	uint64_t n = 0, burst = 0;

	l->key = key_find(name);
	if (l->key == NULL)
		return err_temp(
			e, "\"%.*s\" is not one of client, recipient, recipient_domain, sasl_username, sender, sender_domain", STRF(name));
	if (!str_to_u64(count, 1000000, &n) || n == 0 || !conf_parse_time(period, 's', &l->gcra.period_ms) || l->gcra.period_ms <= 0 ||
		(rest.n > 0 && (!str_to_u64(rest, 1000000, &burst) || burst == 0)))
		return err_temp(e, "\"%.*s\" is not key=count/period or key=count/period/burst", STRF(word));
	l->gcra.count = (int64_t)n;
	l->gcra.burst = (int64_t)(burst > 0 ? burst : n);
	l->text = word;
	return 0;
}

int rate_prepare(const struct rule *rule, struct arena *a, const void **state, struct err *e)
{
	struct rate *rate = arena_alloc(a, sizeof *rate);
	struct str rest = rule->argument, word;

	if (rest.n >= 2 && rest.p[0] == '{')
		rest = str_sub(rest, 1, rest.n - 2);
	while ((word = str_word(&rest, ", \t\r\n")).n > 0) {
		if (rate->count == LIMITS_MAX)
			return err_temp(e, "more than %d limits", LIMITS_MAX);
		if (parse_limit(word, &rate->limits[rate->count++], e) < 0)
			return -1;
	}
	if (rate->count == 0)
		return err_temp(e, "no limit given");
	*state = rate;
	return 0;
}

static void refuse(struct request *r, const struct limit *l, int64_t wait_ms, struct verdict *v)
{
	struct text_var vars[] = {
		{ "rate_wait", arena_printf(r->life, "%lld", (long long)(wait_ms + 999) / 1000) },
		{ "rate_key", str_z(l->key->name) },
	};

	v->action = text_action(r->life, "rate_action", vars, sizeof vars / sizeof *vars);
}

void rate_eval(const struct rule *rule, struct request *r, struct verdict *v)
{
	const struct rate *rate = rule->state;

	for (size_t i = 0; i < rate->count; i++) {
		const struct limit *l = &rate->limits[i];
		struct str value = arena_lower(r->life, l->key->value(r));
		struct gcra_answer answer;
		struct err e = ERR_INIT;

		if (value.n == 0)
			continue;
		if (store_rate(r->life, arena_printf(r->life, "rate:%.*s:%.*s", STRF(l->text), STRF(value)), &l->gcra, &answer, &e) < 0)
			return; /* the breaker has told; no memory, no limit */
		if (!answer.allowed) {
			refuse(r, l, answer.wait_ms, v);
			return;
		}
	}
}
