/* mta/trivial-rewrite/routing.h - everything that says where mail goes, opened once; and the two questions about it. */
#ifndef GATEPOST_MTA_TRIVIAL_REWRITE_ROUTING_H
#define GATEPOST_MTA_TRIVIAL_REWRITE_ROUTING_H

#include "lib/conf/conf.h"
#include "lib/proto/rewrite.h"
#include "lib/table/table.h"

struct routing {
	struct arena *life;
	/* classes */
	struct matchlist *mydestination, *own_addresses, *virtual_alias_domains, *virtual_mailbox_domains, *relay_domains;
	/* recipients */
	struct tables local_recipients, virtual_aliases, virtual_mailboxes, relay_recipients, canonical, recipient_canonical;
	bool propagate_canonical, propagate_virtual; /* +extensions */
	/* routes */
	struct tables transport, relocated, sender_relayhost, sender_transport;
	bool transport_parents_plain; /* transport_maps in parent_domain_matches_subdomains */
	const char *local_transport, *virtual_transport, *relay_transport, *default_transport, *relayhost;
	const char *null_sender_relayhost_key, *null_sender_transport_key, *null_recipient;
	/* rewriting */
	const char *myhostname, *mydomain, *myorigin, *remote_domain, *delimiters;
	bool append_at_myorigin, append_dot_mydomain, swap_bangpath, percent_hack, allow_min_user, null_domain_local, dequoted, numeric_domains;
};

/* Open all tables. NULL with *e: which parameter, which table, why. */
struct routing *routing_open(const struct conf *c, struct err *e);
/* The same for the sessions of a smtpd whose row says something else of recipients than main.cf (c) does. *out NULL: it does not. -1 with *e. */
int routing_row(const struct routing *all, const struct conf *c, const struct conf *row, struct routing **out, struct err *e);
void routing_close(struct routing *r);

/* Standard form of an address: user@fully.qualified. local_context: the addresses of this host are completed by its own domains, else by
 * remote_header_rewrite_domain. The result lives in a. */
struct str rewrite_address(const struct routing *r, struct arena *a, struct str address, bool local_context);
/* Class, transport and next hop. Texts live in a or r. Never fails otherwise than by out->temp_fail. */
void resolve_address(const struct routing *r, struct arena *a, const struct rewrite_question *q, struct rewrite_answer *out);
/* known.c: do the tables of the answer's class have this recipient? Sets REWRITE_KNOWN, REWRITE_ALIASED and alias. -1 with *e: a table
 * failed. */
int resolve_known(const struct routing *r, struct arena *a, struct rewrite_answer *out, struct err *e);

#endif
