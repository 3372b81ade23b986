/* lib/base/base64.h - RFC 4648 base64. */
#ifndef GATEPOST_LIB_BASE_BASE64_H
#define GATEPOST_LIB_BASE_BASE64_H

#include "lib/base/str.h"

void base64_encode(struct buf *out, struct str in);
int base64_decode(struct buf *out, struct str in); /* 0; -1 on a bad alphabet or padding, out unchanged */

#endif
