/* mta/tools/gatepost/check.h - what the steps of "gatepost check" share. */
#ifndef GATEPOST_MTA_TOOLS_GATEPOST_CHECK_H
#define GATEPOST_MTA_TOOLS_GATEPOST_CHECK_H

#include "mta/tools/gatepost/gatepost.h"

struct checking {
	struct tool *t;
	const struct conf *c;
	struct arena *a;
	unsigned errors, warnings;
	const char *told[64]; /* what daemons said */
	size_t told_count;
};

/* Tell of a mistake: fatal when mail would not flow. name: the parameter it is about, or NULL; says where that is set. */
void found(struct checking *k, bool fatal, const char *name, const char *fmt, ...) __attribute__((format(printf, 4, 5)));

/* Names of the smtpd restriction lists, NULL at the end. */
extern const char *const check_restriction_lists[];

/* Steps, in the order they are taken. */
void check_master(struct checking *k);       /* check_master.c: rows, and (last of all) what each daemon says of its configuration */
void check_daemons(struct checking *k);
void check_owner(struct checking *k);        /* check_files.c: accounts, directories, certificates and keys */
void check_directories(struct checking *k);
void check_table_file(struct checking *k, const char *name, struct str spec); /* "type:file": may the daemons read it again? */
void check_tls(struct checking *k);
void check_tables(struct checking *k);       /* check_tables.c: tables that cannot be read, lists, domains in two classes */
void check_lists(struct checking *k);
void check_classes(struct checking *k);
void check_restrictions(struct checking *k); /* check_restrictions.c: open relay, words that never count */
void check_hops(struct checking *k); /* trusted_hops that nothing uses */
void check_relay(struct checking *k);
void check_milters(struct checking *k);      /* check_reach.c: milters and policy servers that do not answer */
void check_policy_servers(struct checking *k);
void check_redis(struct checking *k);        /* check_redis.c */

#endif
