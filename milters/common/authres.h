/* milters/common/authres.h - the Authentication-Results field, RFC 8601: whose it is, and how its values are written. */
#ifndef GATEPOST_MILTERS_COMMON_AUTHRES_H
#define GATEPOST_MILTERS_COMMON_AUTHRES_H

#include <stdbool.h>

#include "lib/base/str.h"

/* Does a field with this value claim to be written by id? Folds and comments as RFC 5322 allows; in doubt it does not. */
bool authres_claims(struct str value, struct str id);

/* A value of a property or a version: a token as it is, else a quoted string. Bytes that may not stand there become '?'. */
void authres_add_value(struct buf *out, struct str value);
void authres_add_comment(struct buf *out, struct str text); /* " (text)" */

#endif
