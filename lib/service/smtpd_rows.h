/* lib/service/smtpd_rows.h - rows of master.cf that run smtpd with settings of their own (-o), for the daemons that smtpd asks: what such a
 * row says counts for the questions of its sessions, which name it.
 */
#ifndef GATEPOST_LIB_SERVICE_SMTPD_ROWS_H
#define GATEPOST_LIB_SERVICE_SMTPD_ROWS_H

#include "lib/base/str.h"
#include "lib/conf/conf.h"

/* What make() makes of each row's configuration is kept by the row's name, NULL is not. Before privileges drop. */
void smtpd_rows_load(const struct conf *c, void *(*make)(const struct conf *row));
/* NULL: no such row, or nothing was made of it. */
void *smtpd_row(struct str name);

#endif
