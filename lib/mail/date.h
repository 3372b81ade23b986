/* lib/mail/date.h - dates as mail writes them. */
#ifndef GATEPOST_LIB_MAIL_DATE_H
#define GATEPOST_LIB_MAIL_DATE_H

#include <stdint.h>

#include "lib/base/str.h"

/* "Tue, 24 Nov 2026 10:00:00 +0100 (CET)", local time (RFC 5322 section 3.3). wall_us: microseconds since 1970. */
void date_rfc5322(struct buf *out, int64_t wall_us);
/* "Tue Nov 24 10:00:00 2026", local time, for mbox From_ lines. */
void date_asctime(struct buf *out, int64_t wall_us);
/* "2026-11-24T10:00:00Z" (RFC 3339). */
void date_rfc3339(struct buf *out, int64_t wall_us);
/* "20261124100000": UTC, for message ids. */
void date_compact(struct buf *out, int64_t wall_us);

#endif
