/* lib/mail/authres.h - the Authentication-Results field, RFC 8601: whose it is, what it says, and how its values are written. Pure; a fuzz
 * target.
 */
#ifndef GATEPOST_LIB_MAIL_AUTHRES_H
#define GATEPOST_LIB_MAIL_AUTHRES_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/arena.h"
#include "lib/base/str.h"

#define AUTHRES "Authentication-Results"
#define AUTHRES_RESULTS_MAX 64
#define AUTHRES_PROPERTIES_MAX 16 /* of one result */

struct authres_property {
	struct str type, name, value; /* "smtp", "mailfrom", "ann@far.test" */
};

struct authres_result {
	struct str method, result; /* lower case: "dkim", "pass" */
	struct str reason; /* empty: none */
	struct authres_property properties[AUTHRES_PROPERTIES_MAX];
	size_t property_count;
	struct str text; /* as written, to be passed on */
};

struct authres {
	struct str id; /* authserv-id, unquoted */
	struct authres_result *results; /* none for "none" */
	size_t count;
};

/* Texts live in a, or are slices of value. False: not such a field. What is beyond the limits is a malformed field. */
bool authres_parse(struct arena *a, struct str value, struct authres *out);
/* The value of property "type.name", empty when it is not there. */
struct str authres_property(const struct authres_result *r, const char *type, const char *name);

/* Does a field with this value claim to be written by id? Folds and comments as RFC 5322 allows; in doubt it does not. */
bool authres_claims(struct str value, struct str id);

/* A value of a property or a version: a token as it is, else a quoted string. Bytes that may not stand there become '?'. */
void authres_add_value(struct buf *out, struct str value);
/* The same for a mail address or a domain, which may stand there as it is (section 2.2, pvalue). */
void authres_add_address(struct buf *out, struct str value);
void authres_add_comment(struct buf *out, struct str text); /* " (text)" */

#endif
