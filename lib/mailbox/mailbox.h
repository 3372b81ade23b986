/* lib/mailbox/mailbox.h - writing one message to an mbox file or a Maildir. Blocking, in a process that is the owner already, but
 * for mailbox_run(). Nothing is reported as delivered before it is synced.
 */
#ifndef GATEPOST_LIB_MAILBOX_MAILBOX_H
#define GATEPOST_LIB_MAILBOX_MAILBOX_H

#include "lib/mailbox/child.h"
#include "lib/mailbox/content.h"

enum { /* struct mbox flags */
	MBOX_FCNTL = 1,
	MBOX_FLOCK = 2,
	MBOX_DOTLOCK = 4,
	MBOX_DOTLOCK_OPTIONAL = 8, /* a directory we may not write to does without */
	MBOX_OWNER = 16, /* strict_mailbox_ownership */
	MBOX_ANY_FILE = 32 /* devices too: /dev/null as the target of an alias */
};

struct mbox {
	const char *path;
	unsigned flags;
	int lock_attempts;
	int64_t lock_delay_ms, stale_ms;
	const char *what; /* "mailbox /var/mail/joe for user joe", for reasons: "cannot update ..." */
};

void mbox_deliver(const struct mbox *m, const struct content *c, struct report *out);

/* path ends in "/"; made with tmp, new, cur when it is missing. hostname: for file names. what: as above. */
void maildir_deliver(const char *path, const char *hostname, const char *what, const struct content *c, struct report *out);

/* Either of them in a process that is the owner (lib/mailbox/worker.h). */
struct mailbox_task {
	struct identity who;
	bool root_allowed;
	int64_t file_limit, time_limit_ms; /* as in struct worker_task */
	bool maildir; /* mbox.path is one */
	const char *hostname; /* for names of files */
	struct mbox mbox;
	struct content content;
};

void mailbox_run(const struct mailbox_task *t, struct report *out); /* Suspends. */

unsigned mbox_lock_flags(const char *words); /* mailbox_delivery_lock, virtual_mailbox_lock */
/* The code and kind for a failed file operation: deferrals all, a full mailbox too - its owner may make room. */
void mailbox_trouble(struct report *out, int errnum, const char *what, const char *doing);
/* The same for content_write() and what follows it. unreadable: of our own file, which is no fault of the mailbox. */
void mailbox_not_written(struct report *out, int errnum, bool unreadable, const char *what);

#endif
