/* lib/table/query.h - what redis:, ldap:, pgsql: and sqlite: have in common: a file of "name = value" settings, a question made of the key by
 * %-letters, answers made of what the server says by %-letters, the domains that are asked about at all.
 *
 *   %s the key, %u its local part (all of it without an "@"), %d its domain, %1 ... %9 parts of the domain from the right; in result_format %s
 *   %u %d are parts of the value found and %S %U %D %1 ... %9 those of the key; %% a percent sign. A question that needs a part the key has
 *   not is not asked: the key is missing. A value that lacks a part is dropped.
 */
#ifndef GATEPOST_LIB_TABLE_QUERY_H
#define GATEPOST_LIB_TABLE_QUERY_H

#include "lib/table/table.h"

#define QUERY_SETTINGS_MAX 64
#define QUERY_KEY_MAX 4096 /* octets; longer keys are not asked for */
#define QUERY_VALUES_MAX 1000 /* values of one answer; expansion_limit can only be less */

struct setting {
	const char *name, *value;
};

struct query {
	struct arena *life;
	struct setting settings[QUERY_SETTINGS_MAX];
	size_t setting_count;
	const char *result_format;
	const char *domains; /* "domain = ...": text of a match list; "": any */
	struct matchlist *domain_list; /* NULL: any */
	size_t expansion_limit; /* more values are an error */
};

/* Read the settings file of a table. names: settings that may occur beside the common ones, NULL at the end. -1 with *e. */
int query_open(struct query *q, const struct table *t, struct str name, const char *const *names, struct err *e);
void query_close(struct query *q);
const char *query_setting(const struct query *q, const char *name, const char *fallback);
/* A whole number of at most max. -1 with *e: it is something else. */
int query_number(const struct query *q, const char *name, uint64_t max, uint64_t fallback, uint64_t *out, struct err *e);
/* Is this key asked about, by the "domain" setting? */
enum table_answer query_wants(const struct query *q, struct str key, struct err *e);

/* How a part of the key is written into the question; ctx is the caller's. */
typedef void query_quote_fn(void *ctx, struct str part, struct buf *out);
/* False: the key lacks a part that is asked for. */
bool query_expand(const char *format, struct str key, query_quote_fn *quote, void *ctx, struct buf *out);

struct query_result {
	const struct query *query;
	struct str key;
	struct buf values; /* joined by "," */
	size_t count;
};
/* One more value; empty ones and those that lack a part are dropped. -1 with *e: too many. */
int query_add_value(struct query_result *r, struct str value, struct err *e);

#endif
