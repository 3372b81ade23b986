/* lib/mailbox/worker.h - work done by processes that have become somebody: the owner of a mailbox, of a .forward or an include file.
 *
 * A process serves one identity only, and stays for a while for that one's next mail: one fork and one change of identity for many deliveries
 * where all mailboxes belong to one user, or one user gets much mail.
 */
#ifndef GATEPOST_LIB_MAILBOX_WORKER_H
#define GATEPOST_LIB_MAILBOX_WORKER_H

#include "lib/conf/conf.h"
#include "lib/mailbox/child.h"

#define WORKER_TEXTS_MAX 40

struct worker_input { /* what crosses to the process */
	const void *fixed; /* plain values: no pointers */
	size_t fixed_size;
	struct str texts[WORKER_TEXTS_MAX]; /* a NUL follows each on the other side */
	size_t count;
	int fd; /* -1: none */
};

struct worker_task {
	struct identity who;
	bool root_allowed;
	int64_t file_limit; /* octets of a file it may write; 0: no limit */
	int64_t time_limit_ms; /* after this the process is killed */
	void (*work)(const struct worker_input *in, struct report *out); /* as child.work: plain system calls and memory */
	struct worker_input in;
};

/* Before the first one: processes are confined as process_confinement says (lib/base/confine.h, system calls alone: the files are the user's). */
void worker_confine(const struct conf *c);
/* Run it and wait; as child_run(). Suspends. */
void worker_run(const struct worker_task *t, struct report *out);
void worker_drain(void); /* no process stays from now on */

#endif
