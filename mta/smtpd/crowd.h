/* mta/smtpd/crowd.h - who gets in when the service has as many clients as it may have at once, so that none can lock out the others.
 *
 * A newcomer whose client holds most is told 421. Any other takes the place of the session that has waited longest for its client to say
 * something: one of the client that holds most, or else one that has been silent for long. While there is none it waits itself. A service that
 * was full lately is under stress: its settings are those with stress = yes.
 */
#ifndef GATEPOST_MTA_SMTPD_CROWD_H
#define GATEPOST_MTA_SMTPD_CROWD_H

#include <stdbool.h>

#include "mta/smtpd/session.h"

void crowd_init(void);
void crowd_start(void); /* a fiber that makes room here when another worker asks for it, and ends idle sessions when the service stops */
/* False: there is no room; told and logged. Suspends while there is none. */
bool crowd_enter(struct session *s);
void crowd_leave(struct session *s); /* also of one that was not let in */

#endif
