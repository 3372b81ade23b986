/* lib/net/digest.h - digests that OpenSSL knows, for those who must not know OpenSSL. */
#ifndef GATEPOST_LIB_NET_DIGEST_H
#define GATEPOST_LIB_NET_DIGEST_H

#include <stdbool.h>

#include "lib/base/str.h"

/* HMAC (RFC 2104) of text under key in lower case hex, added to out. digest: "md5", "sha256". False: the library does not have it. */
bool digest_hmac_hex(const char *digest, struct str key, struct str text, struct buf *out);

#endif
