/* policyd/spf_record.h - the grammar of SPF records (RFC 7208 sections 4.6, 5, 6, 7 and 12), strict. Pure; a fuzz target.
 */
#ifndef GATEPOST_POLICYD_SPF_RECORD_H
#define GATEPOST_POLICYD_SPF_RECORD_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/arena.h"
#include "lib/base/str.h"

#define SPF_SPEC_MAX 500 /* octets of one domain-spec: a name of 253 written with macros, generously */
#define SPF_RECORD_MAX 8192 /* octets of a record */

enum spf_mechanism { SPF_MECH_ALL, SPF_MECH_A, SPF_MECH_EXISTS, SPF_MECH_INCLUDE, SPF_MECH_IP4, SPF_MECH_IP6, SPF_MECH_MX, SPF_MECH_PTR };

struct spf_term {
	enum spf_mechanism mechanism;
	char qualifier; /* + - ~ ? */
	struct str spec; /* domain-spec, unexpanded; empty: the current domain. ip4, ip6: the address */
	unsigned bits4, bits6; /* 32 and 128 when not given */
	struct str text; /* the term as it stands, for reports */
};

struct spf_record {
	struct spf_term *terms;
	size_t count;
	struct str redirect, exp; /* domain-specs; empty: none */
};

bool spf_record_selects(struct str text); /* does a TXT record claim to be one: "v=spf1" and then a blank or nothing */
/* text is a record that selects. False: syntax error, which makes all of it a permerror; *why is static text. */
bool spf_record_parse(struct arena *a, struct str text, struct spf_record *out, const char **why);
/* explain-string: macro-strings and blanks; the letters c, r, t are allowed. */
bool spf_explanation_valid(struct str text);

#endif
