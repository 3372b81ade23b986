/* mta/metrics/metrics.h - what the files of the metrics service share. */
#ifndef GATEPOST_MTA_METRICS_METRICS_H
#define GATEPOST_MTA_METRICS_METRICS_H

#include "lib/base/str.h"

/* page.c: the answers. page_metrics() suspends. */
void page_metrics(struct buf *out);
void page_processes(struct buf *out); /* for `gatepost status`: "PID COMMAND SERVICE START" a line */
bool page_ready(void); /* is there somebody to take mail, queue it and deliver it? */

/* queues.c: how much is in which queue, not older than a few seconds. Suspends. */
void queues_print(struct buf *out);

#endif
