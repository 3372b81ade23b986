/* mta/bounce/notice.h - the text of a notification: RFC 3464 delivery status in an RFC 6522 report. Bytes in, bytes out.
 * The spelling and order of header fields is what programs that read bounces expect.
 */
#ifndef GATEPOST_MTA_BOUNCE_NOTICE_H
#define GATEPOST_MTA_BOUNCE_NOTICE_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/proto/bounce.h"

struct notice {
	const struct bounce_request *about;
	const struct bounce_rcpt *const *rcpts; /* the ones this notification is about */
	size_t rcpt_count;
	struct str mail_name, hostname, origin;
	bool old_from; /* header_from_format = obsolete */
	struct str from; /* template's From, or empty */
	struct str subject;
	struct str charset; /* of text */
	struct str text; /* template text, LF line ends, variables replaced; empty in a copy for the postmaster */
	struct str to;
	bool to_postmaster;
	bool whole; /* the whole message is returned, else its header block */
	bool eight_bit; /* declared as 8-bit UTF-8 whatever is in it (smtputf8_enable) */
	struct str new_id;
	struct str references, in_reply_to; /* of a threaded notification, or empty */
	int64_t now_us;
};

/* Does the header say 8bit? */
bool notice_8bit(const struct notice *n);
/* Everything in front of the returned message, and what closes the notification behind it. CRLF line ends. */
void notice_front(const struct notice *n, struct buf *out);
void notice_back(const struct notice *n, struct buf *out);
/* The Received field, without the last CRLF. */
void notice_received(const struct notice *n, struct buf *out);
/* Append text to out in lines of at most NOTICE_WIDTH octets where blanks allow, later lines with four blanks in front. `column`: octets of
 * the line that are there already. Control bytes become blanks. Ends with CRLF. */
#define NOTICE_WIDTH 79
void notice_wrap(struct buf *out, size_t column, struct str text);

#endif
