/* mta/smtpd/policy.h - questions to policy servers: check_policy_service, and the runs of restrictions that our own policyd judges. */
#ifndef GATEPOST_MTA_SMTPD_POLICY_H
#define GATEPOST_MTA_SMTPD_POLICY_H

#include "mta/smtpd/restrict.h"

struct policy_service; /* a server with its settings; process lifetime, one for each distinct text */

/* "inet:host:port", "unix:path" or "{ endpoint, timeout=10s, default_action=DUNNO, ... }". 0, or -1 with *e. */
int policy_service_parse(struct arena *a, struct str text, struct policy_service **out, struct err *e);

/* Ask policyd about n neighbouring rules. *used: how many of them are decided now; the caller goes on behind them. Suspends. */
enum verdict policy_ask_run(struct check *c, const struct rule *rules, size_t n, size_t *used);

#endif
