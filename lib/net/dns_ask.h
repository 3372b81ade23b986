/* lib/net/dns_ask.h - one question in flight, for the files of lib/net that ask several at once. */
#ifndef GATEPOST_LIB_NET_DNS_ASK_H
#define GATEPOST_LIB_NET_DNS_ASK_H

#include "lib/base/list.h"
#include "lib/net/dns.h"

struct fiber;

enum dns_question_state { DNS_Q_QUEUED, DNS_Q_ASKED, DNS_Q_DONE, DNS_Q_CANCELLED };

struct dns_question {
	struct list node;
	enum dns_question_state state;
	enum dns_type type;
	struct buf name, packet;
	const char *bad_name; /* why it cannot be asked; NULL: it was asked */
	struct fiber *waiter; /* asleep in dns_question_finish() */
	int async_id;
	bool bogus, secure;
	int64_t began_us;
};

/* Every start is followed by one finish on the same q. Neither start nor the answer suspends. */
void dns_question_start(struct dns_question *q, struct str name, enum dns_type type);
void dns_question_finish(struct dns_question *q, struct arena *a, int64_t deadline, struct dns_answer *answer); /* Suspends. */

#endif
