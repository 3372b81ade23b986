/* mta/smtpd/transcript.h - what was said in a session, for the postmaster: notify_classes data, policy, protocol, resource and software. */
#ifndef GATEPOST_MTA_SMTPD_TRANSCRIPT_H
#define GATEPOST_MTA_SMTPD_TRANSCRIPT_H

#include "lib/base/err.h"
#include "lib/base/str.h"

struct session;

unsigned transcript_classes(struct str notify_classes); /* bits for settings.notify; 0: none of ours */
/* Remember a command, a reply. A reply that is a kind of trouble somebody wants to hear of makes the session one to report. */
void transcript_command(struct session *s, struct str line);
void transcript_reply(struct session *s, struct code code, struct str wire);
/* At the end: mail it, when there is a reason to. Suspends. */
void transcript_send(struct session *s);

#endif
