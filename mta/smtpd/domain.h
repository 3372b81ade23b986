/* mta/smtpd/domain.h - does a domain take part in mail at all? */
#ifndef GATEPOST_MTA_SMTPD_DOMAIN_H
#define GATEPOST_MTA_SMTPD_DOMAIN_H

#include "mta/smtpd/restrict.h"

enum domain_state { DOMAIN_EXISTS, DOMAIN_MISSING, DOMAIN_NULL_MX, DOMAIN_UNSURE };

/* MX, else A or AAAA. Suspends. */
enum domain_state domain_answers(struct session *s, struct str domain);
/* The DNS could not tell; action: see check_tempfail(). */
enum verdict domain_unsure(struct check *c, const char *action, struct code code, struct str name, const char *klass, const char *why);

#endif
