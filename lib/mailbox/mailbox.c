/* lib/mailbox/mailbox.c - a delivery into a mailbox, on its way to the process that may write there. */
#include "lib/mailbox/mailbox.h"

#include "lib/mailbox/worker.h"

enum { TEXT_PATH, TEXT_WHAT, TEXT_HOSTNAME, TEXT_FRONT, TEXT_EOL, TEXTS };

struct fixed {
	bool maildir;
	unsigned mbox_flags, content_flags;
	int lock_attempts;
	int64_t lock_delay_ms, stale_ms;
	uint64_t header_at, header_size, body_at, body_size;
};

static void work(const struct worker_input *in, struct report *out)
{
	const struct fixed *f = in->fixed;
	const struct str *t = in->texts;
	const struct mbox m = { t[TEXT_PATH].p, f->mbox_flags, f->lock_attempts, f->lock_delay_ms, f->stale_ms, t[TEXT_WHAT].p };
	const struct content c = { in->fd, f->header_at, f->header_size, f->body_at, f->body_size, t[TEXT_FRONT], t[TEXT_EOL], f->content_flags };

	if (f->maildir)
		maildir_deliver(m.path, t[TEXT_HOSTNAME].p, m.what, &c, out);
	else
		mbox_deliver(&m, &c, out);
}

void mailbox_run(const struct mailbox_task *t, struct report *out)
{
	const struct content *c = &t->content;
	const struct fixed f = { t->maildir, t->mbox.flags, c->flags, t->mbox.lock_attempts, t->mbox.lock_delay_ms, t->mbox.stale_ms, c->header_at,
		c->header_size, c->body_at, c->body_size };
	const struct worker_task task = {
		.who = t->who,
		.root_allowed = t->root_allowed,
		.file_limit = t->file_limit,
		.time_limit_ms = t->time_limit_ms,
		.work = work,
		.in = { .fixed = &f,
			.fixed_size = sizeof f,
			.texts = { [TEXT_PATH] = str_z(t->mbox.path), [TEXT_WHAT] = str_z(t->mbox.what), [TEXT_HOSTNAME] = str_z(t->hostname),
				[TEXT_FRONT] = c->front, [TEXT_EOL] = c->eol },
			.count = TEXTS,
			.fd = c->fd },
	};

	worker_run(&task, out);
}
