/* t/unit/lru.c - a bounded memory. */
#include "lib/base/lru.h"

#include "t/unit/tap.h"

static bool collect(void *ctx, struct str key, struct str value, int64_t seconds_left)
{
	buf_addf(ctx, "%.*s=%.*s/%lld ", STRF(key), STRF(value), (long long)seconds_left);
	return !str_eqz(key, "net:1");
}

static void test_all(void)
{
	struct lru *l = lru_new(10);
	struct buf seen = { 0 };

	lru_put(l, STR("net:1"), STR("x"), 100);
	lru_put(l, STR("net:2"), STR("y"), 50);
	lru_put(l, STR("other"), STR("z"), 5);
	lru_each(l, collect, &seen);
	is_str(buf_str(&seen), STR("other=z/5 net:2=y/50 net:1=x/100 "), "all are shown");
	is_int((long long)lru_del(l, STR("net:")), 2, "two begin like this");
	is_int((long long)lru_count(l), 1, "and are gone");
	ok(lru_get(l, STR("other"), NULL), "the other one stays");
	buf_done(&seen);
	lru_free(l);
}

int main(void)
{
	struct lru *l = lru_new(2);
	struct buf b = { 0 };

	lru_put(l, STR("a"), STR("1"), 100);
	lru_put(l, STR("b"), STR("2"), 100);
	ok(lru_get(l, STR("a"), &b), "kept");
	is_str(buf_str(&b), STR("1"), "value");
	lru_put(l, STR("c"), STR("3"), 100);
	ok(!lru_get(l, STR("b"), NULL), "the longest unused went");
	ok(lru_get(l, STR("a"), NULL) && lru_get(l, STR("c"), NULL), "the others stay");
	lru_put(l, STR("a"), STR("new"), 100);
	buf_clear(&b);
	ok(lru_get(l, STR("a"), &b), "replaced");
	is_str(buf_str(&b), STR("new"), "by the new value");
	is_int((long long)lru_count(l), 2, "never more than its size");
	lru_put(l, STR("a"), STR("x"), 0);
	ok(!lru_get(l, STR("a"), NULL), "no time to live: forgotten");
	buf_done(&b);
	lru_free(l);
	test_all();
	return done_testing();
}
