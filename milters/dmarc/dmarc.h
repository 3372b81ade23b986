/* milters/dmarc/dmarc.h - the DMARC milter's parts: who a message says it is from, what its domain wants, what is known about the message,
 * and what is to be done with it.
 */
#ifndef GATEPOST_MILTERS_DMARC_DMARC_H
#define GATEPOST_MILTERS_DMARC_DMARC_H

#include "lib/mail/dmarc.h"
#include "milters/common/arc.h"

#define FROM_DOMAINS_MAX 5 /* different ones in From; more is a broken message */
#define DKIM_RESULTS_MAX 20

/* ---- options.c ---- */

enum dmarc_action { ACT_ACCEPT, ACT_QUARANTINE, ACT_REJECT, ACT_TEMPFAIL };

struct dmarc_options {
	enum dmarc_action on_reject, on_quarantine, on_temperror, on_bad_from;
	bool tree_walk;
	bool reports;
	unsigned min_key_bits;
	struct str spf_server; /* "unix:path" below queue_directory; empty: Received-SPF is believed */
	struct matchlist *sealers; /* whose seals override a failure; NULL: nobody's */
	void *suffixes; /* libpsl's */
};

int options_load(struct settings *s, struct err *e);
void options_unload(struct settings *s);

/* ---- from.c ---- */

struct from_domains {
	struct str domains[FROM_DOMAINS_MAX]; /* lower case, A-labels, each once */
	size_t count;
	const char *problem; /* static text; NULL: none */
};

void from_read(struct mail *m, struct from_domains *out);
/* Lower case, A-labels, no dot at the end; empty: not a domain. Lives in a. */
struct str domain_normal(struct arena *a, struct str domain);

/* ---- suffix.c: the Public Suffix List ---- */

/* file: the list to use, empty: the system's. NULL: there is none. */
void *suffixes_open(const char *file);
void suffixes_close(void *list); /* NULL allowed */
/* The domain directly below a public suffix, a slice of domain; domain itself when it is a suffix or has none. */
struct str suffixes_org_domain(void *list, struct str domain);

/* ---- discover.c: what a domain's owner wants ---- */

enum found { FOUND_NONE, FOUND_RECORD, FOUND_TEMPERROR };

struct discovery {
	enum found found;
	struct str text; /* the record */
	struct str domain; /* where it stands */
	struct str org_domain;
	struct dmarc_record record;
	const char *tag; /* "p", "sp" or "np": which policy of the record applies */
	enum dmarc_policy policy; /* that one */
};

/* For an author domain. Waits. */
void discover(struct mail *m, struct str domain, struct discovery *out);
/* The organizational domain of an identifier that was authenticated, for relaxed alignment with org. False: no answer. Waits. */
bool discover_same_org(struct mail *m, struct str domain, struct str org, bool *same);

/* ---- identity.c: what is known about the message ---- */

enum auth { AUTH_NONE, AUTH_PASS, AUTH_FAIL, AUTH_TEMPERROR };

struct identity {
	enum auth result;
	struct str word; /* the result as it was given: "softfail" */
	struct str domain, selector; /* of a signature; domain of SPF */
	bool helo; /* SPF: of the HELO name, not of the sender */
};

struct identities {
	struct identity dkim[DKIM_RESULTS_MAX], spf;
	size_t dkim_count;
};

void identities_read(struct mail *m, struct identities *out); /* may ask policyd */
/* policyd.c: Received-SPF's value for this message, empty when policyd has nothing to say. -1 with *e. */
int policyd_ask_spf(struct mail *m, struct str server, struct str *value, struct err *e);

/* ---- evaluate.c: one author domain ---- */

enum dmarc_result { RESULT_NONE, RESULT_PASS, RESULT_FAIL, RESULT_TEMPERROR };

struct evaluation {
	struct str domain;
	struct discovery d;
	bool dkim_aligned, spf_aligned; /* passes that are aligned */
	enum dmarc_result result;
	enum dmarc_policy disposition; /* what is to be done: the policy, unless something softens it */
	const char *softened; /* reason type of reports: "sampled_out", "trusted_forwarder", "local_policy"; NULL: nothing */
};

const char *dmarc_result_name(enum dmarc_result r);
void evaluate(struct mail *m, const struct identities *known, struct str domain, struct evaluation *out);

/* ---- override.c ---- */

/* Is it worth looking at the chain: are all its sealers trusted? */
bool override_possible(struct mail *m);
/* After arc_end(): did the first of them see the message pass, for this domain? */
bool override_applies(struct mail *m, const struct arc_chain *c, struct str domain);

/* ---- rows.c ---- */

/* Count the message for the domain's aggregate report. */
void rows_count(struct mail *m, const struct identities *known, const struct evaluation *v);

#endif
