/* lib/proto/rewrite.c - questions about addresses, both ends, and the asker's cache: the same question within seconds is not asked again.
 * The cache is bounded; answers about trouble are never kept.
 */
#include "lib/proto/rewrite.h"

#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/list.h"
#include "lib/base/map.h"
#include "lib/base/mem.h"
#include "lib/net/fiber.h"
#include "lib/net/pool.h"
#include "lib/proto/wire.h"

#define CACHE_MAX 2000 /* answers */
#define CACHE_TTL_MS 3000 /* how long a changed table may go unnoticed */
#define CACHE_KEY_MAX 1200 /* longer questions are not worth keeping */
#define POOL_IDLE_MAX 16
#define POOL_IDLE_MS 60000
#define POOL_TTL_MS 600000
#define ASK_TRIES 3
#define ASK_PAUSE_MS 100 /* between tries, times the number of the try */

struct cached {
	struct list use; /* in rewrite_client.used, latest first */
	struct str key;
	int64_t until; /* monotonic ms */
	struct rewrite_answer answer;
	char bytes[]; /* key and the answer's texts */
};

struct rewrite_client {
	struct pool *pool;
	int64_t timeout_ms;
	struct map *cache;
	struct list used;
};

struct rewrite_client *rewrite_client_new(const char *endpoint, int64_t timeout_ms)
{
	struct rewrite_client *c = mem_alloc(sizeof *c);

	c->pool = pool_new(endpoint, POOL_IDLE_MAX, POOL_IDLE_MS, POOL_TTL_MS);
	c->timeout_ms = timeout_ms;
	c->cache = map_new();
	list_init(&c->used);
	return c;
}

void rewrite_client_free(struct rewrite_client *c)
{
	if (c == NULL)
		return;
	map_free(c->cache, mem_free);
	pool_free(c->pool);
	mem_free(c);
}

/* ---- the cache ---- */

static void cache_key(struct buf *key, const struct rewrite_question *q, bool with_sender)
{
	buf_clear(key);
	buf_addc(key, (char)('0' + (q->flags & 3)));
	buf_addc(key, with_sender ? 's' : '-');
	buf_add(key, q->address);
	buf_addc(key, '\0');
	if (with_sender)
		buf_add(key, q->sender);
}

static void cache_drop(struct rewrite_client *c, struct cached *k)
{
	map_del(c->cache, k->key);
	list_del(&k->use);
	mem_free(k);
}

static bool cache_get(struct rewrite_client *c, struct str key, struct arena *a, struct rewrite_answer *out)
{
	struct cached *k = map_get(c->cache, key);

	if (k == NULL)
		return false;
	if (clock_mono_ms() >= k->until) {
		cache_drop(c, k);
		return false;
	}
	list_del(&k->use);
	list_add_head(&c->used, &k->use);
	*out = k->answer;
	out->address = arena_dup(a, k->answer.address);
	out->transport = arena_dup(a, k->answer.transport);
	out->nexthop = arena_dup(a, k->answer.nexthop);
	out->alias = arena_dup(a, k->answer.alias);
	out->why = arena_dup(a, k->answer.why);
	return true;
}

static struct str keep(char **at, struct str s)
{
	char *p = *at;

	if (s.n > 0)
		memcpy(p, s.p, s.n);
	*at = p + s.n;
	return str_n(p, s.n);
}

static void cache_put(struct rewrite_client *c, struct str key, const struct rewrite_answer *r)
{
	struct cached *old = map_get(c->cache, key), *k;
	char *at;

	if (r->temp_fail || key.n > CACHE_KEY_MAX)
		return;
	if (old != NULL)
		cache_drop(c, old);
	else if (map_count(c->cache) >= CACHE_MAX)
		cache_drop(c, LIST_OWNER(c->used.prev, struct cached, use));
	k = mem_alloc(sizeof *k + key.n + r->address.n + r->transport.n + r->nexthop.n + r->alias.n + r->why.n);
	at = k->bytes;
	k->key = keep(&at, key);
	k->answer = *r;
	k->answer.address = keep(&at, r->address);
	k->answer.transport = keep(&at, r->transport);
	k->answer.nexthop = keep(&at, r->nexthop);
	k->answer.alias = keep(&at, r->alias);
	k->answer.why = keep(&at, r->why);
	k->until = clock_mono_ms() + CACHE_TTL_MS;
	map_put(c->cache, k->key, k);
	list_add_head(&c->used, &k->use);
}

/* ---- asking ---- */

static int send_question(struct stream *s, const struct rewrite_question *q, int64_t deadline, struct err *e)
{
	struct buf b = { 0 };
	size_t at = wire_begin(&b);

	wire_put_u32(&b, q->flags);
	wire_put_str(&b, q->sender);
	wire_put_str(&b, q->address);
	wire_put_str(&b, q->service);
	wire_end(&b, at);
	return wire_send(s, &b, NULL, 0, deadline, e);
}

static int receive_answer(struct stream *s, struct arena *a, struct rewrite_answer *out, int64_t deadline, struct err *e)
{
	struct wire_in in;
	uint8_t klass;

	memset(out, 0, sizeof *out);
	if (wire_receive_answer(s, a, &in, deadline, e) < 0)
		return -1;
	out->temp_fail = wire_get_u8(&in);
	klass = wire_get_u8(&in);
	out->klass = (enum rewrite_class)klass;
	out->flags = wire_get_u32(&in);
	out->address = wire_get_str(&in);
	out->transport = wire_get_str(&in);
	out->nexthop = wire_get_str(&in);
	out->alias = wire_get_str(&in);
	out->why = wire_get_str(&in);
	return wire_ok(&in) && klass <= CLASS_DEFAULT ? 0 : wire_malformed(e);
}

static int ask_once(struct rewrite_client *c, struct arena *a, const struct rewrite_question *q, struct rewrite_answer *out,
	int64_t deadline, struct err *e)
{
	bool reused;
	struct stream *s = pool_get(c->pool, deadline, &reused, e);

	if (s == NULL)
		return -1;
	if (send_question(s, q, deadline, e) < 0 || receive_answer(s, a, out, deadline, e) < 0) {
		pool_drop(c->pool, s);
		return -1;
	}
	pool_put(c->pool, s);
	return 0;
}

/* A worker that is replaced closes its connections: try again on another one while there is time. */
static int ask(struct rewrite_client *c, struct arena *a, const struct rewrite_question *q, struct rewrite_answer *out, struct err *e)
{
	int64_t deadline = deadline_in(c->timeout_ms);

	for (int i = 1; i <= ASK_TRIES; i++) {
		if (ask_once(c, a, q, out, deadline, e) == 0)
			return 0;
		if (i < ASK_TRIES && clock_mono_ms() + ASK_PAUSE_MS * i < deadline)
			fiber_sleep(ASK_PAUSE_MS * (i - 1)); /* the first retry at once */
	}
	return err_context(e, "%s", pool_endpoint(c->pool));
}

int rewrite_ask(struct rewrite_client *c, struct arena *a, const struct rewrite_question *q, struct rewrite_answer *out, struct err *e)
{
	struct buf key = { 0 };
	bool found, any_sender;
	int r = 0;

	cache_key(&key, q, false);
	found = cache_get(c, buf_str(&key), a, out);
	if (!found) {
		cache_key(&key, q, true);
		found = cache_get(c, buf_str(&key), a, out);
	}
	if (!found) {
		r = ask(c, a, q, out, e);
		any_sender = r == 0 && (out->flags & REWRITE_ANY_SENDER) != 0;
		cache_key(&key, q, !any_sender);
		if (r == 0)
			cache_put(c, buf_str(&key), out);
	}
	buf_done(&key);
	return r;
}

/* ---- trivial-rewrite's side ---- */

int rewrite_receive(struct stream *s, struct arena *a, struct rewrite_question *q, int64_t deadline, struct err *e)
{
	struct wire_in in;
	int r = wire_receive_request(s, a, &in, deadline, e);

	memset(q, 0, sizeof *q);
	if (r != 0)
		return r;
	q->flags = wire_get_u32(&in);
	q->sender = wire_get_str(&in);
	q->address = wire_get_str(&in);
	q->service = wire_get_str(&in);
	return wire_ok(&in) ? 0 : wire_malformed(e);
}

int rewrite_send_answer(struct stream *s, const struct rewrite_answer *out, int64_t deadline, struct err *e)
{
	struct buf b = { 0 };
	size_t at = wire_begin(&b);

	wire_put_u8(&b, (uint8_t)(out->temp_fail != 0));
	wire_put_u8(&b, (uint8_t)out->klass);
	wire_put_u32(&b, out->flags);
	wire_put_str(&b, out->address);
	wire_put_str(&b, out->transport);
	wire_put_str(&b, out->nexthop);
	wire_put_str(&b, out->alias);
	wire_put_str(&b, out->why);
	wire_end(&b, at);
	return wire_send(s, &b, NULL, 0, deadline, e);
}
