/* mta/smtpd/xclient.h - the pure part of XCLIENT and XFORWARD: attributes and their values. */
#ifndef GATEPOST_MTA_SMTPD_XCLIENT_H
#define GATEPOST_MTA_SMTPD_XCLIENT_H

#include <stdbool.h>

#include "lib/base/str.h"

#define XATTR_MAX 255 /* octets of a decoded value */

enum xattr { XATTR_ADDR, XATTR_DESTADDR, XATTR_DESTPORT, XATTR_HELO, XATTR_IDENT, XATTR_LOGIN, XATTR_NAME, XATTR_PORT, XATTR_PROTO,
	XATTR_REVERSE_NAME, XATTR_SOURCE, XATTR_COUNT };

enum xvalue { XVALUE_GIVEN, XVALUE_UNAVAILABLE, XVALUE_TEMPUNAVAIL };

/* "NAME=value": which attribute, and its decoded value into *value (cleared first). Returns 0, or -1 with *why, a phrase for a 501
 * reply that ends with the offending text where there is some. Checks the value's syntax, not whether the attribute is allowed. */
int xattr_parse(struct str word, enum xattr *which, enum xvalue *kind, struct buf *value, const char **why);

#endif
