/* policyd/checks.h - the restrictions policyd knows: one row each in checks.c, one file a family. */
#ifndef GATEPOST_POLICYD_CHECKS_H
#define GATEPOST_POLICYD_CHECKS_H

#include "policyd/policyd.h"

enum check_argument { ARG_NONE, ARG_ONE }; /* ARG_ONE: the next word or { group } */

struct rule;

struct check {
	const char *name; /* restriction word */
	enum check_argument argument;
	unsigned needs; /* FACT_ bits */
	bool ahead; /* only asks (DNS): may run before the rules in front of it have answered */
	int variant; /* the family's own */
	/* Parse the argument once; *state is what eval gets, in a. May be NULL. 0, or -1 with *e. */
	int (*prepare)(const struct rule *rule, struct arena *a, const void **state, struct err *e);
	void (*eval)(const struct rule *rule, struct request *r, struct verdict *v); /* Suspends. */
};

/* A restriction with its argument, parsed. */
struct rule {
	const struct check *check;
	struct str argument;
	const void *state;
};

const struct check *check_find(struct str name); /* NULL: not one of policyd's */

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
int access_prepare(const struct rule *rule, struct arena *a, const void **state, struct err *e);
void access_eval(const struct rule *rule, struct request *r, struct verdict *v);

/* Variant of a check about the hosts behind a name: subject * 4 + kind. */
enum hosts_kind { HOSTS_MX, HOSTS_NS, HOSTS_A };
void hosts_eval(const struct rule *rule, struct request *r, struct verdict *v);

/* check_rbl.c */
enum rbl_subject { RBL_CLIENT, RBL_CLIENT_NAME, RBL_REVERSE_CLIENT, RBL_HELO, RBL_SENDER, RBL_RCPT };
#define RBL_PERMIT 16 /* in a variant: listed means permit */
int rbl_prepare(const struct rule *rule, struct arena *a, const void **state, struct err *e);
void rbl_eval(const struct rule *rule, struct request *r, struct verdict *v);

/* check_spf.c */
void spf_eval(const struct rule *rule, struct request *r, struct verdict *v);
/* Does SPF say pass for this client and sender? *domain: whose. For greylisting. Suspends. */
bool spf_passes(struct request *r, struct str *domain);

/* check_greylist.c, check_rate.c */
void greylist_eval(const struct rule *rule, struct request *r, struct verdict *v);
int rate_prepare(const struct rule *rule, struct arena *a, const void **state, struct err *e);
void rate_eval(const struct rule *rule, struct request *r, struct verdict *v);

#endif
