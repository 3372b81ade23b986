/* lib/conf/confinement.h - what main.cf means for lib/base/confine.h. */
#ifndef GATEPOST_LIB_CONF_CONFINEMENT_H
#define GATEPOST_LIB_CONF_CONFINEMENT_H

#include "lib/conf/conf.h"

/* Take from this process what it does not need, unless process_confinement says no. It can write to data_directory and where its log is; it reads
 * everything its user may but mail, which is in the queue directories that are not its own.
 * queue_dir: where the process sees the queue; NULL: queue_directory, be it there or not. own: see struct confinement. connects_from: too.
 * 0, or -1 with *e. Blocks. */
int conf_confine(const struct conf *c, const char *queue_dir, const char *const *own, bool connects_from, struct err *e);

#endif
