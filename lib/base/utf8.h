/* lib/base/utf8.h - is this valid UTF-8 (RFC 3629)? */
#ifndef GATEPOST_LIB_BASE_UTF8_H
#define GATEPOST_LIB_BASE_UTF8_H

#include <stdbool.h>

#include "lib/base/str.h"

bool utf8_valid(struct str s);
bool utf8_ascii(struct str s); /* no byte above 127 */
size_t utf8_beyond_ascii(struct str s); /* how many bytes are above 127 */

#endif
