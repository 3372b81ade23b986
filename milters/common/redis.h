/* milters/common/redis.h - Redis from libmilter's threads: hiredis' blocking calls with a deadline, a few connections kept, a circuit
 * breaker, so that a dead or slow Redis costs one warning and no latency. It only ever holds what can be had again, or counts for reports.
 */
#ifndef GATEPOST_MILTERS_COMMON_REDIS_H
#define GATEPOST_MILTERS_COMMON_REDIS_H

#include <stdbool.h>

#include "lib/base/arena.h"
#include "lib/base/err.h"
#include "lib/base/str.h"
#include "lib/conf/conf.h"

#define REDIS_WORDS_MAX 16 /* of one command */

struct redis_words {
	struct str words[REDIS_WORDS_MAX];
	size_t count;
};

struct redis_answer {
	bool found; /* a text or a number */
	struct str text;
	int64_t number;
};

/* Take over redis_server and its kin; connections to the server before are let go. 0, or -1 with *e: redis_server makes no sense. */
int redis_use(const struct conf *c, struct err *e);
bool redis_ready(void); /* there is a server, and the breaker is closed */
struct str redis_key(struct arena *a, const char *kind, struct str name); /* "<redis_key_prefix><kind>:<name>" */
/* Commands sent together, one round trip. An error the server gives for one of them is answer->found = false, and logged. 0, or -1 when
 * there are no answers; that was logged as well, if it is news. Any thread. */
int redis_ask(struct arena *a, const struct redis_words *commands, size_t count, struct redis_answer *answers);

#endif
