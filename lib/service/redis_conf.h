/* lib/service/redis_conf.h - the Redis that the redis_* parameters describe. */
#ifndef GATEPOST_LIB_SERVICE_REDIS_CONF_H
#define GATEPOST_LIB_SERVICE_REDIS_CONF_H

#include "lib/conf/conf.h"
#include "lib/net/redis.h"

/* Before privileges drop: reads the password and TLS files; connects later. 0 with *out (NULL: redis_server is empty), or -1 with *e. The
 * caller puts redis_key_prefix in front of keys. */
int redis_configured(const struct conf *c, struct redis **out, struct err *e);

#endif
