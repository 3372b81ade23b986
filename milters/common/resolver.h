/* milters/common/resolver.h - TXT records for threads: questions are started, then waited for with a deadline, so that several are under
 * way at once. One resolver (and its cache) a process, for its whole life.
 */
#ifndef GATEPOST_MILTERS_COMMON_RESOLVER_H
#define GATEPOST_MILTERS_COMMON_RESOLVER_H

#include <stdint.h>

#include "lib/base/err.h"
#include "lib/base/str.h"

enum txt_result {
	TXT_FOUND,
	TXT_NONE, /* no such name, no such record, or not a name that can be asked for */
	TXT_TEMPFAIL /* no answer in time, the server's failure, bogus DNSSEC */
};

struct txt_query;

/* servers as in dns_servers, anchor as in dns_trust_anchor_file; both may be empty. Call it before threads exist. 0, or -1 with *e. */
int resolver_start(const char *servers, const char *anchor, struct err *e);

struct txt_query *txt_ask(const char *name); /* never NULL; end with txt_done() */
/* Until deadline_ms (clock_mono_ms). The first record that begins with prefix, else the first of all, strings joined, goes to out. */
enum txt_result txt_wait(struct txt_query *q, int64_t deadline_ms, struct str prefix, struct buf *out);
void txt_done(struct txt_query *q); /* answered or not; NULL allowed */

#endif
