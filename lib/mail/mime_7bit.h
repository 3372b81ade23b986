/* lib/mail/mime_7bit.h - 8-bit MIME content for a host that takes 7 bits only: leaf parts declared 8bit or binary become quoted-printable
 * (RFC 2045 section 6.7, RFC 6152 section 3). Undeclared 8-bit content stays: there is no telling what it is.
 */
#ifndef GATEPOST_LIB_MAIL_MIME_7BIT_H
#define GATEPOST_LIB_MAIL_MIME_7BIT_H

#include "lib/mail/mime.h"

struct mime_7bit {
	struct arena *life;
	unsigned nesting, boundary_length; /* as for the walk */
	struct buf *out; /* gets CRLF lines */
	/* When out holds MIME_7BIT_PIECE octets or more: empty it. False: stop. May suspend. */
	bool (*full)(struct mime_7bit *m);
	void *ctx;
	bool stopped;
	struct mime_walk walk;
};

#define MIME_7BIT_PIECE 65536

/* What is said of a message whose parts are nested too deeply to be converted: 5.6.0. */
#define MIME_TOO_DEEP "MIME nesting exceeds safety limit"

/* First the header, whose Content-Transfer-Encoding is edited, then the body. False: full() had enough, or walk.too_deep. */
void mime_7bit_header(struct mime_7bit *m, struct header *h);
bool mime_7bit_body(struct mime_7bit *m, struct str body);
/* One line without line end as quoted-printable, CRLF included. */
void mime_qp_line(struct buf *out, struct str line);

#endif
