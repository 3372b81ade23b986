/* policyd/spf_macro.h - macro expansion of RFC 7208 section 7. Ours, because libspf2's writes beyond its buffers for some records. */
#ifndef GATEPOST_POLICYD_SPF_MACRO_H
#define GATEPOST_POLICYD_SPF_MACRO_H

#include "policyd/spf_dns.h"

struct spf_values {
	struct str sender_local, sender_domain, helo, receiver;
	struct spf_dns *dns; /* client, and its name for %{p} */
};

/* text passed spf_record's grammar. domain: the current domain. *out is cut to the last 253 octets' labels when as_name (section 7.3), else
 * to what fits a reply. Suspends for %{p}. */
void spf_macro_expand(struct arena *a, const struct spf_values *v, struct str domain, struct str text, bool as_name, struct str *out);

#endif
