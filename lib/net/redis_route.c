/* lib/net/redis_route.c - which server a command goes to: the only one, the master that sentinels name, or the primary of the key's slot.
 * What is known may be outdated at any time. Whoever notices (no connection, READONLY, MOVED) raises a doubt; a fiber then asks sentinels or
 * cluster nodes anew, while commands go on with what is known.
 */
#include <stdio.h>

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/net/redis_parts.h"
#include "lib/net/redis_value.h"

#define FIND_PAUSE_MS 500 /* between two looks: a fail-over takes longer */

/* The one by that name, new if need be; NULL: too many. */
static struct redis_node *node_get(struct redis *r, struct str endpoint)
{
	for (size_t i = 0; i < r->node_count; i++)
		if (str_eqz(endpoint, r->nodes[i]->endpoint) && !r->nodes[i]->sentinel)
			return r->nodes[i];
	if (r->node_count == REDIS_NODES_MAX)
		return NULL;
	return r->nodes[r->node_count++] = redis_node_new(r, endpoint, false);
}

/* Host and port as a server names others. An empty host: the one that was asked. */
static struct redis_node *node_at(struct redis *r, const struct redis_node *asked, struct str host, struct str port)
{
	char text[300];
	bool v6 = str_chr(host, ':') >= 0;
	struct str own = str_z(asked->endpoint);

	if (host.n == 0 || str_eqz(host, "?"))
		snprintf(text, sizeof text, "%.*s:%.*s", STRF(str_sub(own, 0, (size_t)str_rchr(own, ':'))), STRF(port));
	else
		snprintf(text, sizeof text, v6 ? "inet:[%.*s]:%.*s" : "inet:%.*s:%.*s", STRF(host), STRF(port));
	return host.n > 255 || port.n > 5 ? NULL : node_get(r, str_z(text));
}

/* ---- asking sentinels ---- */

static bool ask_sentinel(struct redis *r, struct redis_node *n, struct arena *a)
{
	struct str words[] = { STR_INIT("SENTINEL"), STR_INIT("get-master-addr-by-name"), str_z(r->set.sentinel_master) };
	struct str command = redis_format(3, words);
	struct redis_value v;
	struct err e = ERR_INIT;
	struct redis_node *master = NULL;

	arena_defer(a, free, (void *)(uintptr_t)command.p);
	if (redis_node_exchange(n, a, command, false, deadline_in(r->set.timeout_ms), &v, &e) == 0 && v.type == REDIS_ARRAY && v.count == 2)
		master = node_at(r, n, v.items[0].text, v.items[1].text);
	if (master == NULL)
		return false;
	if (master != r->master && r->master != NULL)
		log_info("Redis: the master of %s is %s", r->set.sentinel_master, master->endpoint);
	r->master = master;
	return true;
}

/* ---- asking a cluster ---- */

/* [from, to, [host, port, ...], replicas ...]: how many slots have another owner now. */
static size_t take_range(struct redis *r, const struct redis_node *asked, const struct redis_value *range, struct arena *a)
{
	const struct redis_value *primary = range->count > 2 ? &range->items[2] : NULL;
	struct redis_node *owner;
	size_t changed = 0;

	if (primary == NULL || primary->type != REDIS_ARRAY || primary->count < 2 || range->items[0].integer < 0 ||
		range->items[1].integer >= REDIS_SLOTS)
		return 0;
	owner = node_at(r, asked, primary->items[0].text, arena_printf(a, "%lld", (long long)primary->items[1].integer));
	for (int64_t i = range->items[0].integer; owner != NULL && i <= range->items[1].integer; i++) {
		changed += r->slots[i] != NULL && r->slots[i] != owner;
		r->slots[i] = owner;
	}
	return changed;
}

static bool ask_cluster(struct redis *r, struct redis_node *n, struct arena *a)
{
	static const struct str command = STR_INIT("*2\r\n$7\r\nCLUSTER\r\n$5\r\nSLOTS\r\n");
	struct redis_value v;
	struct err e = ERR_INIT;
	size_t changed = 0;

	if (redis_node_exchange(n, a, command, false, deadline_in(r->set.timeout_ms), &v, &e) < 0 || v.type != REDIS_ARRAY || v.count == 0)
		return false;
	for (size_t i = 0; i < v.count; i++)
		if (v.items[i].type == REDIS_ARRAY)
			changed += take_range(r, n, &v.items[i], a);
	if (changed > 0)
		log_info("Redis cluster: %zu slots have another primary now", changed);
	return true;
}

/* ---- finding ---- */

static bool ask_one(struct redis *r, struct redis_node *n)
{
	struct arena *a = arena_new("redis route");
	bool good = (r->slots != NULL ? ask_cluster : ask_sentinel)(r, n, a);

	arena_free(a);
	return good;
}

/* Who works first, then who was left alone; sentinels are seeds alone. */
static bool ask_all(struct redis *r)
{
	size_t count = r->slots != NULL ? r->node_count : r->seed_count;

	for (int broken = 0; broken < 2; broken++)
		for (size_t i = 0; i < count && !r->closing; i++)
			if (r->nodes[i]->open == (broken == 1) && ask_one(r, r->nodes[i]))
				return true;
	return false;
}

static void find(void *arg)
{
	struct redis *r = arg;
	bool good = ask_all(r);

	if (!good && !r->lost && !r->closing)
		log_warn("Redis %s: no %s tells where to go; going on without", r->set.servers, r->slots != NULL ? "cluster node" : "sentinel");
	else if (good && r->lost)
		log_info("Redis %s is available again", r->set.servers);
	r->lost = !good;
	r->known |= good;
	r->find_after = deadline_in(good || r->known ? FIND_PAUSE_MS : r->set.breaker_ms);
	r->finder = NULL;
	waitq_wake_all(&r->found);
}

static bool may_change(const struct redis *r)
{
	return r->slots != NULL || *r->set.sentinel_master != '\0';
}

void redis_route_doubt(struct redis *r)
{
	if (may_change(r) && r->finder == NULL && !r->closing && clock_mono_ms() >= r->find_after)
		r->finder = fiber_start("redis route", find, r);
}

void redis_route_wait(struct redis *r, int64_t deadline)
{
	if (r->finder != NULL)
		(void)waitq_wait(&r->found, deadline);
}

static struct redis_node *pick(struct redis *r, struct str command)
{
	struct str key;

	if (r->slots == NULL)
		return r->master;
	key = redis_command_key(command);
	if (key.n > 0)
		return r->slots[redis_slot(key)];
	for (size_t i = 0; i < r->node_count; i++)
		if (!r->nodes[i]->open)
			return r->nodes[i];
	return r->nodes[0];
}

struct redis_node *redis_route(struct redis *r, struct str command, int64_t deadline, struct err *e)
{
	struct redis_node *n;

	if (!r->known && may_change(r)) {
		redis_route_doubt(r);
		if (!r->lost) /* once it was in vain, nobody waits for it */
			redis_route_wait(r, deadline);
	}
	n = pick(r, command);
	if (n == NULL)
		err_temp(e, r->known ? "no server has the slot of this key" : "not available");
	if (n == NULL || n->open)
		redis_route_doubt(r);
	return n;
}

struct redis_node *redis_route_moved(struct redis *r, const struct redis_node *asked, struct str text, bool *ask)
{
	struct str verb = str_cut(&text, ' '), slot = str_cut(&text, ' ');
	ptrdiff_t colon = str_rchr(text, ':');
	struct redis_node *n;
	uint64_t number;

	*ask = str_eqz(verb, "ASK");
	if (r->slots == NULL || (!*ask && !str_eqz(verb, "MOVED")) || colon < 0 || !str_to_u64(slot, REDIS_SLOTS - 1, &number))
		return NULL;
	n = node_at(r, asked, str_sub(text, 0, (size_t)colon), str_skip(text, (size_t)colon + 1));
	if (n != NULL && !*ask)
		r->slots[number] = n;
	if (!*ask)
		redis_route_doubt(r);
	return n;
}
