/* lib/base/hash.h - keyed hashing of untrusted bytes, and the checksum of queue files. */
#ifndef GATEPOST_LIB_BASE_HASH_H
#define GATEPOST_LIB_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

#include "lib/base/str.h"

uint64_t hash_bytes(struct str s);                             /* SipHash-1-3 with a key made at process start */
uint32_t hash_crc32c(uint32_t crc, const void *p, size_t n);   /* Castagnoli, RFC 3720 appendix B.4; start with 0 */

#endif
