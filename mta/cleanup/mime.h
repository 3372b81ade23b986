/* mta/cleanup/mime.h - one walk over a body along its MIME structure (RFC 2046), telling header fields of parts and attached messages from
 * content lines. Pure; bounded by nesting and boundary length.
 */
#ifndef GATEPOST_MTA_CLEANUP_MIME_H
#define GATEPOST_MTA_CLEANUP_MIME_H

#include "lib/base/arena.h"
#include "lib/base/str.h"
#include "lib/mail/header.h"

enum mime_class { MIME_PART_HEADER, MIME_NESTED_HEADER, MIME_BODY };

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
	size_t segment_octets; /* content octets of the current part before this line */
	bool bad_encoding; /* a composite part declared an encoding (RFC 2045 section 6.4) */
	struct mime_level *levels;
	size_t depth;
};

void mime_walk(struct mime_walk *w, struct header *primary, struct str body);

#endif
