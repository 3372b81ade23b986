/* t/fuzz/fuzz_redis.c - answers of a Redis server that is not what it should be. */
#include <hiredis/read.h>

#include "lib/net/redis_value.h"
#include "t/fuzz/fuzz.h"

#define DEPTH_MAX 16 /* hiredis allows 7 */

static void walk(const struct redis_value *v, size_t *left, int depth)
{
	check(depth < DEPTH_MAX && (*left)-- > 0);
	for (size_t i = 0; i < v->count; i++)
		walk(&v->items[i], left, depth + 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena *a = arena_new("fuzz");
	struct redisReader *reader = redis_reader_new(a);
	void *got = NULL;
	size_t left = REDIS_ITEMS_MAX + 2;

	if (redisReaderFeed(reader, (const char *)data, size) == 0 && redisReaderGetReply(reader, &got) == 0 && got != NULL)
		walk(got, &left, 0);
	redisReaderFree(reader);
	arena_free(a);
	return 0;
}
