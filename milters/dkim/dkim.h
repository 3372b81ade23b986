/* milters/dkim/dkim.h - the DKIM milter's parts: settings, keys, one message, verifying and signing it. */
#ifndef GATEPOST_MILTERS_DKIM_DKIM_H
#define GATEPOST_MILTERS_DKIM_DKIM_H

#include <stdbool.h>

#include <opendkim/dkim.h>

#include "lib/base/arena.h"
#include "lib/base/err.h"
#include "lib/base/map.h"
#include "lib/base/str.h"
#include "lib/conf/conf.h"
#include "lib/table/table.h"
#include "milters/common/resolver.h"

#define SIGNERS_MAX 8 /* signatures that we put into one message */
#define CHECKS_MAX 100 /* upper limit of dkim_max_signatures */

enum { MODE_VERIFY = 1, MODE_SIGN = 2 };
enum on_trouble { ON_ACCEPT, ON_REJECT, ON_TEMPFAIL };

/* ---- policy.c: the settings, read whole, replaced whole by SIGHUP; a message keeps those it began with ---- */

struct policy {
	int refs;
	struct arena *life;
	struct conf *conf;
	unsigned mode;
	struct str authserv_id;
	size_t max_signatures;
	unsigned min_key_bits;
	int64_t dns_timeout_ms;
	enum on_trouble on_fail, on_temperror;
	dkim_canon_t header_canon, body_canon;
	struct matchlist *internal;
	struct tables sign_table;
	struct map *keys; /* file name -> struct sign_key, those that were needed so far; under say_lock() */
	DKIM_LIB *lib;
};

/* Read main.cf in dir. report: tell problems and warnings on stderr, for an operator who waits. NULL with *e. */
struct policy *policy_load(const char *dir, bool report, struct err *e);
void policy_use(struct policy *p); /* for messages from now on; the one before goes when its last message ends */
struct policy *policy_get(void);
void policy_put(struct policy *p); /* NULL allowed */

/* ---- keys.c: who signs for an address, and with what ---- */

struct sign_key {
	char *pem;
	dkim_alg_t algorithm;
};

struct signer {
	const char *domain, *selector;
	const struct sign_key *key;
};

/* Signers for a From address, from dkim_sign_table: the address itself, its domain, ".parent" domains; the first entry counts. Texts live
 * in a. Returns how many, or -1 with *e when the table, an entry or a key file is not usable. */
ptrdiff_t signers_find(struct policy *p, struct str address, struct arena *a, struct signer out[SIGNERS_MAX], struct err *e);
void sign_key_free(void *key);

/* ---- message.c: what is kept of one message ---- */

struct field {
	char *name;
	char *value; /* as it came: LF folds */
	struct field *next;
};

/* One signature to be verified. */
struct check {
	DKIM_SIGINFO *sig;
	struct txt_query *query;
	enum txt_result answer;
	struct buf key; /* the key record */
	bool sha1;
};

struct message {
	struct arena *life;
	struct policy *policy;
	bool trusted; /* from an internal host or a client that logged in */
	bool lead_space; /* values of fields have the white space behind the colon */
	bool too_large; /* more header than we keep */
	struct field *fields, **last;
	size_t field_count, header_size;
	const char *queue_id; /* from the MTA; empty: none */

	bool verifying;
	DKIM *verify; /* NULL: nothing to verify */
	DKIM_STAT header_status;
	struct check checks[CHECKS_MAX];
	size_t check_count, excess_count;
	int64_t key_deadline_ms;

	DKIM *sign[SIGNERS_MAX];
	struct signer signers[SIGNERS_MAX];
	size_t sign_count;
};

struct message *message_new(struct policy *p); /* takes the reference */
void message_free(struct message *m); /* NULL allowed */
void message_add_field(struct message *m, const char *name, const char *value);
/* Give all fields to a libopendkim handle. Those it cannot take are no header fields; they are left out. */
void message_feed_header(struct message *m, DKIM *d);
/* The n-th field (1-based) of that name; NULL: no such. */
const struct field *message_field(const struct message *m, const char *name, size_t n);

/* ---- verify.c, result.c ---- */

void verify_set_hooks(DKIM_LIB *lib);
int verify_header(struct message *m, struct err *e); /* waits for keys */
enum verdict { VERDICT_NONE, VERDICT_PASS, VERDICT_TEMPERROR, VERDICT_FAIL };
/* After the body: each result to value in Authentication-Results' words, without our name in front; line: the same for the log. */
enum verdict verify_end(struct message *m, struct buf *value, struct buf *line);
/* One result: "dkim=pass (2048-bit key) header.d=...". */
enum verdict result_of_check(struct message *m, const struct check *c, struct buf *value);

/* ---- sign.c ---- */

int sign_header(struct message *m, struct err *e); /* decides whether to, too */
/* After the body: the value of the i-th DKIM-Signature field, LF folds. */
int sign_end(struct message *m, size_t i, struct buf *value, struct err *e);

/* ---- session.c: libmilter's callbacks ---- */

int session_register(void); /* MI_SUCCESS or MI_FAILURE */

#endif
