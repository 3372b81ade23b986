/* lib/base/lru.h - a bounded memory of byte strings with a time to live; the longest unused goes first. */
#ifndef GATEPOST_LIB_BASE_LRU_H
#define GATEPOST_LIB_BASE_LRU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/str.h"

struct lru;

struct lru *lru_new(size_t entries);
void lru_free(struct lru *l);
/* True when key is known and not too old; its value is appended to *value (NULL: not wanted). */
bool lru_get(struct lru *l, struct str key, struct buf *value);
void lru_put(struct lru *l, struct str key, struct str value, int64_t seconds);
/* Forget everything whose key begins with prefix; how many there were. */
size_t lru_del(struct lru *l, struct str prefix);
/* Show what is not too old, the latest used first, until visit says false. visit must not change l. */
void lru_each(struct lru *l, bool (*visit)(void *ctx, struct str key, struct str value, int64_t seconds_left), void *ctx);
size_t lru_count(const struct lru *l);

#endif
