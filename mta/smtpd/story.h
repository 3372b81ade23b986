/* mta/smtpd/story.h - what gatepost explain learns of a session beside the log: commands and replies, and every restriction asked. */
#ifndef GATEPOST_MTA_SMTPD_STORY_H
#define GATEPOST_MTA_SMTPD_STORY_H

#include "lib/net/tls.h"
#include "mta/smtpd/restrict.h"
#include "mta/smtpd/session.h"

void story_session(const struct session *s);
/* What the handshake agreed on, and the certificate that the client showed. */
void story_tls(const struct session *s, const struct tls *t);
/* A command was run since began_us (clock_mono_us()); line: as the client sent it. What follows AUTH's mechanism is not told. */
void story_command(struct session *s, struct str line, int64_t began_us);

/* One list: collect what each rule said in b, then tell. */
void story_add_rule(struct buf *b, const struct check *c, const struct rule *r, enum verdict v, int64_t spent_us);
void story_checks(const struct check *c, const struct rule_list *l, enum verdict v, struct buf *b);

#endif
