/* mta/smtpd/restrict.h - smtpd_*_restrictions: the registry of restrictions, their lists, and how a list is evaluated.
 *
 * A restriction answers a verdict; a refusal leaves its reply in session.ruling and has been logged. Restrictions that need a table or
 * an address list in the DNS are policyd's: neighbours travel in one question (lib/proto/policy.h).
 */
#ifndef GATEPOST_MTA_SMTPD_RESTRICT_H
#define GATEPOST_MTA_SMTPD_RESTRICT_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/arena.h"
#include "lib/base/err.h"
#include "lib/base/str.h"
#include "lib/conf/conf.h"

struct session;
struct policy_service;

enum list_kind { LIST_CLIENT, LIST_HELO, LIST_SENDER, LIST_RELAY, LIST_RCPT, LIST_DATA, LIST_EOD, LIST_ETRN, LIST_COUNT };

enum verdict { CHECK_DUNNO, CHECK_OK, CHECK_REJECT };

enum subject { /* what a restriction's refusal is about; LIST: what its list is about */
	ABOUT_LIST,
	ABOUT_CLIENT,
	ABOUT_REVERSE,
	ABOUT_HELO,
	ABOUT_SENDER,
	ABOUT_RCPT,
	ABOUT_SASL,
	ABOUT_CCERT,
	ABOUT_ETRN
};

struct check { /* one list being evaluated */
	struct session *s;
	enum list_kind kind;
	struct str name;   /* what a plain "reject" is about: "<name>: klass rejected: ..." */
	const char *klass; /* "Client host", "Recipient address" ... */
	unsigned depth;    /* of restriction classes and lists in actions */
	bool warn;         /* under warn_if_reject: refusals are only logged */
	struct buf *story; /* what was asked so far, for gatepost explain; NULL: not wanted */
};

struct rule;

enum { /* restriction.flags */
	RULE_ARG = 1,     /* takes an argument */
	RULE_POLICYD = 2, /* asked of policyd */
	RULE_FORBID_OK = 8 /* a permit from it would be open to forgery, and is an error */
};

struct restriction {
	const char *name;
	unsigned flags;
	enum subject about;
	enum verdict (*eval)(struct check *c, const struct rule *r); /* NULL: policyd, or not a thing of its own */
};

struct rule { /* one restriction of a list */
	const struct restriction *def; /* NULL: unknown word, or a class */
	struct str word, arg;
	bool warn; /* warn_if_reject stood before it */
	const struct rule_list *klass; /* restriction class */
	struct policy_service *policy; /* check_policy_service */
};

struct rule_list {
	struct rule *rules;
	size_t count;
	const char *name; /* parameter, for messages */
	const char *where; /* it is set: "main.cf:12"; NULL: no story is told of it */
	enum list_kind kind;
};

/* restrictions[]: every restriction there is, sorted by name. */
extern const struct restriction restrictions[];
extern const size_t restriction_count;
const struct restriction *restriction_find(struct str name);

/* Read the smtpd_*_restrictions into settings; ends the process when nothing in them stops relaying. */
void restrict_load(const struct conf *c);
/* Parse list text. classes may be used in it. Returns -1 with *e when a policy service's settings are wrong. */
int rule_list_parse(struct arena *a, struct str text, enum list_kind kind, const char *name, struct rule_list *out, struct err *e);
/* Does this list end unauthorized relaying? */
bool rule_list_stops_relay(const struct rule_list *l);

/* Evaluate one parsed list with c's subject. Suspends. */
enum verdict rule_list_eval(struct check *c, const struct rule_list *l);

/* The lists as the commands use them; they care for delayed evaluation and deferrals. CHECK_REJECT: s->ruling is the reply. Suspend. */
enum verdict restrict_client(struct session *s);
enum verdict restrict_helo(struct session *s);
enum verdict restrict_mail(struct session *s);
enum verdict restrict_rcpt(struct session *s);
enum verdict restrict_data(struct session *s);
enum verdict restrict_end_of_data(struct session *s);
enum verdict restrict_etrn(struct session *s);
/* local_header_rewrite_clients: is this client one of our own? */
bool restrict_local_client(struct session *s);

/* Refusals. All log, honour warn_if_reject, soft_bounce and DEFER_IF_REJECT, and fill s->ruling. */
enum verdict check_reject(struct check *c, struct code code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* "<name>: klass rejected: text", the enhanced code fitted to what is checked. */
enum verdict check_reject_about(struct check *c, struct code code, struct str name, const char *klass, struct str text);
/* Our own trouble: 451, never only a warning. */
enum verdict check_trouble(struct check *c, struct code code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* Remember a soft refusal for the end (if nothing refuses) or instead of a hard one. text: complete reply text. */
enum verdict check_defer_if_permit(struct check *c, struct code code, struct str text);
enum verdict check_defer_if_reject(struct check *c, struct code code, struct str text);
/* The answer to a question that could not be decided, as a *_tempfail_action wants it: "defer" at once, else defer_if_permit. */
enum verdict check_tempfail(struct check *c, const char *action, struct code code, struct str text);
/* RFC 3463 codes say whose address is wrong: fit a code found in a table to the thing checked. */
struct code check_fit_code(struct code code, const char *klass);
void check_subject(const struct check *c, enum subject about, struct str *name, const char **klass);

/* Families. */
enum verdict permit_mynetworks(struct check *c, const struct rule *r);
enum verdict permit_inet_interfaces(struct check *c, const struct rule *r);
enum verdict permit_sasl_authenticated(struct check *c, const struct rule *r);
enum verdict permit_tls_clientcerts(struct check *c, const struct rule *r);
enum verdict permit_tls_all_clientcerts(struct check *c, const struct rule *r);
enum verdict reject_unknown_client_hostname(struct check *c, const struct rule *r);
enum verdict reject_unknown_reverse_hostname(struct check *c, const struct rule *r);
enum verdict reject_plaintext_session(struct check *c, const struct rule *r);
enum verdict reject_invalid_helo_hostname(struct check *c, const struct rule *r);
enum verdict reject_non_fqdn_helo_hostname(struct check *c, const struct rule *r);
enum verdict reject_unknown_helo_hostname(struct check *c, const struct rule *r);
enum verdict reject_non_fqdn_sender(struct check *c, const struct rule *r);
enum verdict reject_unknown_sender_domain(struct check *c, const struct rule *r);
enum verdict reject_unlisted_sender(struct check *c, const struct rule *r);
enum verdict reject_sender_login_mismatch(struct check *c, const struct rule *r);
enum verdict reject_authenticated_sender_login_mismatch(struct check *c, const struct rule *r);
enum verdict reject_known_sender_login_mismatch(struct check *c, const struct rule *r);
enum verdict reject_unauthenticated_sender_login_mismatch(struct check *c, const struct rule *r);
enum verdict reject_non_fqdn_recipient(struct check *c, const struct rule *r);
enum verdict reject_unknown_recipient_domain(struct check *c, const struct rule *r);
enum verdict reject_unlisted_recipient(struct check *c, const struct rule *r);
enum verdict reject_unverified_sender(struct check *c, const struct rule *r);
enum verdict reject_unverified_recipient(struct check *c, const struct rule *r);
enum verdict permit_mx_backup(struct check *c, const struct rule *r);
enum verdict permit_naked_ip_address(struct check *c, const struct rule *r);
enum verdict check_relay_domains(struct check *c, const struct rule *r);
enum verdict permit_auth_destination(struct check *c, const struct rule *r);
enum verdict reject_unauth_destination(struct check *c, const struct rule *r);
enum verdict defer_unauth_destination(struct check *c, const struct rule *r);
enum verdict restrict_permit(struct check *c, const struct rule *r);
enum verdict restrict_reject(struct check *c, const struct rule *r);
enum verdict restrict_defer(struct check *c, const struct rule *r);
enum verdict restrict_defer_if_permit(struct check *c, const struct rule *r);
enum verdict restrict_defer_if_reject(struct check *c, const struct rule *r);
enum verdict restrict_sleep(struct check *c, const struct rule *r);
enum verdict reject_unauth_pipelining(struct check *c, const struct rule *r);
enum verdict reject_multi_recipient_bounce(struct check *c, const struct rule *r);
enum verdict reject_maps_rbl(struct check *c, const struct rule *r);
enum verdict check_policy_service(struct check *c, const struct rule *r);

#endif
