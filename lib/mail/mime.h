/* lib/mail/mime.h - one walk over a body along its MIME structure (RFC 2046), telling header fields of parts and attached messages from
 * content lines. Pure; bounded by nesting and boundary length.
 */
#ifndef GATEPOST_LIB_MAIL_MIME_H
#define GATEPOST_LIB_MAIL_MIME_H

#include "lib/base/arena.h"
#include "lib/base/str.h"
#include "lib/mail/header.h"

enum mime_class {
	MIME_PART_HEADER,
	MIME_NESTED_HEADER,
	MIME_HEADER_END, /* the empty line behind fields, or a content line where it is missing */
	MIME_BOUNDARY,
	MIME_BODY
};

enum mime_encoding { MIME_7BIT, MIME_8BIT, MIME_BINARY, MIME_ENCODED };

struct mime_walk {
	/* settings */
	struct arena *life;
	bool structure; /* false: everything is content */
	unsigned nesting, boundary_length;
	/* told to visit(), with text: a field with its folds, or one line, without the last CRLF. False ends the walk. */
	bool (*visit)(struct mime_walk *w, enum mime_class what, struct str text);
	void *ctx;
	/* where we are */
	enum mime_encoding encoding; /* declared for the current part */
	bool composite; /* a multipart or message: its content is parts */
	size_t segment_octets; /* content octets of the current part before this line */
	bool too_deep; /* parts nested deeper than that were taken for content */
	bool bad_encoding; /* a composite part declared an encoding (RFC 2045 section 6.4) */
	struct mime_level *levels;
	size_t depth;
	bool in_nested; /* the body begins with the header of an attached message */
};

/* Read the primary header: encoding and composite are known. Then walk over the body. */
void mime_begin(struct mime_walk *w, const struct header *primary);
void mime_walk(struct mime_walk *w, struct str body);
/* What a Content-Transfer-Encoding field's value says. */
enum mime_encoding mime_encoding_of(struct str value);

#endif
