/* lib/base/map.h - hash map from byte strings to pointers; keys are copied, values borrowed.
 * Keyed hash (seeded per process): a stranger cannot choose colliding keys.
 */
#ifndef GATEPOST_LIB_BASE_MAP_H
#define GATEPOST_LIB_BASE_MAP_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/str.h"

struct map;

struct map *map_new(void);
void map_free(struct map *m, void (*value_free)(void *)); /* value_free may be NULL */
void *map_get(const struct map *m, struct str key);       /* NULL when absent */
void *map_put(struct map *m, struct str key, void *value); /* value non-NULL; returns the old value or NULL */
void *map_del(struct map *m, struct str key);              /* returns the value or NULL */
size_t map_count(const struct map *m);
/* Visit all entries in no particular order: size_t at = 0; while (map_next(m, &at, &key, &value)) ...
 * The map must not change meanwhile, except by map_del of the entry just returned. */
bool map_next(const struct map *m, size_t *at, struct str *key, void **value);

#endif
