/* mta/pickup/submit.c - hand one submission to cleanup; what cleanup refuses for good goes back to the sender. */
#include "mta/pickup/pickup.h"

#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/mail/date.h"
#include "lib/net/pool.h"
#include "lib/proto/bounce.h"
#include "lib/proto/cleanup.h"
#include "lib/proto/deliver.h"
#include "lib/service/service.h"

#define POOL_MAX 16

static struct {
	struct pool *cleanup, *bounce;
	int64_t patience_ms;
	const char *myhostname, *mail_name, *content_filter;
	unsigned flags; /* CLEANUP_* */
} set;

static const struct {
	const char *word;
	unsigned flag;
} overrides[] = { /* receive_override_options */
	{ "no_address_mappings", CLEANUP_NO_MAPPINGS },
	{ "no_header_body_checks", CLEANUP_NO_CHECKS },
	{ "no_milters", CLEANUP_NO_MILTERS },
	{ "no_unknown_recipient_checks", 0 }, /* smtpd's */
};

static unsigned override_flags(const char *words)
{
	struct str rest = str_z(words), word;
	unsigned flags = 0;

	while ((word = str_word(&rest, ", \t\r\n")).n > 0) {
		for (size_t i = 0; i < sizeof overrides / sizeof *overrides; i++) {
			if (str_eqiz(word, overrides[i].word))
				flags |= overrides[i].flag;
		}
	}
	return flags;
}

void submit_init(const struct conf *c)
{
	int64_t idle = conf_time_ms(c, "ipc_idle"), ttl = conf_time_ms(c, "ipc_ttl");

	set.cleanup = pool_new(service_endpoint(c, "cleanup_service_name"), POOL_MAX, idle, ttl);
	set.bounce = pool_new(service_endpoint(c, "bounce_service_name"), POOL_MAX, idle, ttl);
	set.patience_ms = conf_time_ms(c, "ipc_timeout");
	set.myhostname = conf_str(c, "myhostname");
	set.mail_name = conf_str(c, "mail_name");
	set.content_filter = conf_str(c, "content_filter");
	set.flags = CLEANUP_FIX_HEADERS | CLEANUP_NON_SMTPD | override_flags(conf_str(c, "receive_override_options"));
}

static int64_t patience(void)
{
	return deadline_in(set.patience_ms);
}

/* ---- to cleanup ---- */

static struct str received(const struct submission *s)
{
	struct buf b = { 0 };
	struct str field;

	buf_addf(&b, "Received: by %s (%s, from userid %lu)\r\n\tid %s; ", set.myhostname, set.mail_name, (unsigned long)s->uid, s->m.id);
	date_rfc5322(&b, clock_wall_us());
	field = arena_dup(s->life, buf_str(&b));
	buf_done(&b);
	return field;
}

static int send_part(struct stream *to, const struct submission *s, uint64_t at, uint64_t size, struct err *e)
{
	return cleanup_send_file(to, s->fd, at, size, set.patience_ms, e) == 0 ? 0 : err_context(e, "%s", s->path);
}

static int converse(struct stream *to, const struct submission *s, const struct cleanup_request *r, struct cleanup_answer *answer, struct err *e)
{
	const struct queue_message *m = &s->m;

	if (cleanup_send_envelope(to, r, patience(), e) < 0 || send_part(to, s, m->header_at, m->header_size, e) < 0 ||
		send_part(to, s, m->body_at, m->body_size, e) < 0)
		return -1;
	if (cleanup_send_end(to, m->flags, patience(), e) < 0)
		return -1;
	return cleanup_receive_answer(to, s->life, answer, patience(), e);
}

/* A kept connection may have died with its worker: that is worth another try. Nothing was queued by the one before: its answer is all that
 * makes a message queued for us, and a message queued twice is what RFC 1047 describes. */
static int ask_cleanup(const struct submission *s, const struct cleanup_request *r, struct cleanup_answer *answer, struct err *e)
{
	bool reused = true;

	while (reused) {
		struct stream *to = pool_get(set.cleanup, patience(), &reused, e);

		if (to == NULL)
			break;
		if (converse(to, s, r, answer, e) == 0) {
			pool_put(set.cleanup, to);
			return 0;
		}
		pool_drop(set.cleanup, to);
	}
	return -1;
}

/* ---- back to the sender ---- */

static void log_bounced(const struct submission *s, const struct cleanup_answer *answer)
{
	struct deliver_request r = { .m = s->m, .active_us = s->m.arrival_us, .start_us = clock_wall_us(), .fd = -1 };
	struct deliver_result result = { .status = DELIVER_BOUNCED, .code = answer->code, .relay = STR("none"), .text = answer->text };

	for (size_t i = 0; i < s->m.rcpt_count; i++)
		deliver_log(&r, i, &result, 0, 0);
}

static int ask_bounce(const struct submission *s, const struct bounce_request *r, bool *queued, struct err *e)
{
	bool reused = true;
	struct str id;

	while (reused) {
		struct stream *to = pool_get(set.bounce, patience(), &reused, e);

		if (to == NULL)
			break;
		if (bounce_send_request(to, r, patience(), e) == 0 && bounce_receive_answer(to, s->life, queued, &id, patience(), e) == 0) {
			pool_put(set.bounce, to);
			return 0;
		}
		pool_drop(set.bounce, to);
	}
	return -1;
}

static enum submit_result give_back(const struct submission *s, const struct cleanup_answer *answer)
{
	struct bounce_request r = { .kind = BOUNCE_FAILURE, .m = s->m, .rcpt_count = s->m.rcpt_count, .fd = s->fd };
	struct err e = ERR_INIT;
	bool queued = false;

	log_bounced(s, answer);
	r.rcpts = arena_alloc(s->life, s->m.rcpt_count * sizeof *r.rcpts);
	for (size_t i = 0; i < s->m.rcpt_count; i++)
		r.rcpts[i] = (struct bounce_rcpt){ .rcpt = s->m.rcpts[i], .code = answer->code, .relay = STR("none"), .text = answer->text };
	r.m.rcpts = NULL;
	r.m.rcpt_count = 0;
	if (ask_bounce(s, &r, &queued, &e) < 0 || !queued) {
		log_warn("%s: bounce service failure: %s", s->m.id, e.text);
		return SUBMIT_LATER;
	}
	return SUBMIT_DONE;
}

/* ---- one submission ---- */

enum submit_result submit(struct submission *s)
{
	struct cleanup_request r = { .flags = set.flags, .m = s->m, .received = received(s) };
	struct cleanup_answer answer = { 0 };
	struct err e = ERR_INIT;

	if (s->m.flags & QUEUE_COMPLETE)
		r.flags &= ~(unsigned)CLEANUP_FIX_HEADERS;
	r.m.flags &= ~(unsigned)QUEUE_COMPLETE;
	r.m.filter = str_z(set.content_filter);
	log_info("%s: uid=%lu from=<%.*s>", s->m.id, (unsigned long)s->uid, STRF(s->m.sender));
	if (ask_cleanup(s, &r, &answer, &e) < 0) {
		log_warn("%s: cleanup: %s: will try again", s->m.id, e.text);
		return SUBMIT_NOBODY;
	}
	if (answer.code.smtp / 100 == 2)
		return SUBMIT_DONE;
	if (answer.code.smtp / 100 == 5)
		return give_back(s, &answer);
	log_warn("%s: cleanup: %d %.*s: will try again", s->m.id, answer.code.smtp, STRF(answer.text));
	return SUBMIT_LATER;
}
