/* milters/common/signature.h - what DKIM-Signature and ARC-Message-Signature have in common: a hash of the body, a hash of chosen header
 * fields and of the signature field itself, and how such a field is written.
 */
#ifndef GATEPOST_MILTERS_COMMON_SIGNATURE_H
#define GATEPOST_MILTERS_COMMON_SIGNATURE_H

#include <stdint.h>

#include "lib/mail/canon.h"
#include "milters/common/milter.h"
#include "milters/common/signer.h"

#define SIGNED_NAMES_MAX 256 /* in an h= tag */

/* ---- the body ---- */

struct body_hash;

/* Lives in a. limit: of l=, negative: none. */
struct body_hash *body_hash_new(struct arena *a, enum canon how, int64_t limit);
void body_hash_feed(struct body_hash *h, struct str piece);
/* Ends it; later calls give the same. */
const unsigned char *body_hash_end(struct body_hash *h);

/* ---- the header ---- */

/* SHA-256 of the fields that h names (bottom up, each once), then of the signature field itself: its value on the wire, white space in
 * front, without the content of b=. False: h names more than SIGNED_NAMES_MAX. */
bool signature_digest(
	const struct mail *m, enum canon how, struct str h, struct str name, struct str value, unsigned char out[DIGEST_SIZE]);
void digest_of(struct str text, unsigned char out[DIGEST_SIZE]);

/* ---- writing ---- */

struct signature_spec {
	const char *name; /* "DKIM-Signature" */
	const char *first_tag; /* "v=1", "i=2" */
	const struct signer *signer;
	enum canon header_canon, body_canon;
	struct str h; /* "from:to:subject" */
	int64_t now, expires; /* seconds since 1970; expires 0: never */
	const unsigned char *body_digest;
};

/* The field's value, LF folds, as it goes to mail_insert_field(). */
int signature_write(const struct mail *m, const struct signature_spec *s, struct buf *value, struct err *e);
/* The h= list for these names: each as often as the message has such fields, once more for those in oversign; names that are not there are
 * left out unless oversigned. Lives in m->life. */
struct str signature_names(struct mail *m, const struct str *names, size_t count, const struct str *oversign, size_t oversign_count);
/* A text without blanks in pieces, folded. */
void signature_add_folded(struct buf *out, struct str text, const char *between);
/* A value with LF folds as it will be on the wire, blank in front. */
struct str signature_wire_value(struct arena *a, struct str value);

#endif
