/* lib/net/redis_value.h - hiredis' reader building struct redis_value in an arena; for redis.c and its fuzz target. */
#ifndef GATEPOST_LIB_NET_REDIS_VALUE_H
#define GATEPOST_LIB_NET_REDIS_VALUE_H

#include "lib/net/redis.h"

#define REDIS_ARGS_MAX 64 /* words of one command */
#define REDIS_ITEMS_MAX 65536u /* members of all arrays of one answer */

struct redisReader;

/* Free with redisReaderFree(); the objects it returns are struct redis_value * in a. */
struct redisReader *redis_reader_new(struct arena *a);

#endif
