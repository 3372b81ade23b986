/* mta/bounce/submit.h - a notification on its way to cleanup. */
#ifndef GATEPOST_MTA_BOUNCE_SUBMIT_H
#define GATEPOST_MTA_BOUNCE_SUBMIT_H

#include "lib/conf/conf.h"
#include "mta/bounce/notice.h"

void submit_init(const struct conf *c);
/* Queue n, with the returned message read from n->about->fd. from: envelope sender ("" or the double bounce address). 0 when it is durably
 * queued, or -1 with *e. Suspends. */
int submit_notice(const struct notice *n, struct str from, struct arena *a, struct err *e);

#endif
