/* policyd/spf_match.h - does an "a", "mx" or "exists" term match? Asked of libspf2, one term at a time and in words of our own. */
#ifndef GATEPOST_POLICYD_SPF_MATCH_H
#define GATEPOST_POLICYD_SPF_MATCH_H

#include "policyd/spf_dns.h"
#include "policyd/spf_record.h"

struct spf_matcher;

enum spf_match { SPF_MATCH, SPF_NO_MATCH, SPF_MATCH_TEMPERROR, SPF_MATCH_PERMERROR };

/* Ends with d->a. NULL: the library would not. */
struct spf_matcher *spf_matcher_new(struct spf_dns *d);
/* target: the term's domain, expanded. Suspends. */
enum spf_match spf_matcher_ask(struct spf_matcher *m, const struct spf_term *t, struct str target);

#endif
