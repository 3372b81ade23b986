/* lib/mail/delay.h - "delay=1.4, delays=0.13/0.01/0.66/0.58" of delivery log lines: two significant digits, at most two decimals. */
#ifndef GATEPOST_LIB_MAIL_DELAY_H
#define GATEPOST_LIB_MAIL_DELAY_H

#include <stdint.h>

#include "lib/base/str.h"

void delay_print(struct buf *out, int64_t us); /* one number, in seconds */

#endif
