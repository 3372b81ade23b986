/* policyd/policyd.h - what the files of policyd share: the request's facts, a check's verdict, the settings. */
#ifndef GATEPOST_POLICYD_POLICYD_H
#define GATEPOST_POLICYD_POLICYD_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/arena.h"
#include "lib/base/str.h"
#include "lib/conf/conf.h"
#include "lib/proto/policy.h"
#include "lib/table/table.h"

struct remedies;
struct rulesets;

/* Read once before the first fiber: main.cf's, and again for each row of master.cf that runs smtpd with settings of its own. */
struct settings {
	const struct conf *conf;
	const char *myhostname;
	const char *recipient_delimiter;
	const char *null_key; /* smtpd_null_access_lookup_key */
	bool parents_plain; /* parent_domain_matches_subdomains has smtpd_access_maps */
	int64_t timeout_ms; /* one request */
	int64_t dns_timeout_ms; /* one DNS answer */
	struct str restrictions; /* policyd_restrictions */
	struct str key_prefix; /* redis_key_prefix */
	struct str classes; /* policyd_restriction_classes */
	struct matchlist *spf_exempt, *greylist_exempt, *greylist_known_domains;
	struct matchlist *allow_clients; /* they, and the addresses below, pass whatever the checks say */
	struct tables allow_senders, allow_recipients, greylist_exempt_recipients;
	struct tables rbl_reply_maps;
	struct remedies *remedies; /* policyd_trouble_actions; NULL: the registry's rows hold */
	struct rulesets *rulesets; /* texts that were parsed under these settings */
	bool broken; /* while testing: something cannot be used, which was told */
};

extern struct settings settings; /* main.cf's */
/* settings.c: end the process on what cannot work. */
void settings_load(const struct conf *c);
/* What counts for the smtpd of this name in master.cf. */
const struct settings *settings_of(struct str service);

enum { /* which facts a request brings; a check whose needs are not met does not run */
	FACT_CLIENT = 1,
	FACT_HELO = 2,
	FACT_SENDER = 4, /* MAIL was seen; the null sender is one */
	FACT_RCPT = 8,
	FACT_ETRN = 16
};

/* One request. It owns its memory and lives as long as the session or a check still works on it. */
struct request {
	const struct settings *settings;
	struct arena *life;
	unsigned refs;
	unsigned facts;
	int64_t deadline;
	struct str client_address, client_name, reverse_client_name, helo, sender, recipient, etrn_domain;
	struct str sasl_username, ccert_fingerprint, ccert_pubkey_fingerprint, instance;
	struct str state; /* protocol_state */
	int64_t size, recipient_count;
	bool dry; /* somebody only wants to know: leave no mark */
	struct str mark_prefix; /* shadow policies keep their marks apart */
	struct request *owner; /* of whom this one is a copy; NULL: none */
	struct trace *trace; /* NULL: nobody wants to know */
};

#define TRACE_MAX 60 /* lines of reasoning in one answer */

/* What led to an answer, for "gatepost ask". Lines live in the request. */
struct trace {
	struct str lines[TRACE_MAX];
	size_t count;
};

void request_trace(struct request *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

void request_ref(struct request *r);
void request_unref(struct request *r);

/* What a check found. Texts live in the request. */
struct verdict {
	struct str action; /* access(5) action; empty: go on */
	bool whole; /* the action's text is the complete reply */
	struct str header; /* field for the top of the message; empty: none */
	struct str result; /* the finding in a word, for check_score: "listed", "fail"; empty: nothing was found */
	struct str why; /* the finding in a few words, for people */
};

#define VERDICT_GO_ON ((struct verdict){ .action = STR_NONE, .header = STR_NONE, .result = STR_NONE, .why = STR_NONE })

/* Part of an address behind the last '@'; empty when there is none. */
struct str request_domain(struct str address);
int64_t request_dns_deadline(const struct request *r); /* for one DNS question asked now */
/* Our own trouble: 451 as Postfix words it. */
void verdict_config_error(struct verdict *v);

/* session.c */
void session_serve(struct stream *s, bool trusted);
void session_drain(void);

#endif
