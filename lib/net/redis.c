/* lib/net/redis.c - Redis commands from fibers: to the right server, after redirections, within one deadline.
 * hiredis formats commands and reads answers; ours are the connections, the deadline, the breakers, sentinels and clusters, and the limits on
 * what a server may make us hold: answers are built straight into the caller's arena and are bounded in size and number.
 */
#include "lib/net/redis.h"

#include <stdio.h>
#include <string.h>

#include <hiredis/hiredis.h>
#include <openssl/sha.h>

#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/net/redis_parts.h"
#include "lib/net/redis_value.h"

#define HOPS_MAX 5 /* redirections of one command */
#define SCAN_MS 10000 /* one step of a scan: a tool may wait */
#define TRY_AGAIN_MS 10 /* a slot is just moving */

static const char *copy(const char *text)
{
	return mem_strdup(text == NULL ? "" : text);
}

struct redis *redis_new(const struct redis_settings *set)
{
	struct redis *r = mem_alloc(sizeof *r);
	struct str rest, word;

	r->set = *set;
	r->set.servers = copy(set->servers);
	r->set.user = copy(set->user);
	r->set.password = copy(set->password);
	r->set.sentinel_master = copy(set->sentinel_master);
	r->set.sentinel_user = copy(set->sentinel_user);
	r->set.sentinel_password = copy(set->sentinel_password);
	r->set.tls_name = copy(set->tls_name);
	waitq_init(&r->found);
	rest = str_z(r->set.servers);
	while ((word = str_word(&rest, ", \t\r\n")).n > 0 && r->node_count < REDIS_NODES_MAX)
		r->nodes[r->node_count++] = redis_node_new(r, word, *r->set.sentinel_master != '\0');
	r->seed_count = r->node_count;
	if (set->cluster)
		r->slots = mem_array(REDIS_SLOTS, sizeof(struct redis_node *));
	else if (*r->set.sentinel_master == '\0' && r->node_count > 0)
		r->master = r->nodes[0];
	return r;
}

static void forget(struct redis *r)
{
	const char *const *texts[] = { &r->set.servers, &r->set.user, &r->set.password, &r->set.sentinel_master, &r->set.sentinel_user,
		&r->set.sentinel_password, &r->set.tls_name };

	r->closing = true;
	while (r->finder != NULL)
		redis_route_wait(r, DEADLINE_NEVER);
	for (size_t i = 0; i < r->node_count; i++)
		redis_node_free(r->nodes[i]);
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
		mem_free((void *)(uintptr_t)*texts[i]);
	mem_free(r->slots);
	mem_free(r);
}

void redis_free(struct redis *r)
{
	if (r != NULL)
		forget(r);
}

bool redis_available(const struct redis *r)
{
	for (size_t i = 0; i < r->node_count; i++)
		if (!r->nodes[i]->open && !r->nodes[i]->sentinel)
			return true;
	return false;
}

bool redis_is_cluster(const struct redis *r)
{
	return r->slots != NULL;
}

/* The server's answer may be that somebody else has the key. True: *n (with *ask) is to be asked next. */
static bool goes_on(struct redis *r, struct redis_node **n, const struct redis_value *v, bool *ask)
{
	struct redis_node *other;

	if (v->type != REDIS_ERROR || r->slots == NULL)
		return false;
	if (str_starts(v->text, STR("TRYAGAIN"))) {
		fiber_sleep(TRY_AGAIN_MS);
		return true;
	}
	other = redis_route_moved(r, *n, v->text, ask);
	if (other != NULL)
		*n = other;
	return other != NULL;
}

static bool is_foreign(const struct redis *r, const struct redis_value *v)
{
	return v->type == REDIS_ERROR && r->slots == NULL && str_starts(v->text, STR("MOVED "));
}

/* The server failed. Perhaps another one has its place by now: true when *n is that one. */
static bool replaced(struct redis *r, struct redis_node **n, struct str command, int64_t deadline)
{
	struct redis_node *other;
	struct err e = ERR_INIT;

	redis_route_doubt(r);
	redis_route_wait(r, deadline);
	if (clock_mono_ms() >= deadline)
		return false;
	other = redis_route(r, command, deadline, &e);
	if (other == NULL || other == *n)
		return false;
	*n = other;
	return true;
}

static int run(struct redis *r, struct arena *a, struct str command, struct redis_value *value, struct err *e)
{
	int64_t deadline = deadline_in(r->set.timeout_ms);
	struct redis_node *n = redis_route(r, command, deadline, e);
	bool ask = false;

	if (n == NULL)
		return err_context(e, "Redis %s", r->set.servers);
	for (int hops = 0; hops < HOPS_MAX; hops++) {
		bool was_open = n->open;

		if (redis_node_run(n, a, command, ask, deadline, value, e) == 0) {
			if (!goes_on(r, &n, value, &ask))
				return is_foreign(r, value) ? err_temp(e, "Redis %s is a cluster", n->endpoint) : 0;
		} else if (was_open || !replaced(r, &n, command, deadline)) {
			return err_context(e, "Redis %s", n->endpoint);
		}
	}
	return err_temp(e, "Redis %s: more than %d redirections", r->set.servers, HOPS_MAX);
}

int redis_command(struct redis *r, struct arena *a, size_t argc, const struct str *argv, struct redis_value *value, struct err *e)
{
	struct str command = redis_format(argc, argv);
	int rc = run(r, a, command, value, e);

	redisFreeCommand((char *)(uintptr_t)command.p);
	return rc;
}

int redis_commandf(struct redis *r, struct arena *a, struct redis_value *value, struct err *e, const char *fmt, ...)
{
	char *text = NULL;
	va_list ap;
	int n, rc;

	va_start(ap, fmt);
	n = redisvFormatCommand(&text, fmt, ap);
	va_end(ap);
	check(n > 0);
	rc = run(r, a, str_n(text, (size_t)n), value, e);
	redisFreeCommand(text);
	return rc;
}

static struct str script_sha(struct arena *a, const char *script)
{
	unsigned char digest[SHA_DIGEST_LENGTH];
	char *hex = arena_alloc(a, sizeof digest * 2 + 1);

	SHA1((const unsigned char *)script, strlen(script), digest);
	for (size_t i = 0; i < sizeof digest; i++)
		snprintf(hex + 2 * i, 3, "%02x", digest[i]);
	return str_n(hex, sizeof digest * 2);
}

int redis_script(struct redis *r, struct arena *a, const char *script, size_t keys, size_t argc, const struct str *argv,
	struct redis_value *value, struct err *e)
{
	struct str words[REDIS_ARGS_MAX] = { STR_INIT("EVALSHA"), script_sha(a, script), arena_printf(a, "%zu", keys) };

	check(argc + 3 <= REDIS_ARGS_MAX && keys <= argc);
	for (size_t i = 0; i < argc; i++)
		words[i + 3] = argv[i];
	if (redis_command(r, a, argc + 3, words, value, e) < 0)
		return -1;
	if (value->type != REDIS_ERROR || !str_starts(value->text, STR("NOSCRIPT")))
		return 0;
	words[0] = STR("EVAL");
	words[1] = str_z(script);
	return redis_command(r, a, argc + 3, words, value, e);
}

/* ---- scanning, for tools ---- */

struct scan {
	const char *pattern;
	bool (*take)(void *ctx, struct str key);
	void *ctx;
};

/* One server's keys, some at a time. 1: the taker has enough. */
static int scan_node(struct redis_node *n, const struct scan *scan, struct err *e)
{
	struct arena *a = arena_new("redis scan");
	struct str words[] = { STR_INIT("SCAN"), STR_INIT("0"), STR_INIT("MATCH"), str_z(scan->pattern), STR_INIT("COUNT"), STR_INIT("500") };
	int rc = 0;

	do {
		struct str command = redis_format(6, words);
		struct redis_value v;
		struct buf cursor = { 0 };

		rc = redis_node_run(n, a, command, false, deadline_in(SCAN_MS), &v, e);
		redisFreeCommand((char *)(uintptr_t)command.p);
		if (rc == 0 && (v.type != REDIS_ARRAY || v.count != 2))
			rc = err_temp(e, "SCAN: %.*s", STRF(v.text));
		if (rc < 0)
			break;
		for (size_t i = 0; i < v.items[1].count && rc == 0; i++)
			rc = scan->take(scan->ctx, v.items[1].items[i].text) ? 0 : 1;
		buf_add(&cursor, v.items[0].text);
		arena_reset(a);
		words[1] = arena_dup(a, buf_str(&cursor));
		buf_done(&cursor);
	} while (rc == 0 && !str_eqz(words[1], "0"));
	arena_free(a);
	return rc < 0 ? err_context(e, "Redis %s", n->endpoint) : rc;
}

static bool is_primary(const struct redis *r, const struct redis_node *n)
{
	for (size_t i = 0; r->slots != NULL && i < REDIS_SLOTS; i++)
		if (r->slots[i] == n)
			return true;
	return n == r->master;
}

int redis_scan(struct redis *r, const char *pattern, bool (*take)(void *ctx, struct str key), void *ctx, struct err *e)
{
	struct scan scan = { pattern, take, ctx };
	int rc = 0;

	if (redis_route(r, STR("PING"), deadline_in(r->set.timeout_ms), e) == NULL)
		return err_context(e, "Redis %s", r->set.servers);
	for (size_t i = 0; i < r->node_count && rc == 0; i++)
		if (is_primary(r, r->nodes[i]))
			rc = scan_node(r->nodes[i], &scan, e);
	return rc < 0 ? -1 : 0;
}
