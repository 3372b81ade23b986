/* mta/smtpd/limit_fleet.h - client limits counted in Redis, for all gateways that use it. Where Redis does not answer, nothing is known:
 * what the gateway counts itself (limit.c) goes on to count. */
#ifndef GATEPOST_MTA_SMTPD_LIMIT_FLEET_H
#define GATEPOST_MTA_SMTPD_LIMIT_FLEET_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/conf/conf.h"

/* Before privileges drop. Off unless smtpd_client_limits_shared and redis_server are set. */
void fleet_init(const struct conf *c, const char *service);

/* One more event of this client; what: a word for the key. How many there were in anvil_rate_time_unit; 0: not known. Suspends. */
uint64_t fleet_count(const char *what, uint64_t client);
uint64_t fleet_look(const char *what, uint64_t client); /* the same without counting one */
/* A connection begins: how many the client has now; 0: not known. *number is for fleet_disconnect(). Suspends. */
uint64_t fleet_connect(uint64_t client, uint64_t *number);
void fleet_disconnect(uint64_t client, uint64_t number);

#endif
