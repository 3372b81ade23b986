/* lib/mail/canon.h - the canonical forms of header and body that DKIM and ARC sign (RFC 6376 section 3.4). Pure; the body in pieces of any
 * size, in constant memory.
 */
#ifndef GATEPOST_LIB_MAIL_CANON_H
#define GATEPOST_LIB_MAIL_CANON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/str.h"

enum canon { CANON_SIMPLE, CANON_RELAXED };

/* One field, name and value as on the wire (white space behind the colon and folds kept), with CRLF at the end. */
void canon_field(struct buf *out, enum canon how, struct str name, struct str value);
/* A field's value without the content of its "b" tag: how a signature field enters its own signature. */
void canon_without_b(struct buf *out, struct str value);

/* A body on its way: start with canon_body_init(), feed, end once. put() gets the canonical octets. */
struct canon_body {
	enum canon how;
	void (*put)(void *ctx, const char *p, size_t n);
	void *ctx;
	char room[4096];
	size_t used;
	uint64_t empty_lines; /* complete ones that count only when something follows */
	bool any; /* something was put */
	bool line_open; /* octets of the current line were put */
	bool blank; /* relaxed: white space that counts only when something follows in the line */
	bool cr; /* an undecided CR */
};

void canon_body_init(struct canon_body *b, enum canon how, void (*put)(void *ctx, const char *p, size_t n), void *ctx);
void canon_body_feed(struct canon_body *b, const char *p, size_t n);
void canon_body_end(struct canon_body *b);

#endif
