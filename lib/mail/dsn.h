/* lib/mail/dsn.h - enhanced status codes (RFC 3463) in text, and the DSN parameters of SMTP (RFC 3461). */
#ifndef GATEPOST_LIB_MAIL_DSN_H
#define GATEPOST_LIB_MAIL_DSN_H

#include <stdbool.h>

#include "lib/base/err.h"
#include "lib/base/str.h"

enum {
	DSN_NOTIFY_NONE = 0,
	DSN_NOTIFY_NEVER = 1,
	DSN_NOTIFY_SUCCESS = 2,
	DSN_NOTIFY_FAILURE = 4,
	DSN_NOTIFY_DELAY = 8,
	DSN_EXPANDED = 128 /* our own, in queue files: an alias that has become other recipients, still to be told of */
}; /* NONE: not given */
enum { DSN_RET_NONE, DSN_RET_FULL, DSN_RET_HDRS };

/* A leading "5.1.1 " of text: fills c, s, d of *out and returns the octets to skip (blanks included), or 0 when there is none. */
size_t dsn_parse(struct str text, struct code *out);
void dsn_print(struct buf *out, struct code c); /* "5.1.1" */
/* "NEVER" or "SUCCESS,FAILURE,DELAY" in any case. -1: bad syntax. */
int dsn_notify_parse(struct str value);
int dsn_without_success(int notify); /* of recipients whose success is not to be told */
bool dsn_orcpt_valid(struct str value); /* "rfc822;xtext" */

#endif
