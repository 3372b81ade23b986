/* policyd/spf_lib.h - libspf2 as we use it: expand a macro-string, match one mechanism. Nothing else of it is called. */
#ifndef GATEPOST_POLICYD_SPF_LIB_H
#define GATEPOST_POLICYD_SPF_LIB_H

#include "policyd/spf.h"
#include "policyd/spf_dns.h"

struct spf_lib;

enum spf_match { SPF_MATCH, SPF_NO_MATCH, SPF_MATCH_TEMPERROR, SPF_MATCH_PERMERROR };

/* sender: "local@domain". Everything of it ends with dns->a. NULL: an address that is none. */
struct spf_lib *spf_lib_new(const struct spf_question *q, struct str sender, struct spf_dns *dns);
/* Does the mechanism ("a:%{d}/24") match with this current domain? Suspends. */
enum spf_match spf_lib_match(struct spf_lib *l, struct str domain, struct str mechanism);
/* Macros of a domain-spec or explanation filled in. False: it cannot be done. May ask the DNS (%{p}). Suspends. */
bool spf_lib_expand(struct spf_lib *l, struct str domain, struct str text, struct str *out);

#endif
