/* mta/smtpd/verify.h - address verification: would this address take mail? Asked of the agent that would deliver it, and remembered. */
#ifndef GATEPOST_MTA_SMTPD_VERIFY_H
#define GATEPOST_MTA_SMTPD_VERIFY_H

#include "lib/base/err.h"
#include "lib/conf/conf.h"
#include "lib/proto/rewrite.h"
#include "mta/smtpd/session.h"

enum verify_status { VERIFY_GOOD, VERIFY_BAD, VERIFY_UNSURE };

struct verify_answer {
	enum verify_status status;
	struct str reason; /* lives in the command's scratch */
};

void verify_init(const struct conf *c);
/* w: what trivial-rewrite says of the address, asked whether it is known. Waits for a probe as long as address_verify_poll_* say; it goes on after that. Suspends. */
void verify_address(struct session *s, const struct rewrite_answer *w, struct verify_answer *out);
/* The sender of our probes: others may ask for it as a recipient, to verify it in turn. */
bool verify_is_our_sender(struct str address);

#endif
