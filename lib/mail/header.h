/* lib/mail/header.h - the header block of a message as a list of fields (RFC 5322 section 2.2), edits on it, and addresses in it.
 * Field texts are slices of the caller's bytes; edited or added ones live in the list's arena.
 */
#ifndef GATEPOST_LIB_MAIL_HEADER_H
#define GATEPOST_LIB_MAIL_HEADER_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/arena.h"
#include "lib/base/str.h"

struct header_field {
	struct str text; /* whole field with folds, without the last CRLF: "Subject: a\r\n b" */
	struct str name; /* "Subject" as written */
	struct str value; /* after the colon, white space and folds kept: " a\r\n b" */
	bool hidden; /* not shown to milters (our own Received) */
	bool deleted;
	const char *origin; /* text of the field this one took the place of, to know it again; NULL: none */
};

struct header {
	struct arena *life;
	struct header_field *fields;
	size_t count, cap;
};

void header_init(struct header *h, struct arena *life);
/* Parse the header block at the front of message (lines end in CRLF or LF). Returns the offset of the body: behind the empty line, or
 * of the first line that is no header (then *missing_blank = true), or the end. A first line that begins with "From " or ">From " is
 * kept as field "X-Mailbox-Line". */
size_t header_parse(struct header *h, struct str message, bool *missing_blank);
/* Fields by name, case-insensitive: the n-th (1-based) that is not deleted or hidden (unless with_hidden); NULL when absent. */
struct header_field *header_find(struct header *h, const char *name, size_t n);
/* Add at position (0 = first; larger than count = last). name and value are copied; value LF folds become CRLF; `space`: put a blank
 * after the colon unless the value brings its own white space. */
void header_insert(struct header *h, size_t at, struct str name, struct str value, bool space);
void header_append(struct header *h, struct str name, struct str value, bool space);
void header_replace(struct header *h, struct header_field *f, struct str value, bool space);
size_t header_size(const struct header *h); /* octets of header_print's output */
void header_print(const struct header *h, struct buf *out); /* undeleted fields, each with CRLF; no empty line */

bool header_is_field(struct str s); /* does it begin with "Name:"? */
/* One of the fields that say what a body is: mime_header_checks are asked about it. */
bool header_is_mime(struct str name);

/* One logical line: folds removed (CRLF or LF before white space dropped). */
struct str header_unfold(struct arena *a, struct str value);
/* Addresses in a From/To/Cc style value, without display names and comments, internal order. Returns the count. Bounded. */
size_t header_addresses(struct arena *a, struct str value, struct str **out);

/* "(text)", RFC 5322 section 3.2.2; what could end the comment or the line becomes "?". */
void header_add_comment(struct buf *out, struct str text);

#endif
