/* lib/table/registry.h - the rows of the two registries and what opens a table of a known type; for lib/table itself, and for programs
 * without fibers (milters), which use table_open_plain() so that no table over the network is linked in.
 */
#ifndef GATEPOST_LIB_TABLE_REGISTRY_H
#define GATEPOST_LIB_TABLE_REGISTRY_H

#include "lib/table/table.h"

extern const struct table_type table_cdb, table_cidr, table_environ, table_fail, table_inline, table_ldap, table_lmdb, table_pcre, table_pgsql,
	table_pipemap, table_randmap, table_redis, table_regexp, table_socketmap, table_sqlite, table_static, table_tcp, table_unionmap, table_unix;
extern const struct table_type table_text_types[]; /* texthash and the names of the same thing */
extern const size_t table_text_type_count;

/* spec: "type:name" for messages; name: the part behind the type. */
struct table *table_open_type(const struct table_type *type, struct str spec, struct str name, const char *conf_dir, struct err *e);

/* For backends. The key as it is looked up: lower case (made in folded), unless the table keeps case. */
struct str table_key(const struct table *t, struct str key, struct buf *folded);
/* The line of the answer that is given now, for table_place(). */
void table_found_at(unsigned line);
/* The key in lower case, beyond ASCII too when it is UTF-8; at most TABLE_FOLDED_MAX octets. */
void table_fold(struct buf *out, struct str key);
#define TABLE_FOLDED_MAX(n) (3 * (n))
/* A file name in a table's spec: relative ones start at conf_dir. suffix is added. The caller frees it. */
char *table_path(const struct table *t, struct str name, const char *suffix);

/* Blocking work of a table. registry.c, for programs with fibers, takes it off the loop; programs without define this, and table_open(),
 * themselves (milters/common/table.c), and registry.c with all its network tables is not linked. */
void table_offload(void (*fn)(void *), void *arg);

/* Tables without fibers: all carry TABLE_THREAD_OK. */
const struct table_type *table_type_find_plain(struct str name);
struct table *table_open_plain(struct str spec, const char *conf_dir, struct err *e);
size_t table_type_names_plain(const char **names, size_t max);
/* Split "type:name"; "proxy:" in front is dropped, a missing type means hash. */
void table_spec_split(struct str spec, struct str *type, struct str *name);

#endif
