/* lib/mail/taglist.h - "tag=value; tag=value" lists of DKIM, ARC and DMARC (RFC 6376 section 3.2). Pure: slices of the caller's bytes.
 * A fuzz target.
 */
#ifndef GATEPOST_LIB_MAIL_TAGLIST_H
#define GATEPOST_LIB_MAIL_TAGLIST_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/arena.h"
#include "lib/base/str.h"

#define TAGS_MAX 32 /* of one list; the known ones are fewer than twenty */

struct tag {
	struct str name, value; /* value: without white space around it; folds inside are still there */
};

struct taglist {
	struct tag tags[TAGS_MAX];
	size_t count;
};

/* False: not such a list, a tag occurs twice, or there are too many; *why is static text. What stands before the mistake is in *out. */
bool taglist_parse(struct str text, struct taglist *out, const char **why);
/* The value of a tag (names are case-sensitive), empty when it has none; taglist_has() tells the difference. */
struct str taglist_get(const struct taglist *l, const char *name);
bool taglist_has(const struct taglist *l, const char *name);
/* The value without any white space in it (base64, names over several lines). */
struct str taglist_plain(const struct taglist *l, const char *name, struct arena *a);

#endif
