/* lib/table/table.h - lookup tables: "type:name" behind one vtable. A backend is one file and one row in registry.c.
 * Keys are looked up as given; folding to lower case is the backend's (TABLE_FOLD). Tables opened by two names share nothing.
 */
#ifndef GATEPOST_LIB_TABLE_TABLE_H
#define GATEPOST_LIB_TABLE_TABLE_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/arena.h"
#include "lib/base/err.h"
#include "lib/base/str.h"

enum table_answer { TABLE_FOUND, TABLE_MISSING, TABLE_FAILED };

enum { /* table_type flags */
	TABLE_THREAD_OK = 1, /* no fiber behind it: milters may use it */
	TABLE_SUSPENDS = 2, /* lookup may suspend */
	TABLE_KEEP_CASE = 8, /* of an open table: keys are not folded to lower case */
	TABLE_PATTERN = 4 /* regexp, pcre, cidr, tcp, socketmap ...: asked once with the whole key, never with partial keys */
};

struct table;

struct table_type {
	const char *name; /* the part before ':' in main.cf */
	unsigned flags;
	int (*open)(struct table *t, struct str spec, struct err *e);
	enum table_answer (*lookup)(struct table *t, struct str key, struct buf *value, struct err *e);
	void (*close)(struct table *t);
};

struct table {
	const struct table_type *type;
	unsigned flags; /* the type's; a combined table adds what its parts need */
	const char *name; /* "hash:/etc/gatepost/transport", for messages */
	const char *conf_dir; /* relative file names start here */
	void *state; /* backend's */
};

const struct table_type *table_type_find(struct str name); /* NULL: no such type */
const char *table_type_remedy(struct str name); /* for a type that there is not: what to do instead */
size_t table_type_names(const char *const **names); /* for "gatepost config -m" and -V */

/* Open "type:name". NULL with *e (names what is wrong and the remedy). Opening a table whose file is missing is an error. */
struct table *table_open(struct str spec, const char *conf_dir, struct err *e);
void table_close(struct table *t);
/* value is appended to. TABLE_FAILED fills *e: "table TYPE:NAME: lookup failed: why". May suspend when the type says so. */
enum table_answer table_lookup(struct table *t, struct str key, struct buf *value, struct err *e);
bool table_is_pattern(const struct table *t);
/* Where the answer of this thread's last lookup that found something stands: "texthash:/etc/x:17", without the line where the type knows none.
 * Nothing for tables that are in main.cf themselves. Ask before anything else is looked up. */
void table_place(struct buf *out);

/* A list of tables in one parameter ("hash:a, regexp:b"), asked in order; first answer wins. */
struct tables {
	struct table **t;
	size_t count;
};
int tables_open(struct arena *a, const char *value, const char *conf_dir, struct tables *out, struct err *e);
enum table_answer tables_lookup(const struct tables *ts, struct str key, struct buf *value, struct err *e);
void tables_close(struct tables *ts);

/* Address search order of virtual(5) and canonical(5): user+ext@dom, user@dom, user+ext and user (only when local_domain), @dom.
 * Each key lower-cased. *ext: the unmatched "+ext" when the match ignored it (delimiter included), else empty. */
enum table_answer tables_lookup_address(const struct tables *ts, struct str address, const char *delimiters, bool local_domain,
	struct buf *value, struct str *ext, struct err *e);
/* What the address asked becomes by the table's answer found: "@other" keeps the local part; ext goes along (empty: it does not). */
struct str tables_answer_address(struct arena *a, struct str found, struct str asked, struct str ext);
/* Domain search order: name, then parents: ".parent" forms, or "parent" when parents_plain (parent_domain_matches_subdomains). */
enum table_answer tables_lookup_domain(const struct tables *ts, struct str domain, bool parents_plain, struct buf *value, struct err *e);

/* smtp_delivery_status_filter and its kin: *code and *text become what the tables answer to "5.1.1 text". Success stays success and failure
 * failure; anything odd is logged with the message's id and ignored. */
void tables_filter_status(const struct tables *ts, struct arena *a, const char *id, struct code *code, struct str *text);

/* Match lists of main.cf (mynetworks, mydestination, relay_domains ...): names, .domains, !negation, addresses and networks, /file,
 * type:table. */
struct matchlist;
enum { /* what patterns may match */
	MATCH_HOST = 1,
	MATCH_ADDR = 2,
	MATCH_PARENT = 4, /* "example.com" also matches below it */
	MATCH_WHOLE = 8 /* no subdomains at all: mydestination, virtual_*_domains */
};
struct matchlist *matchlist_open(const char *value, unsigned flags, const char *conf_dir, struct err *e); /* NULL with *e */
enum table_answer matchlist_host(const struct matchlist *m, struct str name, struct err *e);
enum table_answer matchlist_addr(const struct matchlist *m, struct str ip, struct err *e);
void matchlist_close(struct matchlist *m);

#endif
