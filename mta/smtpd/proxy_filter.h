/* mta/smtpd/proxy_filter.h - smtpd_proxy_filter: an SMTP server that judges mail before it is in anybody's queue, and gives it back to another
 * smtpd that queues it. The client hears what the filter says.
 */
#ifndef GATEPOST_MTA_SMTPD_PROXY_FILTER_H
#define GATEPOST_MTA_SMTPD_PROXY_FILTER_H

#include "mta/smtpd/session.h"

bool proxy_filter_wanted(const struct session *s); /* for the message under way */

/* Each tells the filter of a step: 0, or -1 with the reply to give in s->ruling. A refused sender is told with the first recipient. With
 * speed_adjust the filter hears of all steps when the content is in. Suspend. */
int proxy_filter_rcpt(struct session *s, struct str args);
int proxy_filter_data(struct session *s);
/* Content, lines ending CRLF. Suspends. -1: it did not get there; the link is closed. */
int proxy_filter_content(struct session *s, struct str lines);
/* The final dot; r is the filter's answer, or our own about its absence. Suspends. */
void proxy_filter_end(struct session *s, struct reply *r);
/* The message is not to come: closing in the middle throws it away there. */
void proxy_filter_drop(struct session *s);

#endif
