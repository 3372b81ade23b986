/* mta/smtpd/cmd_auth.h - which AUTH mechanisms this client is offered. */
#ifndef GATEPOST_MTA_SMTPD_CMD_AUTH_H
#define GATEPOST_MTA_SMTPD_CMD_AUTH_H

#include "mta/smtpd/session.h"

/* "PLAIN LOGIN" into out. False: AUTH is not offered now. Suspends. */
bool auth_mechanisms(struct session *s, struct buf *out);

#endif
