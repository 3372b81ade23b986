/* lib/mail/body_edit.h - a body some of whose lines change: nothing is copied before the first change, and everything in between as it is.
 * Lines are slices of the body, in the order in which a walk (lib/mail/mime.h) meets them.
 */
#ifndef GATEPOST_LIB_MAIL_BODY_EDIT_H
#define GATEPOST_LIB_MAIL_BODY_EDIT_H

#include <stdbool.h>

#include "lib/base/str.h"

struct body_edit {
	struct str body; /* CRLF lines */
	struct buf *out; /* gets the new body when changed */
	const char *copied; /* everything before this is in out */
	bool changed;
};

void body_edit_begin(struct body_edit *ed, struct str body, struct buf *out);
/* Put replacement (lines with LF or CRLF folds) where line and its end are; drop: nothing at all. */
void body_edit_replace(struct body_edit *ed, struct str line, struct str replacement, bool drop);
void body_edit_insert(struct body_edit *ed, struct str before, struct str line);
struct str body_edit_end(struct body_edit *ed); /* the body as it is now */
/* A field with its folds as tables see it: LF only. Without folds the slice itself, else made in out. */
struct str body_edit_lf(struct str field, struct buf *out);

#endif
