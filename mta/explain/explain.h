/* mta/explain/explain.h - what the files of the explain service share. */
#ifndef GATEPOST_MTA_EXPLAIN_EXPLAIN_H
#define GATEPOST_MTA_EXPLAIN_EXPLAIN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/base/err.h"
#include "lib/base/str.h"
#include "lib/conf/conf.h"

/* ring.c: the newest events, in files of this host. */
void ring_init(const struct conf *c); /* before privileges drop */
void ring_start(void); /* begin to write: a fiber does */
void ring_add(struct str lines); /* whole ones */
void ring_stop(void); /* what is here is written. Suspends. */
bool ring_used(void); /* explain_ring_size is not 0 */

struct ring_place { /* of a reader */
	uint64_t segment; /* 0: the oldest there is */
	off_t at;
};
/* Whole lines from this place on, at most max octets, and the place moves on. 0: nothing new; 1: there is; -1 with *e. Blocking: offload() it. */
int ring_read(struct ring_place *p, size_t max, struct buf *out, struct err *e);

/* share.c: the same events in a Redis stream that all hosts share. */
void share_init(const struct conf *c);
void share_start(void);
void share_wake(void); /* there is something to read */

#endif
