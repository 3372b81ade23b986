/* lib/base/utf8.h - is this valid UTF-8 (RFC 3629)? And a character in it. */
#ifndef GATEPOST_LIB_BASE_UTF8_H
#define GATEPOST_LIB_BASE_UTF8_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/str.h"

bool utf8_valid(struct str s);
bool utf8_ascii(struct str s); /* no byte above 127 */
size_t utf8_beyond_ascii(struct str s); /* how many bytes are above 127 */
void utf8_put(struct buf *out, uint32_t v); /* the character v, at most U+10FFFF */

#endif
