/* mta/pickup/load.c - from a file in maildrop to a message that can be trusted as far as its owner.
 * Whoever can write to maildrop chose every octet of the file, its name, and may change it while we read. Only sender, recipients, DSN
 * wishes and content are taken, each checked.
 */
#include "mta/pickup/pickup.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/base/clock.h"
#include "lib/mail/addr.h"
#include "lib/mail/dsn.h"

#define ADDRESS_MAX 1024 /* octets; cleanup has the final word */
#define ENVID_MAX 100    /* RFC 3461 section 4.4 */
#define CONTENT_FLAGS (QUEUE_8BIT | QUEUE_UTF8 | QUEUE_DOTS | QUEUE_LONG_LINES | QUEUE_BODY_8BITMIME)
#define WISH_FLAGS (QUEUE_PROBE | QUEUE_TRACE | QUEUE_COMPLETE)

/* No links, neither kind, no devices, no FIFOs that keep us waiting. */
static int open_plain(const char *path, struct stat *st, struct err *e)
{
	int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);

	if (fd < 0)
		return errno == ELOOP ? err_perm(e, "a symbolic link") : err_errno(e, errno, "cannot open");
	if (fstat(fd, st) < 0)
		err_errno(e, errno, "cannot examine");
	else if (!S_ISREG(st->st_mode))
		err_perm(e, "not a plain file");
	else if (st->st_nlink > 1)
		err_perm(e, "has more than one name");
	else
		return fd;
	close(fd);
	return -1;
}

static bool clean(struct str s, size_t max)
{
	for (size_t i = 0; i < s.n; i++) {
		if ((unsigned char)s.p[i] < ' ' || s.p[i] == 0x7f)
			return false;
	}
	return s.n <= max;
}

static bool rcpt_clean(const struct queue_rcpt *r)
{
	const int known = DSN_NOTIFY_NEVER | DSN_NOTIFY_SUCCESS | DSN_NOTIFY_FAILURE | DSN_NOTIFY_DELAY;

	return r->addr.n > 0 && clean(r->addr, ADDRESS_MAX) && clean(r->orig, ADDRESS_MAX) && (r->notify & ~known) == 0
		&& (r->orcpt.n == 0 || dsn_orcpt_valid(r->orcpt));
}

/* Takes out what is done (a requeued message) and refuses what no sane program writes. */
static int take_rcpts(struct queue_message *m, struct err *e)
{
	size_t count = 0;

	for (size_t i = 0; i < m->rcpt_count; i++) {
		if (!rcpt_clean(&m->rcpts[i]))
			return err_perm(e, "recipient %zu is malformed", i + 1);
		if (!m->rcpts[i].done)
			m->rcpts[count++] = m->rcpts[i];
	}
	m->rcpt_count = count;
	return count > 0 ? 0 : err_perm(e, "no recipients");
}

static bool envid_clean(struct str envid)
{
	struct buf clear = { 0 };
	bool ok = clean(envid, ENVID_MAX) && addr_xtext_decode(&clear, envid);

	buf_done(&clear);
	return ok;
}

static int take_envelope(struct submission *s, struct queue_message *m, struct err *e)
{
	int64_t now = clock_wall_us();

	if (!clean(m->sender, ADDRESS_MAX))
		return err_perm(e, "the sender is malformed");
	if (!envid_clean(m->envid) || (m->ret != DSN_RET_NONE && m->ret != DSN_RET_FULL && m->ret != DSN_RET_HDRS))
		return err_perm(e, "a DSN setting is malformed");
	if (!clean(m->verp, 2))
		return err_perm(e, "the delimiters of return paths are malformed");
	if (m->arrival_us <= 0 || m->arrival_us > now)
		m->arrival_us = now;
	m->flags = (m->flags & (CONTENT_FLAGS | WISH_FLAGS)) | QUEUE_LOCAL;
	m->client = (struct queue_client){ 0 };
	m->filter = STR_NONE;
	s->m = *m;
	queue_id_new(s->m.id);
	return take_rcpts(&s->m, e);
}

enum load_result submission_load(struct submission *s, struct err *e)
{
	struct queue_message m = { 0 };
	struct stat st = { .st_uid = (uid_t)-1 };
	bool closed;

	s->fd = open_plain(s->path, &st, e);
	closed = s->fd < 0 && errno == EACCES && lstat(s->path, &st) == 0; /* to us, until it is complete */
	s->uid = st.st_uid;
	s->changed = st.st_mtime;
	if (closed)
		return LOAD_INCOMPLETE;
	if (s->fd < 0)
		return e->kind == ERR_PERM ? LOAD_DAMAGED : LOAD_FAILED;
	if (!queue_begun(s->fd))
		return LOAD_INCOMPLETE;
	if (queue_load(s->fd, strrchr(s->path, '/') + 1, true, s->life, &m, e) < 0 || take_envelope(s, &m, e) < 0)
		return e->kind == ERR_PERM ? LOAD_DAMAGED : LOAD_FAILED;
	return LOAD_MESSAGE;
}
