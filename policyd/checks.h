/* policyd/checks.h - the restrictions policyd knows: one row each in checks.c, one file a family. */
#ifndef GATEPOST_POLICYD_CHECKS_H
#define GATEPOST_POLICYD_CHECKS_H

#include "policyd/policyd.h"

enum check_argument { ARG_NONE, ARG_ONE }; /* ARG_ONE: the next word or { group } */

struct rule;

/* What can go wrong while a check works, and what it does then: its row says so, policyd_trouble_actions may say otherwise. */
enum trouble { TROUBLE_TIMEOUT, TROUBLE_DNS, TROUBLE_REDIS, TROUBLES };
enum remedy {
	REMEDY_NONE, /* cannot happen to this check */
	REMEDY_SKIP, /* as if the check were not there */
	REMEDY_PASS, /* OK */
	REMEDY_DEFER, /* DEFER_IF_PERMIT: refusals of later checks go first */
	REMEDY_REJECT,
	REMEDY_LOCAL, /* with this process's own memory */
	REMEDY_OWN /* the check knows better: see its file */
};

struct check {
	const char *name; /* restriction word */
	enum check_argument argument;
	unsigned needs; /* FACT_ bits */
	bool ahead; /* only asks (DNS): may run before the rules in front of it have answered */
	int variant; /* the family's own */
	const char *cache; /* what a verdict is kept by, and how long; NULL: it is not */
	const char *budget; /* parameter: its longest time */
	enum remedy trouble[TROUBLES];
	/* Parse the argument once; rule->state is what eval gets, in a. May be NULL. 0, or -1 with *e. */
	int (*prepare)(struct rule *rule, struct arena *a, struct err *e);
	void (*eval)(const struct rule *rule, struct request *r, struct verdict *v); /* Suspends. */
};

/* A restriction with its argument, parsed. */
struct rule {
	const struct settings *settings; /* under which it was parsed */
	const struct check *check;
	struct str argument;
	bool ahead; /* the check's, unless prepare() knows better */
	const void *state;
};

extern const struct check checks[];
extern const size_t check_count;
const struct check *check_find(struct str name); /* NULL: not one of policyd's */

void checks_print(void); /* print.c: the registry on standard output */

/* trouble.c */
const char *trouble_name(enum trouble what);
const char *remedy_name(enum remedy remedy);
/* policyd_trouble_actions; *out for the life of the process, even when they are wrong. */
int trouble_prepare(const char *actions, struct remedies **out, struct err *e);
enum remedy trouble_remedy(const struct settings *s, const struct check *c, enum trouble what);
/* The verdict for this trouble; LOCAL and OWN are the check's to handle before. why: static or in the request. */
void trouble_verdict(const struct rule *rule, struct request *r, enum trouble what, const char *why, struct verdict *v);

/* check_access.c, check_hosts.c: what is looked up. */
enum access_subject {
	ACCESS_CLIENT,
	ACCESS_REVERSE_CLIENT,
	ACCESS_HELO,
	ACCESS_SENDER,
	ACCESS_RCPT,
	ACCESS_CCERT,
	ACCESS_SASL,
	ACCESS_ETRN
};
int access_prepare(struct rule *rule, struct arena *a, struct err *e);
void access_eval(const struct rule *rule, struct request *r, struct verdict *v);

/* Variant of a check about the hosts behind a name: subject * 4 + kind. */
enum hosts_kind { HOSTS_MX, HOSTS_NS, HOSTS_A };
void hosts_eval(const struct rule *rule, struct request *r, struct verdict *v);

/* check_rbl.c */
enum rbl_subject { RBL_CLIENT, RBL_CLIENT_NAME, RBL_REVERSE_CLIENT, RBL_HELO, RBL_SENDER, RBL_RCPT };
#define RBL_PERMIT 16 /* in a variant: listed means permit */
int rbl_prepare(struct rule *rule, struct arena *a, struct err *e);
void rbl_eval(const struct rule *rule, struct request *r, struct verdict *v);

/* check_spf.c */
void spf_eval(const struct rule *rule, struct request *r, struct verdict *v);
/* Does SPF say pass for this client and sender? *domain: whose. For greylisting. Suspends. */
bool spf_passes(struct request *r, struct str *domain);

/* check_score.c, shadow.c */
int score_prepare(struct rule *rule, struct arena *a, struct err *e);
void score_eval(const struct rule *rule, struct request *r, struct verdict *v);
int shadow_prepare(struct rule *rule, struct arena *a, struct err *e);
void shadow_eval(const struct rule *rule, struct request *r, struct verdict *v);

/* check_greylist.c, check_rate.c */
struct str greylist_key(struct arena *a, struct str who); /* who: "192.0.2.0/24" or "spf=domain" */
struct str greylist_triplet_key(struct arena *a, struct str who, struct str sender, struct str recipient);
void greylist_eval(const struct rule *rule, struct request *r, struct verdict *v);
/* What a stored limit stands at. text: "client=10/60s", kept: its number. False: not such a thing. */
struct rate_state {
	int64_t used, burst; /* units */
	int64_t seconds; /* until nothing is counted any more */
};
bool rate_state(struct str text, struct str kept, struct rate_state *out);
struct str rate_key(struct arena *a, struct str value); /* every limit's key of this value begins so */
int rate_prepare(struct rule *rule, struct arena *a, struct err *e);
void rate_eval(const struct rule *rule, struct request *r, struct verdict *v);

#endif
