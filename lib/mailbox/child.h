/* lib/mailbox/child.h - a forked child that becomes the recipient, does blocking work, and reports what came of it.
 *
 * The work runs in a copy of this process that has no other thread, no loop and none of our descriptors but those in keep: it may use
 * plain system calls and memory, never fibers, streams or the log. Everything it needs is prepared before.
 */
#ifndef GATEPOST_LIB_MAILBOX_CHILD_H
#define GATEPOST_LIB_MAILBOX_CHILD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/base/arena.h"
#include "lib/base/err.h"
#include "lib/base/str.h"

#define CHILD_FDS_MAX 4
#define CHILD_REPORT_MAX (1024 * 1024) /* octets of a report's text */

struct identity { /* who to become; without root we stay who we are */
	uid_t uid;
	gid_t gid;
	const char *name, *home, *shell; /* home, shell: empty when unknown */
};

struct report { /* ERR_NONE: done */
	enum err_kind kind;
	struct code code;
	struct buf text; /* reason, or what was asked for */
};

struct child {
	struct identity who;
	bool root_allowed; /* work that is safe as root: else uid 0 is refused */
	const char *chroot_dir; /* NULL: none */
	int64_t file_limit; /* octets of a file it may write; 0: no limit */
	int64_t time_limit_ms; /* after this it is killed */
	int keep[CHILD_FDS_MAX]; /* descriptors the work uses */
	size_t keep_count;
	void (*work)(void *arg, struct report *out);
	void *arg;
	void (*serve)(int fd, const struct err *trouble); /* in place of work: talks to us over fd. trouble: why it is not who it should be */
};

struct stream;

/* A child that runs c->serve; the descriptor to talk to it, or -1 with *out. child_reap() when it has ended, or is sure to. */
int child_start(const struct child *c, pid_t *pid, struct report *out);
void child_reap(pid_t pid); /* Suspends. */
/* A report over a socket: from the child, blocking; and here, 0 or -1. The latter suspends, a while longer than limit_ms. */
void report_send(int fd, const struct report *r);
int report_receive(struct stream *s, int64_t limit_ms, struct report *out);

/* Run it and wait; out->text lives in the heap: buf_done(). Trouble with the child itself is temporary. Suspends. */
void child_run(const struct child *c, struct report *out);

void report_set(struct report *out, enum err_kind kind, struct code code, const char *fmt, ...) __attribute__((format(printf, 4, 5)));

/* A system user by name, or by number; names are those of the password file. 0, 1: no such user, -1 with *e. Lives in a. Suspends. */
int identity_find(struct arena *a, struct str name, struct identity *out, struct err *e);
int identity_find_uid(struct arena *a, uid_t uid, struct identity *out, struct err *e);
/* Group by name into *gid: 0, 1, -1 as above. Suspends. */
int identity_group(struct arena *a, struct str name, gid_t *gid, struct err *e);
bool identity_can_switch(void); /* started by root */

#endif
