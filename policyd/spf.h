/* policyd/spf.h - check_host() of RFC 7208: may this client send mail for this domain? Ours are the record's grammar, the walk over its
 * terms, macros and every limit; libspf2 answers "does this mechanism match", one at a time (spf_match.h).
 */
#ifndef GATEPOST_POLICYD_SPF_H
#define GATEPOST_POLICYD_SPF_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/arena.h"
#include "lib/base/str.h"

enum spf_result { SPF_NONE, SPF_NEUTRAL, SPF_PASS, SPF_FAIL, SPF_SOFTFAIL, SPF_TEMPERROR, SPF_PERMERROR };

struct spf_question {
	struct str client_address; /* text */
	struct str helo, sender; /* sender without <>; empty: postmaster@helo */
	struct str receiver; /* our name, for the macro r */
	int64_t deadline;
};

struct spf_answer {
	enum spf_result result;
	struct str domain; /* that was checked */
	struct str mechanism; /* that matched, as it stands in the record, or "default" */
	struct str records; /* that were read on the way, "domain \"text\"" one behind the other; printable, the first few hundred octets */
	struct str explanation; /* fail: what the domain's owner wants to be said; printable, empty when nothing */
	const char *problem; /* temperror, permerror: static text */
	uint32_t ttl; /* seconds the DNS answers behind it may be kept */
};

const char *spf_result_name(enum spf_result r);
void spf_check(struct arena *a, const struct spf_question *q, struct spf_answer *out); /* Suspends. */

#endif
