/* lib/mail/dmarc.h - DMARC records: RFC 7489 section 6.3 with the tags of its successor (np, psd, t). Pure; a fuzz target.
 */
#ifndef GATEPOST_LIB_MAIL_DMARC_H
#define GATEPOST_LIB_MAIL_DMARC_H

#include <stdbool.h>

#include "lib/base/str.h"

enum dmarc_policy { DMARC_NONE, DMARC_QUARANTINE, DMARC_REJECT };

struct dmarc_record {
	enum dmarc_policy p, sp, np; /* sp is p and np is sp where the record does not say */
	bool has_np;
	bool strict_dkim, strict_spf;
	unsigned pct;
	bool testing; /* t=y: the next milder policy is wanted */
	char psd; /* 'y', 'n', 'u' */
	struct str rua; /* addresses for aggregate reports, as written */
	struct str fo;
};

/* Does a TXT record claim to be one? */
bool dmarc_record_selects(struct str text);
/* False: it is not one, or one without a policy and without an address for reports. What is wrong with the other tags counts as absent. */
bool dmarc_record_parse(struct str text, struct dmarc_record *out);
const char *dmarc_policy_name(enum dmarc_policy p);
/* "mailto:" addresses of a rua list off the front: address without the "mailto:" and the size limit; *limit in octets, 0: none. Empty: no
 * more. */
struct str dmarc_report_address(struct str *rua, uint64_t *limit);

#endif
