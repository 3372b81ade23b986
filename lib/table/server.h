/* lib/table/server.h - tables that are asked over a connection: kept connections, one deadline for each question. */
#ifndef GATEPOST_LIB_TABLE_SERVER_H
#define GATEPOST_LIB_TABLE_SERVER_H

#include "lib/net/pool.h"
#include "lib/table/table.h"

#define SERVER_TIMEOUT_MS 30000 /* of one question, connecting included */
#define SERVER_IDLE_MAX 8 /* connections kept */
#define SERVER_IDLE_MS 60000

/* One question and its answer on s. 0, or -1 with *e: the connection is not used again. */
typedef int server_talk_fn(struct stream *s, void *ctx, int64_t deadline, struct err *e);

/* Talk over a kept connection or a new one; a kept one that fails at once is replaced once. Suspends; works outside of fibers, too. */
int server_ask(struct pool *p, server_talk_fn *talk, void *ctx, struct err *e);

#endif
