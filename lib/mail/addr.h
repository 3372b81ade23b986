/* lib/mail/addr.h - addresses as they appear in SMTP paths and in tables.
 * Grammar: RFC 5321 section 4.1.2 (Path, Mailbox); RFC 6531 section 3.3 with ADDR_UTF8. Parsing yields slices of the caller's bytes
 * or arena memory. Nothing here logs or suspends.
 */
#ifndef GATEPOST_LIB_MAIL_ADDR_H
#define GATEPOST_LIB_MAIL_ADDR_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/arena.h"
#include "lib/base/str.h"

#define ADDR_PATH_MAX 1024 /* octets of a path we take at all (Postfix's practice; RFC 5321 asks for 256 at least) */

enum { ADDR_UTF8 = 1, ADDR_NULL_OK = 2, ADDR_STRICT = 4 }; /* flags: UTF-8 allowed; "<>" allowed; angle brackets required */

struct addr {
	struct str local; /* as written, quotes kept; empty for the null sender, and without ADDR_STRICT for "<@domain>" */
	struct str domain; /* without '@'; a domain, "[literal]", or empty */
};

/* Parse one path from the front of `in`: optional "<", source route (skipped), mailbox, ">" when "<" was there. Returns the octets
 * consumed, > 0, and fills *out with slices of in. On a syntax error returns -1, leaves *out alone, sets *why to a static phrase. */
ptrdiff_t addr_parse_path(struct str in, unsigned flags, struct addr *out, const char **why);

/* "local@domain" split at the last '@' outside quotes; domain empty when there is none. */
struct addr addr_split(struct str address);
/* Split off an extension: "joe+x" with delimiters "+-": base "joe", ext "+x" (delimiter kept), or ext empty. Never splits
 * postmaster, mailer-daemon, double-bounce, owner-x or x-request (with '-'), nor at position 0. */
void addr_set_owner_request_special(bool special); /* false: owner-x and x-request are split, too. Once, at the start */
struct str addr_base(struct str local, const char *delimiters, struct str *ext);
/* Internal form (unquoted local part) and back (quoted where RFC 5321 needs it). */
struct str addr_unquote(struct arena *a, struct str address);
struct str addr_quote(struct arena *a, struct str address);
/* The same for an original recipient, which may have a source route: "@hop,@hop:local@domain". For ORCPT, logs and notifications only. */
struct str addr_quote_original(struct arena *a, struct str address);
/* The forms for log lines: quoted, or as they are (info_log_address_format = internal). */
void addr_log_internal(bool internal); /* once, at the start */
struct str addr_log(struct arena *a, struct str address);
struct str addr_log_original(struct arena *a, struct str address);
bool addr_domain_valid(struct str domain); /* hostname syntax or address literal; labels <= 63, total <= 255 */
bool addr_domain_valid_utf8(struct str domain); /* the same, U-labels allowed (RFC 6531) */
bool addr_hostname_valid(struct str name); /* LDH labels (and '_'), no literal */
bool addr_literal(struct str domain, struct str *ip); /* "[1.2.3.4]" or "[IPv6:...]" */
bool addr_is_atext(unsigned char c); /* may stand unquoted in a local part (octets above 127 too) */

/* RFC 3461 xtext. decode: false on bad syntax. */
void addr_xtext_encode(struct buf *out, struct str in);
bool addr_xtext_decode(struct buf *out, struct str in);
bool addr_unitext_decode(struct buf *out, struct str in); /* RFC 6533: UTF-8 as it is, or as "\\x{HEX}"; false on bad syntax */

#endif
