/* milters/common/listen.h - where a milter listens: Gatepost's way to write it ("inet:host:port", "unix:path") for libmilter. */
#ifndef GATEPOST_MILTERS_COMMON_LISTEN_H
#define GATEPOST_MILTERS_COMMON_LISTEN_H

#include "lib/base/err.h"
#include "lib/base/str.h"

/* "inet:host:port", "inet:[v6]:port", "unix:path" (relative: below base) as libmilter wants it, appended to out. 0, or -1 with *e. */
int listen_spec(struct str socket, const char *base, struct buf *out, struct err *e);

#endif
