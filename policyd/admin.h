/* policyd/admin.h - what operators ask (gatepost greylist, gatepost rate), over the policy protocol: request=ORDER and arguments; the answer is
 * a block of attributes for each thing that was found, then one with action=DUNNO, or with action=451 and the reason.
 */
#ifndef GATEPOST_POLICYD_ADMIN_H
#define GATEPOST_POLICYD_ADMIN_H

#include "policyd/policyd.h"

struct order;
const struct order *admin_order(struct str request); /* NULL: not one */
/* Obey and answer. Suspends. 0, or -1 with *e: the client is gone. */
int admin_serve(struct stream *io, struct arena *a, const struct order *o, const struct policy_request *attrs, struct err *e);

#endif
