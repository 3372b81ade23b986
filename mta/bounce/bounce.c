/* mta/bounce/bounce.c - tells senders what became of their mail: failures, delays, and successes where they asked for it. Answers qmgr only
 * after cleanup has put the notification on disk.
 * Security: takes requests from qmgr on a private socket; addresses, reasons and the returned message come from strangers and are printed
 * without control bytes. Runs as mail_owner, reads no files but templates and the descriptor it is given, talks to cleanup only.
 */
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/fs.h"
#include "lib/base/list.h"
#include "lib/base/log.h"
#include "lib/base/metrics.h"
#include "lib/mail/dsn.h"
#include "lib/mail/header.h"
#include "lib/proto/bounce.h"
#include "lib/service/service.h"
#include "mta/bounce/notice.h"
#include "mta/bounce/submit.h"
#include "mta/bounce/template.h"

#define REQUEST_IDLE_MS (3600 * 1000)
#define ANSWER_MS 60000
#define THREAD_HEADER_MAX 65536 /* octets of a header block that are searched for Message-Id */

static struct {
	const struct conf *conf;
	struct arena *life;
	struct template templates[BOUNCE_KINDS];
	struct str double_bounce; /* the sender of mail to the postmaster */
	bool tell_bounce, tell_2bounce, tell_delay;
	bool threaded;
	uint64_t size_limit;
} self;

struct asker { /* a connection, most of the time waiting for the next request */
	struct list node;
	struct stream *stream;
};

static struct list askers;

static const char *const sender_words[] = {
	[BOUNCE_FAILURE] = "sender non-delivery notification",
	[BOUNCE_DELAY] = "sender delay notification",
	[BOUNCE_SUCCESS] = "sender delivery status notification",
	[BOUNCE_REPORT] = "sender delivery status notification",
};

static const char *const postmaster_words[] = {
	[BOUNCE_FAILURE] = "postmaster non-delivery notification",
	[BOUNCE_DELAY] = "postmaster delay notification",
	[BOUNCE_SUCCESS] = "postmaster delivery status notification",
	[BOUNCE_REPORT] = "postmaster delivery status notification",
};

static void read_classes(void)
{
	struct str rest = str_z(conf_str(self.conf, "notify_classes")), word;

	while ((word = str_word(&rest, ", \t\r\n")).n > 0) {
		self.tell_bounce = self.tell_bounce || str_eqiz(word, "bounce");
		self.tell_2bounce = self.tell_2bounce || str_eqiz(word, "2bounce");
		self.tell_delay = self.tell_delay || str_eqiz(word, "delay");
	}
}

static void init(const struct conf *c)
{
	self.conf = c;
	self.life = arena_new("bounce");
	template_load(c, self.life, self.templates);
	self.double_bounce = arena_printf(self.life, "%s@%s", conf_str(c, "double_bounce_sender"), conf_str(c, "myhostname"));
	self.size_limit = (uint64_t)conf_size(c, "bounce_size_limit");
	self.threaded = conf_bool(c, "enable_threaded_bounces");
	read_classes();
}

static void start(const struct conf *c)
{
	list_init(&askers);
	submit_init(c);
}

/* ---- who is to be told about what ---- */

/* RFC 3461 section 4.1; without NOTIFY failures and delays are reported, successes not. A report covers all. */
static bool wanted(const struct bounce_request *r, int notify)
{
	static const int bits[] = {
		[BOUNCE_FAILURE] = DSN_NOTIFY_FAILURE, [BOUNCE_DELAY] = DSN_NOTIFY_DELAY, [BOUNCE_SUCCESS] = DSN_NOTIFY_SUCCESS
	};

	int bit;

	if (r->kind == BOUNCE_REPORT)
		return true;
	bit = bits[r->kind] | (r->delay_cleared ? DSN_NOTIFY_DELAY : 0);

	if (notify == DSN_NOTIFY_NONE)
		return r->kind != BOUNCE_SUCCESS || r->delay_cleared;
	return !(notify & DSN_NOTIFY_NEVER) && (notify & bit) != 0;
}

static const struct bounce_rcpt **pick(const struct bounce_request *r, struct arena *a, size_t *count)
{
	const struct bounce_rcpt **rcpts = arena_alloc(a, (r->rcpt_count + 1) * sizeof *rcpts);

	*count = 0;
	for (size_t i = 0; i < r->rcpt_count; i++)
		if (wanted(r, r->rcpts[i].rcpt.notify))
			rcpts[(*count)++] = &r->rcpts[i];
	return rcpts;
}

static bool from_double_bounce(const struct bounce_request *r)
{
	return str_eqi(r->m.sender, self.double_bounce);
}

static struct str our_address(struct arena *a, const char *local)
{
	if (strchr(local, '@') != NULL)
		return str_z(local);
	return arena_printf(a, "%s@%s", local, conf_str(self.conf, "myorigin"));
}

/* ---- making one ---- */

/* The whole message goes back when a failure is reported, the sender does not mind, and it is not too large. What was to be kept from other
 * eyes stays here (RFC 8689 section 5). */
static bool return_whole(const struct bounce_request *r)
{
	if (r->m.ret == DSN_RET_HDRS || (r->m.flags & QUEUE_REQUIRETLS))
		return false;
	return r->kind == BOUNCE_FAILURE && r->m.header_size + r->m.body_size <= self.size_limit;
}

static void thread_fields(struct notice *n, struct arena *a)
{
	const struct queue_message *m = &n->about->m;
	size_t size = m->header_size < THREAD_HEADER_MAX ? (size_t)m->header_size : THREAD_HEADER_MAX;
	char *p = arena_alloc(a, size + 1);
	const struct header_field *id, *refs;
	struct err e = ERR_INIT;
	struct header h;
	bool missing_blank;

	if (fs_pread_all(n->about->fd, p, size, (off_t)m->header_at, &e) < 0)
		return; /* a notification without thread is one, too */
	header_init(&h, a);
	(void)header_parse(&h, str_n(p, size), &missing_blank);
	id = header_find(&h, "Message-Id", 1);
	refs = header_find(&h, "References", 1);
	if (id == NULL)
		return;
	n->in_reply_to = str_trim(header_unfold(a, id->value));
	n->references = n->in_reply_to;
	if (refs != NULL) {
		struct str before = str_trim(header_unfold(a, refs->value));

		n->references = arena_printf(a, "%.*s %.*s", STRF(before), STRF(n->in_reply_to));
	}
}

static void fill(struct notice *n, const struct bounce_request *r, char id[QUEUE_ID_MAX], struct arena *a)
{
	const struct template *t = &self.templates[r->kind];

	queue_id_new(id);
	n->about = r;
	n->mail_name = str_z(conf_str(self.conf, "mail_name"));
	n->hostname = str_z(conf_str(self.conf, "myhostname"));
	n->origin = str_z(conf_str(self.conf, "myorigin"));
	n->old_from = strcmp(conf_str(self.conf, "header_from_format"), "obsolete") == 0;
	n->from = t->from;
	n->charset = t->charset;
	n->eight_bit = conf_bool(self.conf, "smtputf8_enable");
	n->new_id = str_z(id);
	n->now_us = clock_wall_us();
	n->subject = n->to_postmaster ? t->postmaster_subject : t->subject;
	n->text = n->to_postmaster ? STR_NONE : template_text(self.conf, t, a);
	n->whole = return_whole(r);
	if (self.threaded && !n->to_postmaster)
		thread_fields(n, a);
}

static int tell_sender(const struct bounce_request *r, struct arena *a, char id[QUEUE_ID_MAX], struct err *e)
{
	static const char *const kinds[] = { [BOUNCE_FAILURE] = "failure", [BOUNCE_DELAY] = "delay", [BOUNCE_SUCCESS] = "success", [BOUNCE_REPORT] = "report" };
	struct notice n = { .to = r->m.sender };

	n.rcpts = pick(r, a, &n.rcpt_count);
	id[0] = '\0';
	if (n.rcpt_count == 0)
		return 0;
	fill(&n, r, id, a);
	if (submit_notice(&n, STR_NONE, a, e) < 0)
		return -1;
	log_info("%s: %s: %s", r->m.id, sender_words[r->kind], id);
	metric_count(METRIC_NOTICES, kinds[r->kind], NULL, NULL);
	return 0;
}

/* double: the sender cannot be told, so the postmaster gets the message itself. */
static int tell_postmaster(
	const struct bounce_request *r, const char *recipient_param, bool whole, struct arena *a, char id[QUEUE_ID_MAX], struct err *e)
{
	const struct bounce_rcpt **rcpts = arena_alloc(a, (r->rcpt_count + 1) * sizeof *rcpts);
	struct notice n = { .rcpts = rcpts, .rcpt_count = r->rcpt_count, .to_postmaster = true };

	for (size_t i = 0; i < r->rcpt_count; i++)
		rcpts[i] = &r->rcpts[i];
	n.to = our_address(a, conf_str(self.conf, recipient_param));
	fill(&n, r, id, a);
	n.whole = n.whole && whole;
	if (submit_notice(&n, self.double_bounce, a, e) < 0)
		return -1;
	log_info("%s: %s: %s", r->m.id, postmaster_words[r->kind], id);
	metric_count(METRIC_NOTICES, "postmaster", NULL, NULL);
	return 0;
}

/* A copy is a courtesy: its failure does not keep the original. */
static void copy_to_postmaster(const struct bounce_request *r, const char *recipient_param, struct arena *a)
{
	char id[QUEUE_ID_MAX];
	struct err e = ERR_INIT;

	if (tell_postmaster(r, recipient_param, false, a, id, &e) < 0)
		log_warn("%s: postmaster notification: %s", r->m.id, e.text);
}

/* Mail with the null sender, and our own to the postmaster, is never answered: RFC 5321 section 6.1. */
static int handle_unanswerable(const struct bounce_request *r, struct arena *a, char id[QUEUE_ID_MAX], struct err *e)
{
	id[0] = '\0';
	if (r->kind != BOUNCE_FAILURE)
		return 0;
	if (from_double_bounce(r))
		log_warn("%s: undeliverable postmaster notification discarded", r->m.id);
	else if (self.tell_2bounce)
		return tell_postmaster(r, "2bounce_notice_recipient", true, a, id, e);
	else
		log_info("%s: undeliverable mail with null sender discarded", r->m.id);
	return 0;
}

static int handle(const struct bounce_request *r, struct arena *a, char id[QUEUE_ID_MAX], struct err *e)
{
	if (r->m.sender.n == 0 || from_double_bounce(r))
		return handle_unanswerable(r, a, id, e);
	if (tell_sender(r, a, id, e) < 0)
		return -1;
	if (r->kind == BOUNCE_FAILURE && self.tell_bounce)
		copy_to_postmaster(r, "bounce_notice_recipient", a);
	if (r->kind == BOUNCE_DELAY && self.tell_delay)
		copy_to_postmaster(r, "delay_notice_recipient", a);
	return 0;
}

/* ---- requests ---- */

static bool serve_one(struct stream *s)
{
	struct arena *a = arena_new("notification");
	struct bounce_request r;
	struct err e = ERR_INIT;
	char id[QUEUE_ID_MAX] = "";
	int result = bounce_receive_request(s, a, &r, deadline_in(REQUEST_IDLE_MS), &e);
	bool more = false;

	if (result == 0) {
		bool ok = handle(&r, a, id, &e) == 0;

		if (!ok)
			log_warn("%s: %s: %s", r.m.id, sender_words[r.kind], e.text);
		close(r.fd);
		more = bounce_send_answer(s, ok, str_z(id), deadline_in(ANSWER_MS), &e) == 0;
	} else if (result < 0) {
		log_warn("%s", e.text);
	}
	arena_free(a);
	return more;
}

static void serve(struct stream *s, const struct sock_addr *peer, unsigned listener)
{
	struct asker one = { .stream = s };

	(void)peer; /* qmgr */
	(void)listener; /* there is one */
	list_add_tail(&askers, &one.node);
	while (serve_one(s))
		;
	list_del(&one.node);
}

/* No more requests than those that have arrived; answers still go out. */
static void drain(void)
{
	for (struct list *n = askers.next; n != &askers; n = n->next)
		(void)shutdown(stream_fd(LIST_OWNER(n, struct asker, node)->stream), SHUT_RD);
}

static const char *const directories[] = { "active", "deferred", NULL };
static const struct service bounce_service = {
	.command = "bounce", .init = init, .start = start, .serve = serve, .drain = drain, .queue_dirs = directories
};

int main(int argc, char **argv)
{
	return service_main(argc, argv, &bounce_service);
}
