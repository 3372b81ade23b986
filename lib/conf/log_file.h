/* lib/conf/log_file.h - maillog_file, looked at before anybody writes to it. */
#ifndef GATEPOST_LIB_CONF_LOG_FILE_H
#define GATEPOST_LIB_CONF_LOG_FILE_H

#include "lib/conf/conf.h"

/* Is maillog_file empty, or below one of maillog_file_prefixes and in a directory that is there? 0, or -1 with *e, which tells what to do.
 * Blocks. */
int conf_check_log(const struct conf *c, struct err *e);

#endif
