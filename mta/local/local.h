/* mta/local/local.h - the local delivery agent: what its files share.
 *
 * local.c takes requests; job.c keeps the targets of one recipient that are still to be delivered and the outcome; recipient.c walks a
 * local name through aliases, .forward and mailbox; expand.c reads aliases and files; mailbox.c delivers to mailboxes, files and
 * commands; forward.c sends what is not local in again through cleanup; handover.c passes a recipient to another delivery agent.
 *
 * Expansion is a list of work, not a recursion: nested aliases cost memory, which is bounded, and no stack.
 */
#ifndef GATEPOST_MTA_LOCAL_LOCAL_H
#define GATEPOST_MTA_LOCAL_LOCAL_H

#include <stdbool.h>

#include "lib/base/arena.h"
#include "lib/base/map.h"
#include "lib/conf/conf.h"
#include "lib/mail/addr.h"
#include "lib/mailbox/child.h"
#include "lib/proto/agent.h"
#include "lib/proto/rewrite.h"
#include "lib/table/table.h"
#include "mta/local/alias.h"

/* ---- settings ---- */

enum { /* where a target was written; also the bits of allow_mail_to_* */
	FROM_RECIPIENT = 0,
	FROM_ALIAS = 1,
	FROM_FORWARD = 2,
	FROM_INCLUDE = 4
};

enum { DELIVERED_TO_COMMAND = 1, DELIVERED_TO_FILE = 2, DELIVERED_TO_FORWARD = 4 }; /* prepend_delivered_header */

struct settings {
	const struct conf *conf;
	struct arena *life;
	struct tables aliases, mailbox_transports, mailbox_commands, fallback_transports, status_filter;
	bool aliases_broken; /* could not be opened: mail waits */
	const char *delimiter, *myhostname, *myorigin, *mail_name;
	const char *mailbox_transport, *fallback_transport, *luser_relay, *mailbox_command, *home_mailbox, *spool, *forward_path;
	const char *default_privs, *shell, *exec_directory, *command_filter, *forward_filter, *directory_filter, *export;
	unsigned commands_allowed, files_allowed, extensions, delivered_headers, mailbox_locks;
	bool original, require_home, strict_owner, expand_owner, reset_owner, frozen;
	int64_t size_limit, command_limit_ms, lock_delay_ms, stale_ms, ipc_ms;
	int lock_attempts;
	size_t duplicate_limit;
	struct rewrite_client *rewrite;
};

extern struct settings cfg; /* set before the first request */

void settings_load(const struct conf *c);

/* ---- one recipient ---- */

#define NESTING_MAX 100

struct origin { /* where a target comes from, back to the recipient */
	const struct origin *parent;
	int from; /* FROM_* */
	struct str name; /* alias, user or file */
	struct str ext; /* "+extension" that found no entry of its own and goes along; or empty */
	struct identity privs; /* who runs commands and owns files */
	struct queue_rcpt rcpt; /* as logged and written to headers */
	struct str sender; /* of what is forwarded */
	bool of_user; /* privs are those of the user whose .forward file it is */
	bool owned; /* a list: sender is its owner, not the message's sender, who hears no more of it */
	unsigned depth;
};

struct task;
struct forward;

struct job {
	const struct deliver_request *r;
	struct arena *a;
	struct deliver_result *result; /* of the recipient, the worst of all parts */
	bool decided; /* result is set */
	enum deliver_action action; /* of what is sent next */
	bool dsn_passed;
	struct task *first, *last;
	size_t task_count; /* ever */
	struct map *seen; /* of the request */
	struct forward *forwards;
	struct str *delivered_to; /* values in the message */
	struct str recipient; /* what the delivery began with */
	size_t delivered_count;
};

void job_run(struct job *j, const struct queue_rcpt *rcpt); /* Suspends. */
/* One part is done: logged, and joined with the others. text is kept as it is. */
void job_finish(struct job *j, const struct origin *o, enum deliver_status status, struct code code, struct str text);
void job_report(struct job *j, const struct origin *o, struct report *report, struct str success); /* releases the report */
/* True: only a question (QUEUE_PROBE), answered now. done: what would be said had it happened: "delivered to ..." becomes "delivers to ...". */
bool job_probed(struct job *j, const struct origin *o, struct str done);
void job_defer(struct job *j, const struct origin *o, const struct err *e); /* logs e, tells the sender little */
void job_join(struct job *j, const struct deliver_result *res); /* without a log line */
bool job_duplicate(struct job *j, char kind, struct str key); /* true: that was done before */
/* What Delivered-To is to say: frozen_delivered_to. */
struct str job_delivered_to(const struct job *j, const struct origin *o);
void job_targets(struct job *j, const struct origin *o, const struct target *t, size_t count);
bool job_within(const struct origin *o, int from, struct str name); /* is this being expanded already? */
bool job_names_itself(const struct origin *o, struct str name); /* is o an alias's or a user's own name in its own expansion? */
/* Users named in .forward and :include: files, and in lists with an owner, are sent mail of their own: each is then tried again alone. */
bool job_goes_in_again(const struct origin *o);

/* A local name, with extension. Suspends. */
struct local_name {
	struct str full, base, ext; /* lower case; ext without delimiter */
	char delimiter; /* NUL: no extension */
	struct str domain;
};

struct local_name name_split(struct arena *a, struct str address);
struct str name_extension(const struct local_name *n); /* with its delimiter, as it goes along to another address */
void recipient_deliver(struct job *j, const struct origin *o, struct str address); /* Suspends. */
void recipient_mailbox(struct job *j, const struct origin *o, const struct local_name *n); /* no alias, no .forward. Suspends. */

/* ---- expansions: true when the name was found and its targets queued, or the outcome is decided. Suspend. ---- */

bool expand_alias(struct job *j, const struct origin *o, const struct local_name *n);
bool expand_forward(struct job *j, const struct origin *o, const struct local_name *n, const struct identity *user);
void expand_include(struct job *j, const struct origin *o, struct str path);
/* default_privs. 0 or -1 with *e. */
int default_identity(struct arena *a, struct identity *out, struct err *e);
struct expanded {
	struct str text;
	bool whole; /* each name in it has a value */
	bool extension; /* the extension was asked for, and there is one */
};

/* raw with $user, $home and so on, characters outside filter made "_". NULL filter: as they are. 0 or -1 with *e. */
int expand_names(struct arena *a, struct str raw, const struct local_name *n, const struct identity *user, struct str recipient,
	const char *filter, struct expanded *out, struct err *e);
struct str filter_text(struct arena *a, struct str s, const char *filter);

/* ---- final deliveries. Suspend. ---- */

void deliver_mailbox(struct job *j, const struct origin *o, const struct local_name *n, const struct identity *user);
void deliver_file(struct job *j, const struct origin *o, struct str path);
void deliver_command(struct job *j, const struct origin *o, struct str command);

void forward_add(struct job *j, const struct origin *o, struct str address);
void forward_send_all(struct job *j, const struct origin *top);
void forward_init(const struct conf *c);

/* "transport:nexthop" takes over the recipient. */
void handover(struct job *j, const struct origin *o, struct str where);

#endif
