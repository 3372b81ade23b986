/* policyd/admin.c - operators look at greylist and rates, and change them. */
#include "policyd/admin.h"

#include "lib/base/clock.h"
#include "lib/mail/ip.h"
#include "policyd/checks.h"
#include "policyd/net.h"
#include "policyd/store.h"

#define LIST_MAX 100000
#define SEND_MS (100 * 1000)

struct client {
	struct stream *io;
	struct arena *a;
	const struct policy_request *attrs;
};

struct order {
	const char *name;
	int (*run)(const struct client *c, size_t *count, struct err *e); /* *count: of entries told or changed. Suspends. */
};

static struct str argument(const struct client *c, const char *name)
{
	return policy_get(c->attrs, name);
}

static int send_block(const struct client *c, const struct policy_request *block, struct err *e)
{
	return policy_send_answer(c->io, block, deadline_in(SEND_MS), e);
}

static struct str number(const struct client *c, int64_t n)
{
	return arena_printf(c->a, "%lld", (long long)n);
}

/* ---- greylist ---- */

/* An address or network counts as its network, a domain as what SPF makes of its hosts. Empty: none given. */
static struct str who(const struct client *c)
{
	struct str given = argument(c, "who"), net = net_text(&settings, c->a, given);
	struct ip_net parsed;
	const char *why;
	struct str tag;

	if (given.n == 0 || net.n > 0)
		return net;
	if (str_chr(given, '=') >= 0 || ip_net_parse(given, &parsed, &why))
		return given;
	tag = store_tag(c->a, given);
	return arena_printf(c->a, "spf=%.*s", STRF(tag));
}

/* The null sender is given as "<>". */
static struct str address(const struct client *c, const char *name)
{
	return str_eqz(argument(c, name), "<>") ? STR_NONE : argument(c, name);
}

/* "grey:{who}" and "grey:{who}:sender:recipient" */
static void add_triplet(struct policy_request *block, struct str key)
{
	struct str rest = str_skip(key, (size_t)str_chr(key, '{') + 1), of = str_cut(&rest, '}');

	policy_add(block, "who", of);
	if (rest.n == 0)
		return;
	rest = str_skip(rest, 1);
	policy_add(block, "sender", str_cut(&rest, ':'));
	policy_add(block, "recipient", rest);
}

static int tell_greylist(const struct client *c, const struct store_entry *entry, struct err *e)
{
	struct policy_request block = { .count = 0 };
	bool triplet = str_chr(entry->key, '}') + 1 < (ptrdiff_t)entry->key.n;
	int64_t delay = conf_time_ms(settings.conf, "greylist_delay") / 1000, wait = 0;
	uint64_t n = 0;

	add_triplet(&block, entry->key);
	if (str_eqz(entry->value, GREYLIST_ALLOWED)) {
		policy_add(&block, "state", STR("allowed"));
	} else if (str_eqz(entry->value, GREYLIST_PASSED_VALUE)) {
		policy_add(&block, "state", STR("passed"));
	} else if (str_to_u64(entry->value, INT64_MAX, &n) && triplet) {
		wait = (int64_t)n + delay - clock_wall_us() / 1000000;
		policy_add(&block, "state", STR("waiting"));
		policy_add(&block, "wait", number(c, wait > 0 ? wait : 0));
	} else {
		policy_add(&block, "state", STR("network"));
		policy_add(&block, "passed", number(c, (int64_t)n));
	}
	policy_add(&block, "expires", number(c, entry->seconds_left));
	return send_block(c, &block, e);
}

static int find_greylist(const struct client *c, struct store_entry **list, size_t *count, struct err *e)
{
	struct str of = who(c), prefix = STR("grey:{");

	if (of.n > 0 && argument(c, "sender").n > 0)
		prefix = greylist_triplet_key(c->a, of, address(c, "sender"), address(c, "recipient"));
	else if (of.n > 0)
		prefix = greylist_key(c->a, of);
	return store_list(c->a, STORE_GREYLIST, prefix, LIST_MAX, list, count, e);
}

static int greylist_list(const struct client *c, size_t *count, struct err *e)
{
	struct store_entry *list;
	size_t n;

	if (find_greylist(c, &list, &n, e) < 0)
		return -1;
	for (; *count < n; ++*count)
		if (tell_greylist(c, &list[*count], e) < 0)
			return -1;
	return 0;
}

static int greylist_allow(const struct client *c, size_t *count, struct err *e)
{
	struct str of = who(c), recipient = address(c, "recipient");
	bool triplet = recipient.n > 0;
	struct str key = triplet ? greylist_triplet_key(c->a, of, address(c, "sender"), recipient) : greylist_key(c->a, of);
	struct str value = triplet ? STR(GREYLIST_PASSED_VALUE) : STR(GREYLIST_ALLOWED);

	if (of.n == 0)
		return err_perm(e, "allow whom?");
	*count = 1;
	return store_set(c->a, STORE_GREYLIST, key, value, conf_time_ms(settings.conf, "greylist_lifetime") / 1000, e);
}

static int greylist_forget(const struct client *c, size_t *count, struct err *e)
{
	struct store_entry *list;
	size_t n;

	if (who(c).n == 0)
		return err_perm(e, "forget whom?");
	if (find_greylist(c, &list, &n, e) < 0)
		return -1;
	for (; *count < n; ++*count)
		if (store_forget(c->a, STORE_GREYLIST, list[*count].key, e) < 0)
			return -1;
	return 0;
}

/* ---- rates ---- */

static int find_rates(const struct client *c, struct store_entry **list, size_t *count, struct err *e)
{
	struct str value = argument(c, "value"), limit = argument(c, "limit"), base = rate_key(c->a, value);
	struct str prefix = value.n == 0 ? STR("rate:{") : arena_printf(c->a, "%.*s%.*s", STRF(base), STRF(limit));

	return store_list(c->a, STORE_RATE, prefix, LIST_MAX, list, count, e);
}

/* "rate:{value}:limit" */
static int tell_rate(const struct client *c, const struct store_entry *entry, size_t *told, struct err *e)
{
	struct policy_request block = { .count = 0 };
	struct str rest = str_skip(entry->key, (size_t)str_chr(entry->key, '{') + 1), value = str_cut(&rest, '}');
	struct str limit = str_skip(rest, 1);
	struct rate_state s;

	if (!rate_state(limit, entry->value, &s))
		return 0;
	++*told;
	policy_add(&block, "value", value);
	policy_add(&block, "limit", limit);
	policy_add(&block, "used", number(c, s.used));
	policy_add(&block, "of", number(c, s.burst));
	policy_add(&block, "expires", number(c, s.seconds));
	return send_block(c, &block, e);
}

static int rate_show(const struct client *c, size_t *count, struct err *e)
{
	struct store_entry *list;
	size_t n;

	if (find_rates(c, &list, &n, e) < 0)
		return -1;
	for (size_t i = 0; i < n; i++)
		if (tell_rate(c, &list[i], count, e) < 0)
			return -1;
	return 0;
}

static int rate_reset(const struct client *c, size_t *count, struct err *e)
{
	struct store_entry *list;
	struct rate_state s;
	size_t n;

	if (argument(c, "value").n == 0)
		return err_perm(e, "reset what?");
	if (find_rates(c, &list, &n, e) < 0)
		return -1;
	for (size_t i = 0; i < n; i++) {
		struct str limit = str_skip(list[i].key, (size_t)str_rchr(list[i].key, '}') + 2);

		*count += rate_state(limit, list[i].value, &s) ? 1 : 0;
		if (store_forget(c->a, STORE_RATE, list[i].key, e) < 0)
			return -1;
	}
	return 0;
}

/* ---- orders ---- */

static const struct order orders[] = {
	{ "greylist_allow", greylist_allow },
	{ "greylist_forget", greylist_forget },
	{ "greylist_list", greylist_list },
	{ "rate_reset", rate_reset },
	{ "rate_show", rate_show },
};

const struct order *admin_order(struct str request)
{
	for (size_t i = 0; i < sizeof orders / sizeof *orders; i++)
		if (str_eqz(request, orders[i].name))
			return &orders[i];
	return NULL;
}

int admin_serve(struct stream *io, struct arena *a, const struct order *o, const struct policy_request *attrs, struct err *e)
{
	struct client c = { io, a, attrs };
	struct policy_request last = { .count = 0 };
	struct err why = ERR_INIT;
	size_t count = 0;

	if (o->run(&c, &count, &why) < 0)
		policy_add(&last, "action", arena_printf(a, "451 4.3.0 %s", why.text));
	else
		policy_add(&last, "action", STR("DUNNO"));
	policy_add(&last, "count", number(&c, (int64_t)count));
	policy_add(&last, "memory", store_is_shared() ? STR("shared") : STR("own"));
	return send_block(&c, &last, e);
}
