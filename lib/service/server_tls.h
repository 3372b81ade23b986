/* lib/service/server_tls.h - the TLS settings of servers in main.cf (smtpd_tls_*, tls_*): one context from them, and the files behind it.
 * smtpd serves with it; master tries it before it starts workers for files that have changed.
 */
#ifndef GATEPOST_LIB_SERVICE_SERVER_TLS_H
#define GATEPOST_LIB_SERVICE_SERVER_TLS_H

#include "lib/base/arena.h"
#include "lib/base/err.h"
#include "lib/conf/conf.h"
#include "lib/net/tls.h"

#define SERVER_TLS_TICKETS "GATEPOST_TICKETS" /* environment variable from master, see tls_tickets_init() */

enum tls_level { TLS_LEVEL_NONE, TLS_LEVEL_MAY, TLS_LEVEL_ENCRYPT };

enum tls_level server_tls_level(const struct conf *c);

/* Certificates by server name: those of tables that are text are read now, while this process may read keys; *others: the rest of
 * tls_server_sni_maps, to be asked when a client comes. Lives as long as the process. NULL: tls_server_sni_maps is empty. */
struct server_names;
struct server_names *server_names_load(const struct conf *c, struct buf *others, struct err *e); /* NULL with *e->text: trouble */
bool server_names_find(const struct server_names *n, struct str name, struct buf *chain);

/* NULL with *e. sni: see tls_settings. */
struct tls_ctx *server_tls_open(const struct conf *c, enum tls_level level, tls_sni_fn *sni, struct err *e);

/* Every certificate, key and table file that counts, each once. */
size_t server_tls_files(const struct conf *c, struct arena *a, struct str **out);

#endif
