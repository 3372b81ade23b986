/* lib/conf/conf.h - main.cf as Postfix reads it, over the declared parameters (params.h).
 * Reading is strict: an unknown name is an error that names file, line and the nearest known name; a name that Postfix knows and
 * Gatepost does not is a warning. Values are checked against type and range when the configuration is loaded, so the getters cannot
 * fail. A loaded configuration is read-only; a reload is a new process.
 */
#ifndef GATEPOST_LIB_CONF_CONF_H
#define GATEPOST_LIB_CONF_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/arena.h"
#include "lib/base/err.h"
#include "lib/base/str.h"
#include "lib/conf/params.h"

struct conf;

/* Load dir/main.cf and apply "name=value" overrides (master.cf -o), in order. Problems that make the configuration unusable fill *e
 * (all of them are also reported through report(), with file:line); warnings only go to report(). report may be NULL.
 * NULL with *e on failure. */
typedef void conf_report_fn(void *ctx, bool fatal, const char *text);
struct conf *conf_load(const char *dir, const char *const *overrides, size_t count, conf_report_fn *report, void *ctx, struct err *e);
/* Settings of dir/own_file ("policyd.cf") count over main.cf's; neither file has to be there. own_file NULL: as conf_load(). */
struct conf *conf_load_own(const char *dir, const char *own_file, const char *const *overrides, size_t count, conf_report_fn *report,
	void *ctx, struct err *e);
void conf_free(struct conf *c);
const char *conf_dir(const struct conf *c);
/* The same without a file: text in main.cf syntax, for tests and fuzzing. */
struct conf *conf_parse(struct str text, const char *const *overrides, size_t count, conf_report_fn *report, void *ctx, struct err *e);

/* Values. The name must be declared in params.c (check() otherwise) with that type. Strings live as long as c. */
const char *conf_str(const struct conf *c, const char *name);
int64_t conf_int(const struct conf *c, const char *name);
int64_t conf_size(const struct conf *c, const char *name); /* conf_int and conf_size serve both PARAM_INT and PARAM_SIZE */
int64_t conf_time_ms(const struct conf *c, const char *name); /* milliseconds */
bool conf_bool(const struct conf *c, const char *name);
/* Any value by name, expanded: declared or user-defined ($name references, restriction classes); NULL when neither. */
const char *conf_lookup(const struct conf *c, struct str name);
/* "<transport>_<suffix>", else the family's base ("default_<suffix>" mostly): destination_concurrency_limit and its kin, time_limit. */
int64_t conf_transport_int(const struct conf *c, const char *transport, const char *suffix);
int64_t conf_transport_time_ms(const struct conf *c, const char *transport, const char *suffix);
const char *conf_transport_str(const struct conf *c, const char *transport, const char *suffix);
/* "<service>_workers", or fallback when it is not set. */
int64_t conf_workers(const struct conf *c, const char *service, int64_t fallback);
/* Words of a list value ("a, b c"), { } groups kept together. Lives in a. */
size_t conf_list(struct arena *a, const char *value, struct str **words);
/* Is word one of the words of a list parameter, whatever its case? */
bool conf_list_has(const struct conf *c, const char *name, const char *word);

/* Expand $name, ${name}, $(name), ${name?x}, ${name:x}, ${name?{x}:{y}} in text. find(ctx, name) returns the value or NULL.
 * Nesting is bounded. 0, or -1 with *e. */
int conf_expand(struct str text, const char *(*find)(void *ctx, struct str name), void *ctx, struct buf *out, struct err *e);
/* The same; *whole: whatever was to stand in the text had a value. */
int conf_expand_whole(
	struct str text, const char *(*find)(void *ctx, struct str name), void *ctx, struct buf *out, bool *whole, struct err *e);

/* Where a value comes from, for "gatepost config": "main.cf:12", "default", "master.cf -o". */
const char *conf_source(const struct conf *c, const char *name);
/* The text as written (unexpanded) or the default. */
const char *conf_raw(const struct conf *c, const char *name);
bool conf_is_set(const struct conf *c, const char *name); /* by main.cf or -o, to whatever value */
/* Every name that has a value, sorted: declared ones and the user's own. Lives in a. */
size_t conf_names(const struct conf *c, struct arena *a, const char *const **names);
/* "10s" style parsing, also used by per-service settings in { }. False: not such a value. */
bool conf_parse_time(struct str s, char default_unit, int64_t *ms);
bool conf_parse_bool(struct str s, bool *out);

#endif
