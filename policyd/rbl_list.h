/* policyd/rbl_list.h - questions to DNS lists: cached, and with an eye on the health of each list. A list that stops answering is left
 * alone for a while, and so is one that answers with error codes (127.255/16) or addresses outside of 127/8; one that lists 127.0.0.1 (RFC 5782 section 5) lists everybody and is not believed. Both are reported once.
 */
#ifndef GATEPOST_POLICYD_RBL_LIST_H
#define GATEPOST_POLICYD_RBL_LIST_H

#include "lib/mail/dnsbl.h"
#include "policyd/policyd.h"

#define RBL_ADDRESSES_MAX 16 /* of one answer */

struct rbl_answer {
	bool failed; /* no answer; why says so */
	const char *why;
	unsigned char addresses[RBL_ADDRESSES_MAX][4];
	size_t count; /* 0: not listed */
	struct str reason; /* TXT; only when something is listed */
};

/* Ask below d->domain. by_name: the list is one of names, not of addresses. Suspends. */
void rbl_list_ask(struct request *r, const struct dnsbl *d, struct str name, bool by_name, struct rbl_answer *out);

#endif
