/* milters/common/resolver.h - TXT records for threads: questions are started, then waited for with a deadline, so that several are under
 * way at once. One resolver a process, for its whole life. Answers, also that there is no record, are kept for the records' TTL, in the
 * process and in Redis for the other gateways; whoever may write to that Redis can make signatures valid.
 */
#ifndef GATEPOST_MILTERS_COMMON_RESOLVER_H
#define GATEPOST_MILTERS_COMMON_RESOLVER_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/arena.h"
#include "lib/base/err.h"
#include "lib/base/str.h"

enum txt_result {
	TXT_FOUND,
	TXT_NONE, /* no such name, no such record, or not a name that can be asked for */
	TXT_TEMPFAIL /* no answer in time, the server's failure, bogus DNSSEC */
};

struct txt_query;

/* All records of a name, strings of each joined; RECORD_MAX and RECORDS_MAX bound them. */
struct txt_records {
	struct str *records;
	size_t count;
	bool nxdomain; /* there is nothing at all by that name */
};

/* servers as in dns_servers, anchor as in dns_trust_anchor_file; both may be empty. Call it before threads exist. 0, or -1 with *e. */
int resolver_start(const char *servers, const char *anchor, struct err *e);

/* Ask for several names at once: the process's memory, then Redis in one round trip, then the DNS. Each query ends with txt_done(). */
void txt_ask(const struct str *names, size_t count, struct txt_query **queries);
/* Until deadline_ms (clock_mono_ms). Texts live in a. */
enum txt_result txt_wait(struct txt_query *q, int64_t deadline_ms, struct arena *a, struct txt_records *out);
/* The first record that begins with prefix, else the first of all. */
enum txt_result txt_wait_one(struct txt_query *q, int64_t deadline_ms, struct str prefix, struct arena *a, struct str *out);
void txt_done(struct txt_query *q); /* answered or not; NULL allowed */

#endif
