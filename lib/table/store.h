/* lib/table/store.h - tables whose content can be listed, and those that can be made from pairs of key and value: for "gatepost map". */
#ifndef GATEPOST_LIB_TABLE_STORE_H
#define GATEPOST_LIB_TABLE_STORE_H

#include "lib/table/table.h"

struct table_pair {
	struct str key, value;
};

typedef void table_each_fn(void *ctx, struct str key, struct str value);

struct table_store {
	const struct table_type *type; /* of text files: one of their names */
	const char *suffix; /* of the index file beside the text file */
	int (*each)(struct table *t, table_each_fn *fn, void *ctx, struct err *e); /* in an order of its own; -1 with *e */
	/* Write into an empty file. Keys differ. with_nul: a NUL goes behind each key and value. -1 with *e. NULL: the text file is the
	 * table, there is nothing to make. */
	int (*write)(const char *path, const struct table_pair *pairs, size_t count, bool with_nul, struct err *e);
	bool with_nul; /* as Postfix writes it */
};

const struct table_store *table_store_find(struct str type); /* NULL: not such a type */

/* texthash.c. The pairs of a text file as postmap and postalias read them. alias: "key: value" lines. Keys are folded to lower case unless
 * keep_case. Calls pair() for each good line, wrong() for the others. */
struct text_reader {
	bool alias, keep_case;
	void (*pair)(void *ctx, int line, struct str key, struct str value);
	void (*wrong)(void *ctx, int line, const char *what);
	void *ctx;
};
void table_read_text(const struct text_reader *r, struct str text);

extern const struct table_store table_cdb_store, table_inline_store, table_lmdb_store, table_text_store;

#endif
