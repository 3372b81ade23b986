/* mta/bounce/submit.c - hands a notification to cleanup, like any other message; the original's content goes through in pieces. */
#include "mta/bounce/submit.h"

#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/fs.h"
#include "lib/net/pool.h"
#include "lib/proto/cleanup.h"
#include "lib/service/service.h"

#define SUBMIT_MS 100000
#define HEADER_MAX (128 * 1024) /* octets of a header block that is returned alone */
#define TRIES 3 /* connections that turn out to be stale */

static struct pool *pool;
static unsigned filter_flags; /* what cleanup does, or leaves, with mail of our own */

void submit_init(const struct conf *c)
{
	struct str rest = str_z(conf_str(c, "internal_mail_filter_classes")), word;

	filter_flags = CLEANUP_FIX_HEADERS | CLEANUP_NO_MILTERS | CLEANUP_NO_CHECKS;
	while ((word = str_word(&rest, ", \t\r\n")).n > 0)
		if (str_eqiz(word, "bounce"))
			filter_flags = CLEANUP_FIX_HEADERS | CLEANUP_NON_SMTPD;
	pool = pool_new(service_endpoint(c, "cleanup_service_name"), 4, 30000, 600000);
}

/* ---- the content ---- */

/* Ours may begin lines with dots, and holds 8-bit text when the reasons do; the original's properties are known. */
static unsigned content_flags(const struct notice *n, struct str front)
{
	unsigned flags = n->about->m.flags & (QUEUE_8BIT | QUEUE_DOTS | QUEUE_LONG_LINES);

	for (size_t i = 0; i < front.n; i++)
		if ((unsigned char)front.p[i] > 127)
			flags |= QUEUE_8BIT;
	if (str_find(front, STR("\n.")) >= 0)
		flags |= QUEUE_DOTS;
	return flags;
}

/* Alone, the header block goes without the empty line that stands between it and a body. */
static uint64_t returned_header_size(const struct notice *n)
{
	const struct queue_message *m = &n->about->m;
	struct err e = ERR_INIT;
	char end[4];

	if (n->whole)
		return m->header_size;
	if (m->header_size > HEADER_MAX)
		return HEADER_MAX;
	if (m->header_size > sizeof end && fs_pread_all(n->about->fd, end, sizeof end, (off_t)(m->header_at + m->header_size - sizeof end), &e) == 0 &&
		memcmp(end, "\r\n\r\n", sizeof end) == 0)
		return m->header_size - 2;
	return m->header_size;
}

static int send_content(struct stream *s, const struct notice *n, struct err *e)
{
	const struct queue_message *m = &n->about->m;
	struct buf b = { 0 };
	unsigned flags;
	int r;

	notice_front(n, &b);
	flags = content_flags(n, buf_str(&b));
	r = cleanup_send_content(s, buf_str(&b), deadline_in(SUBMIT_MS), e);
	if (r == 0)
		r = cleanup_send_file(s, n->about->fd, m->header_at, returned_header_size(n), SUBMIT_MS, e);
	if (r == 0 && n->whole)
		r = cleanup_send_file(s, n->about->fd, m->body_at, m->body_size, SUBMIT_MS, e);
	buf_clear(&b);
	notice_back(n, &b);
	if (r == 0)
		r = cleanup_send_content(s, buf_str(&b), deadline_in(SUBMIT_MS), e);
	buf_done(&b);
	return r < 0 ? -1 : cleanup_send_end(s, flags, deadline_in(SUBMIT_MS), e);
}

/* ---- the dialogue ---- */

static void make_envelope(const struct notice *n, struct str from, struct arena *a, struct cleanup_request *r)
{
	struct buf received = { 0 };

	memset(r, 0, sizeof *r);
	r->flags = filter_flags;
	memcpy(r->m.id, n->new_id.p, n->new_id.n);
	r->m.flags = QUEUE_BOUNCE | QUEUE_LOCAL | (n->about->m.flags & (QUEUE_UTF8 | QUEUE_REQUIRETLS)) | (notice_8bit(n) ? QUEUE_BODY_8BITMIME : 0);
	r->m.arrival_us = n->now_us;
	r->m.sender = from;
	r->m.rcpts = arena_alloc(a, sizeof *r->m.rcpts);
	r->m.rcpts[0].addr = n->to;
	r->m.rcpt_count = 1;
	notice_received(n, &received);
	r->received = arena_dup(a, buf_str(&received));
	buf_done(&received);
}

static int submit_once(const struct notice *n, const struct cleanup_request *r, struct arena *a, bool *reused,
	struct cleanup_answer *answer, struct err *e)
{
	struct stream *s = pool_get(pool, deadline_in(SUBMIT_MS), reused, e);

	if (s == NULL) {
		*reused = false;
		return -1;
	}
	if (cleanup_send_envelope(s, r, deadline_in(SUBMIT_MS), e) < 0 || send_content(s, n, e) < 0 ||
		cleanup_receive_answer(s, a, answer, deadline_in(SUBMIT_MS), e) < 0) {
		pool_drop(pool, s);
		return -1;
	}
	pool_put(pool, s);
	return 0;
}

int submit_notice(const struct notice *n, struct str from, struct arena *a, struct err *e)
{
	struct cleanup_request r;
	struct cleanup_answer answer;
	bool reused = true;
	int result = -1;

	make_envelope(n, from, a, &r);
	for (int i = 0; i < TRIES && reused && result < 0; i++)
		result = submit_once(n, &r, a, &reused, &answer, e);
	if (result < 0)
		return err_context(e, "cleanup");
	if (answer.code.smtp != 250)
		return err_temp(e, "cleanup answers %d %.*s", answer.code.smtp, STRF(answer.text));
	return 0;
}
