/* lib/table/source.h - a table file kept in memory: read when opened, read again when it has changed (looked at once a second at most). A
 * file that cannot be read or parsed any more leaves the old content in use, with a warning. Safe for threads: content is used under a
 * lock.
 */
#ifndef GATEPOST_LIB_TABLE_SOURCE_H
#define GATEPOST_LIB_TABLE_SOURCE_H

#include "lib/table/table.h"

#define SOURCE_FILE_MAX (512UL * 1024 * 1024) /* octets of one table file */

struct source;

struct source_format {
	/* Text to content. file: for messages. NULL with *e: unusable. Lines that are wrong are warned of and left out. */
	void *(*parse)(const char *file, struct str text, struct err *e);
	void (*free)(void *content);
	bool allow_inline; /* "{ { line } { line } }" in place of a file name */
};

struct source *source_open(const struct table *t, struct str name, const struct source_format *f, struct err *e); /* NULL with *e */
void source_close(struct source *s);
/* The content, fresh; no other thread changes it until source_release(). */
void *source_use(struct source *s);
void source_release(struct source *s);

#endif
