/* lib/smtp/reply.h - SMTP replies (RFC 5321 section 4.2): read and parse for clients, format for servers. */
#ifndef GATEPOST_LIB_SMTP_REPLY_H
#define GATEPOST_LIB_SMTP_REPLY_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/base/str.h"
#include "lib/net/stream.h"

#define SMTP_REPLY_MAX 65536 /* octets of all lines of one reply */

struct smtp_reply {
	struct code code; /* smtp: 200..599; c, s, d from the text when its class fits, else class.0.0 */
	struct buf
		text; /* the lines joined with blanks, each with its code, unprintable octets as '?': "550-5.1.1 No 550 5.1.1 such user" */
	struct buf lines; /* the same with LF ends, for EHLO keywords */
	void (*filter)(struct buf *line); /* changes what the server said before it is understood; NULL: no such thing */
};

/* Read one reply, all its lines. *r is reused (cleared first). A line that is no reply is an error of kind TEMP (*result STREAM_OK).
 * Suspends. 0, or -1 with *e; *result tells lost connection and timeout apart (enum stream_result). */
int smtp_reply_read(struct stream *s, struct smtp_reply *r, int64_t deadline, int *result, struct err *e);
/* The same without I/O: add one line (without its end) to *r, which starts as { 0 }. 1: it was the last; 0: more follow; -1 with *e: no
 * reply. */
int smtp_reply_line(struct smtp_reply *r, struct str line, struct err *e);
void smtp_reply_done(struct smtp_reply *r);

/* "250-PIPELINING" lines: does the EHLO reply offer keyword? *args: what follows it. */
bool smtp_reply_offers(const struct smtp_reply *r, const char *keyword, struct str *args);

#endif
