/* lib/table/redis.c - redis:/file, a Redis command per key. The file's settings: endpoint, user, password, database, timeout, and
 * "query = GET alias:%s" (words separated by blanks, each a word of the command however odd the key is). A nil answer is "not found", an array
 * gives several values.
 */
#include "lib/net/redis.h"

#include "lib/base/mem.h"
#include "lib/net/loop.h"
#include "lib/table/query.h"
#include "lib/table/registry.h"

#define WORDS_MAX 16
#define TIMEOUT_SECONDS_MAX 60
#define BREAKER_FAILURES 3
#define BREAKER_MS 5000

struct redis_table {
	struct query q;
	struct redis *redis;
	const char *words[WORDS_MAX];
	size_t word_count;
};

struct question {
	const struct redis_table *table;
	struct query_result *result;
	struct err *e;
	int rc;
};

static void redis_close_table(struct table *t)
{
	struct redis_table *r = t->state;

	redis_free(r->redis);
	query_close(&r->q);
	mem_free(r);
}

static int split_query(struct redis_table *r, struct err *e)
{
	struct str rest = str_z(query_setting(&r->q, "query", "")), word;

	while ((word = str_word(&rest, " \t")).n > 0) {
		if (r->word_count == WORDS_MAX)
			return err_perm(e, "query: more than %d words", WORDS_MAX);
		r->words[r->word_count++] = arena_z(r->q.life, word);
	}
	return r->word_count > 0 ? 0 : err_perm(e, "no query: \"query = GET prefix:%%s\" or the like expected");
}

static int connect_to(struct redis_table *r, struct err *e)
{
	struct redis_settings set = {
		.servers = query_setting(&r->q, "endpoint", "inet:127.0.0.1:6379"),
		.user = query_setting(&r->q, "user", ""),
		.password = query_setting(&r->q, "password", ""),
		.breaker_failures = BREAKER_FAILURES,
		.breaker_ms = BREAKER_MS,
	};
	uint64_t database, timeout;

	if (query_number(&r->q, "database", INT16_MAX, 0, &database, e) < 0 ||
		query_number(&r->q, "timeout", TIMEOUT_SECONDS_MAX, 5, &timeout, e) < 0)
		return -1;
	set.database = (int)database;
	set.timeout_ms = (int64_t)timeout * 1000;
	r->redis = redis_new(&set);
	return 0;
}

static int redis_open(struct table *t, struct str name, struct err *e)
{
	static const char *const names[] = { "database", "endpoint", "password", "query", "timeout", "user", NULL };
	struct redis_table *r = mem_alloc(sizeof *r);

	if (query_open(&r->q, t, name, names, e) < 0) {
		mem_free(r);
		return -1;
	}
	t->state = r;
	if (split_query(r, e) == 0 && connect_to(r, e) == 0)
		return 0;
	redis_close_table(t);
	return -1;
}

static void as_it_is(void *ctx, struct str part, struct buf *out)
{
	(void)ctx; /* a word of a command needs no quoting */
	buf_add(out, part);
}

static int take_value(struct query_result *result, const struct redis_value *v, struct arena *a, struct err *e)
{
	switch (v->type) {
	case REDIS_NIL:
		return 0;
	case REDIS_ERROR:
		return err_temp(e, "the server says: %.*s", STRF(v->text));
	case REDIS_INTEGER:
		return query_add_value(result, arena_printf(a, "%lld", (long long)v->integer), e);
	default:
		return query_add_value(result, v->text, e);
	}
}

static int take_answer(struct query_result *result, const struct redis_value *v, struct arena *a, struct err *e)
{
	int rc = 0;

	if (v->type != REDIS_ARRAY)
		return take_value(result, v, a, e);
	for (size_t i = 0; i < v->count && rc == 0; i++)
		if (v->items[i].type != REDIS_ARRAY)
			rc = take_value(result, &v->items[i], a, e);
	return rc;
}

static void ask(void *arg)
{
	struct question *q = arg;
	const struct redis_table *r = q->table;
	struct arena *a = arena_new("redis table");
	struct str words[WORDS_MAX];
	struct buf word = { 0 };
	struct redis_value v;
	bool complete = true;

	for (size_t i = 0; i < r->word_count && complete; i++) {
		buf_clear(&word);
		complete = query_expand(r->words[i], q->result->key, as_it_is, NULL, &word);
		words[i] = arena_dup(a, buf_str(&word));
	}
	buf_done(&word);
	if (complete)
		q->rc = redis_command(r->redis, a, r->word_count, words, &v, q->e);
	if (complete && q->rc == 0)
		q->rc = take_answer(q->result, &v, a, q->e);
	arena_free(a);
}

static enum table_answer redis_lookup(struct table *t, struct str key, struct buf *value, struct err *e)
{
	const struct redis_table *r = t->state;
	struct buf folded = { 0 };
	struct query_result result = { .query = &r->q, .key = table_key(t, key, &folded) };
	struct question q = { r, &result, e, 0 };
	enum table_answer answer = query_wants(&r->q, result.key, e);

	if (answer == TABLE_FOUND) {
		loop_call("redis table", ask, &q);
		answer = q.rc < 0 ? TABLE_FAILED : result.count > 0 ? TABLE_FOUND : TABLE_MISSING;
	}
	buf_add(value, buf_str(&result.values));
	buf_done(&result.values);
	buf_done(&folded);
	return answer;
}

const struct table_type table_redis = { "redis", TABLE_SUSPENDS, redis_open, redis_lookup, redis_close_table };
