/* lib/queue/codec.h - numbers and texts of the message file: little endian, texts with a length in front. Readers are sticky: after a
 * short field every further get returns zero or empty and ok is false.
 */
#ifndef GATEPOST_LIB_QUEUE_CODEC_H
#define GATEPOST_LIB_QUEUE_CODEC_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/str.h"

struct codec_in {
	struct str rest;
	bool bad;
};

void codec_put(struct buf *b, uint64_t v, unsigned octets);
void codec_put_str(struct buf *b, struct str s); /* u32 length, bytes */
uint64_t codec_load(const char *p, unsigned octets);
uint64_t codec_get(struct codec_in *in, unsigned octets);
struct str codec_get_str(struct codec_in *in); /* slice */

#endif
