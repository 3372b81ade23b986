/* policyd/allow.h - policyd_allow_*: who is not judged at all. */
#ifndef GATEPOST_POLICYD_ALLOW_H
#define GATEPOST_POLICYD_ALLOW_H

#include "policyd/policyd.h"

/* Which parameter lets the request go; NULL: none. Suspends. */
const char *allow_reason(struct request *r);

#endif
