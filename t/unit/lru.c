/* t/unit/lru.c - a bounded memory. */
#include "lib/base/lru.h"

#include "t/unit/tap.h"

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
	return done_testing();
}
