/* milters/dkim/dkim.h - the DKIM milter's parts: settings, who signs for whom, verifying and signing a message. */
#ifndef GATEPOST_MILTERS_DKIM_DKIM_H
#define GATEPOST_MILTERS_DKIM_DKIM_H

#include <stdbool.h>

#include <opendkim/dkim.h>

#include "milters/common/milter.h"
#include "milters/common/resolver.h"
#include "milters/common/signature.h"

#define SIGNERS_MAX 8 /* signatures that we put into one message */
#define CHECKS_MAX 100 /* upper limit of dkim_max_signatures */

enum { MODE_VERIFY = 1, MODE_SIGN = 2 };
enum on_trouble { ON_ACCEPT, ON_REJECT, ON_TEMPFAIL };

/* ---- options.c: this role's settings ---- */

struct dkim_options {
	unsigned mode;
	size_t max_signatures;
	unsigned min_key_bits;
	enum on_trouble on_fail, on_temperror;
	enum canon header_canon, body_canon;
	struct str *sign_headers, *oversign_headers;
	size_t sign_count, oversign_count;
	int64_t expiry_s; /* 0: signatures do not expire */
	struct tables sign_table;
	struct keyring *keys;
	DKIM_LIB *lib;
};

int options_load(struct settings *s, struct err *e);
void options_unload(struct settings *s);

/* ---- keys.c: who signs for an address, and with what ---- */

/* Signers for a From address, from dkim_sign_table: the address itself, its domain, ".parent" domains; the first entry counts. Texts live
 * in a. Returns how many, or -1 with *e when the table, an entry or a key file is not usable. */
ptrdiff_t signers_find(struct dkim_options *o, struct str address, struct arena *a, struct signer out[SIGNERS_MAX], struct err *e);

/* ---- one message ---- */

/* One signature to be verified. */
struct check {
	DKIM_SIGINFO *sig;
	bool asked; /* for its key */
	enum txt_result answer;
	struct str key; /* the key record */
	bool sha1;
};

struct dkim_mail {
	bool verifying;
	DKIM *verify; /* NULL: nothing to verify */
	DKIM_STAT header_status;
	struct check checks[CHECKS_MAX];
	size_t check_count, excess_count;

	struct body_hash *body; /* of our signatures; NULL: none to make */
	struct signer signers[SIGNERS_MAX];
	size_t sign_count;
};

/* ---- verify.c, result.c ---- */

enum verdict { VERDICT_NONE, VERDICT_PASS, VERDICT_TEMPERROR, VERDICT_FAIL };

void verify_set_hooks(DKIM_LIB *lib);
int verify_header(struct mail *m, struct err *e); /* waits for keys */
/* After the body: each result to value in Authentication-Results' words, without our name in front; line: the same for the log. */
enum verdict verify_end(struct mail *m, struct buf *value, struct buf *line);
/* One result: "dkim=pass (2048-bit key) header.d=...". */
enum verdict result_of_check(struct dkim_mail *d, const struct check *c, struct buf *value);

/* ---- sign.c ---- */

int sign_header(struct mail *m, struct err *e); /* decides whether to, too */
int sign_end(struct mail *m, struct err *e); /* puts the fields on top */

#endif
