/* lib/table/source.h - a table file kept in memory: read when opened, read again when it has changed (looked at once a second at most). A
 * file that cannot be read any more, or has a line that is wrong, leaves the old content in use, with a warning that names file and line. Only
 * when a table is opened, and there is no old content, are wrong lines left out. Reading happens off the loop (table_offload). Safe for
 * threads: content is used under a lock.
 */
#ifndef GATEPOST_LIB_TABLE_SOURCE_H
#define GATEPOST_LIB_TABLE_SOURCE_H

#include "lib/table/table.h"

#define SOURCE_FILE_MAX (512UL * 1024 * 1024) /* octets of one table file */

struct source;

/* What a parser found, kept until it can be logged: parsers run in threads. */
struct complaints {
	struct buf text; /* "file:line: what", one a line; only the first few */
	size_t count;
	size_t wrong; /* how many of them make the file unfit to replace a good one */
};
void complain_line(struct complaints *c, bool wrong, const char *file, int line, const char *what);

struct source_format {
	/* Text to content, which may keep the text's memory. file: for messages. Lines that are wrong go to c and are left out. */
	void *(*parse)(const char *file, struct buf *text, struct complaints *c);
	void (*free)(void *content);
	bool allow_inline; /* "{ { line } { line } }" in place of a file name */
};

struct source *source_open(const struct table *t, struct str name, const struct source_format *f, struct err *e); /* NULL with *e */
void source_close(struct source *s);
/* The content, fresh; no other thread changes it until source_release(), before which nothing may suspend. Suspends while a changed file is
 * read; whoever else asks meanwhile gets the old content. */
void *source_use(struct source *s);
void source_release(struct source *s);

#endif
