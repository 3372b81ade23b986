/* lib/conf/lines.h - logical lines of main.cf, master.cf and table files: comments and empty lines dropped, lines that begin with white
 * space joined to the one before. Line ends and trailing blanks are gone, the white space that begins a continuation stays.
 */
#ifndef GATEPOST_LIB_CONF_LINES_H
#define GATEPOST_LIB_CONF_LINES_H

#include <stdbool.h>

#include "lib/base/str.h"

struct lines {
	struct str rest; /* text still to be read */
	int next; /* number of the line rest begins with; start with 1 */
};

/* The next logical line into *text (cleared first) and the number of its first line. False: no more. A first line that begins with white
 * space comes as it is: it continues nothing. */
bool lines_next(struct lines *l, struct buf *text, int *line);
/* The same without a copy where it can be: *text is a part of what is read, or of *space when lines had to be joined. */
bool lines_cut(struct lines *l, struct buf *space, struct str *text, int *line);
/* So many logical lines has the text at most; quickly counted. */
size_t lines_most(struct str text);

#endif
