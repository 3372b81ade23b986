/* lib/mail/casefold.h - two spellings of an address that differ in case alone, made equal: also beyond ASCII (RFC 6531).
 */
#ifndef GATEPOST_LIB_MAIL_CASEFOLD_H
#define GATEPOST_LIB_MAIL_CASEFOLD_H

#include "lib/base/arena.h"
#include "lib/base/str.h"

/* Text that compares equal for all spellings of s (Unicode case folding: "GRÜßE" and "grüSSe" are both "grüsse"). What is not UTF-8 is
 * folded as ASCII. Allocated in a. */
struct str casefold(struct arena *a, struct str s);

#endif
