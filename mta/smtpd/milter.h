/* mta/smtpd/milter.h - drives the filters of a session from connect to DATA; cleanup takes over for the content. */
#ifndef GATEPOST_MTA_SMTPD_MILTER_H
#define GATEPOST_MTA_SMTPD_MILTER_H

#include "mta/smtpd/session.h"

/* Connect and HELO: a refusal is kept in s->milter_refusal for MAIL. Suspend. */
void session_milter_connect(struct session *s);
void session_milter_helo(struct session *s);
/* 0, or -1 with the reply in s->ruling; discarding filters set s->t.discard. Suspend. */
int session_milter_mail(struct session *s, struct str raw, const struct str *args, size_t count);
int session_milter_rcpt(struct session *s, struct str raw, const struct str *args, size_t count);
int session_milter_data(struct session *s);
/* A recipient that s->ruling refuses. */
void session_milter_rcpt_rejected(struct session *s, struct str raw, const struct str *args, size_t count);
/* True: the filters' own (temporary) answer is in s->ruling. Suspends. */
bool session_milter_unknown(struct session *s, struct str line);
/* -1 with the reply in s->ruling while the client is refused by a filter: VRFY, ETRN, and with hide_temp AUTH and STARTTLS. */
int session_milter_other(struct session *s, bool hide_temp);
void session_milter_abort(struct session *s);       /* the transaction is over, if one was begun */
void session_milter_forget_helo(struct session *s); /* STARTTLS: the HELO counts no more */
void session_milter_close(struct session *s);

#endif
