/* mta/smtpd/limit.h - how much one client may do: connections at once, and events per anvil_rate_time_unit.
 *
 * The workers of a service count together in one small file below pid/, mapped by all of them: each worker writes its own part only,
 * and adds up everybody's. A part whose worker is gone does not count. Without the file each worker counts for itself. With
 * smtpd_client_limits_shared the gateways of a fleet count together as well (limit_fleet.h).
 */
#ifndef GATEPOST_MTA_SMTPD_LIMIT_H
#define GATEPOST_MTA_SMTPD_LIMIT_H

#include <stdbool.h>

#include "mta/smtpd/session.h"

void limit_init(const char *service); /* before privileges drop; working directory: the queue's */

/* The client's network, the same in every worker. */
uint64_t limit_client_key(const struct session *s);
/* Sessions that were let in by this worker; whether all workers together have that many. */
void limit_session_count(int change);
bool limit_full(unsigned most);
/* The service was full: in milliseconds ago, by any worker; INT64_MAX: never. */
void limit_note_full(void);
int64_t limit_full_ago(void);
/* Somebody waits for room: told to the other workers. */
void limit_want_room(void);
bool limit_room_wanted(int64_t within_ms);

/* All return false, having logged, when the client is over its limit. An exempt client is not asked about. Suspend. */
bool limit_connect(struct session *s);
void limit_disconnect(struct session *s);
uint64_t limit_connections(const struct session *s); /* of this client now; 0: they are not counted */
bool limit_mail(struct session *s);
bool limit_rcpt(struct session *s);
bool limit_tls(struct session *s); /* a session that was not resumed */
bool limit_tls_reached(struct session *s); /* over the limit already: no further handshake; not logged */
bool limit_auth(struct session *s);

#endif
