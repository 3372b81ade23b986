/* milters/common/cache.h - what the process remembers for a while: byte strings by key, bounded in octets, for any thread. */
#ifndef GATEPOST_MILTERS_COMMON_CACHE_H
#define GATEPOST_MILTERS_COMMON_CACHE_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/str.h"

/* True: known and not too old; the value is appended. */
bool cache_get(struct str key, struct buf *value);
void cache_put(struct str key, struct str value, int64_t seconds);

#endif
