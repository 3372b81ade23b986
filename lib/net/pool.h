/* lib/net/pool.h - kept-alive connections from one process to one endpoint.
 * Take a connection, hold a request/answer dialogue on it, put it back; a connection that failed, or in doubt, is dropped.
 */
#ifndef GATEPOST_LIB_NET_POOL_H
#define GATEPOST_LIB_NET_POOL_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/net/stream.h"

struct pool;

/* max_idle: connections kept; idle_ms: how long; ttl_ms: longest life of a connection, < 0: any. Texts are copied. */
struct pool *pool_new(const char *endpoint, unsigned max_idle, int64_t idle_ms, int64_t ttl_ms);
void pool_free(struct pool *p);
/* An idle connection that still looks alive, else a new one. *reused tells which (a request on a reused one that fails at
 * once deserves one retry). Suspends. NULL with *e. */
struct stream *pool_get(struct pool *p, int64_t deadline, bool *reused, struct err *e);
void pool_put(struct pool *p, struct stream *s); /* ready for the next dialogue */
void pool_drop(struct pool *p, struct stream *s); /* closed */
const char *pool_endpoint(const struct pool *p);

#endif
