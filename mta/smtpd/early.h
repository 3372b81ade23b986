/* mta/smtpd/early.h - early checks: what Postfix has postscreen for, before a session costs anything. smtpd_early_checks.
 *
 * A client that postscreen_access_list permits, or that passed not long ago (the temporary allow list: in memory, and in Redis for the
 * fleet), goes on at once. Others wait postscreen_greet_wait for the second half of the greeting; who speaks meanwhile, or has too high a
 * score in DNS lists, meets the action configured: ignore, enforce (a session in which every RCPT is refused), drop.
 */
#ifndef GATEPOST_MTA_SMTPD_EARLY_H
#define GATEPOST_MTA_SMTPD_EARLY_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/conf/conf.h"
#include "lib/mail/dnsbl.h"
#include "lib/table/table.h"
#include "mta/smtpd/session.h"

/* early.c */
void early_init(const struct conf *c); /* before privileges drop; nothing is opened when the checks are off */
/* False: the client was dropped or is gone; told and logged. With the checks off: true. Suspends. */
bool early_screen(struct session *s);
/* RCPT of a session that early_screen() let go on for the log's sake only: refuses. Returns -1. */
int early_refuse_rcpt(struct session *s);
void early_goodbye(const struct session *s); /* log: the end of a session that never became one of smtpd */

/* early_list.c: postscreen_access_list */
enum early_access { EARLY_DUNNO, EARLY_PERMIT, EARLY_REJECT };
struct early_list;
/* NULL with *e. Lives in a. */
struct early_list *early_list_load(struct arena *a, const char *value, const char *conf_dir, struct err *e);
/* mynetworks: for permit_mynetworks. Suspends. */
enum early_access early_list_find(const struct early_list *l, struct str addr, const struct matchlist *mynetworks);

/* early_score.c: postscreen_dnsbl_sites */
struct early_site {
	struct dnsbl filter;
	int weight;
};

struct early_sites {
	struct early_site *v;
	size_t count;
};

struct early_score {
	int64_t sum;
	struct str worst; /* domain that added most; empty: none */
	uint32_t ttl;     /* seconds: the shortest of all answers; UINT32_MAX: no answer */
};

/* "domain=filter*weight". False with *why. */
bool early_site_parse(struct str text, struct early_site *out, const char **why);
/* Lives in a. 0, or -1 with *e. */
int early_sites_load(struct arena *a, const char *value, struct early_sites *out, struct err *e);
/* Ask all lists at the same time. Logs listings. Lives in a. Suspends until the deadline at most. */
void early_score(struct arena *a, const struct early_sites *sites, struct str addr, int64_t deadline, struct early_score *out);

#endif
