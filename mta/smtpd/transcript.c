/* mta/smtpd/transcript.c - keeps the last lines of a session and mails them to error_notice_recipient when something in it was of a kind that
 * notify_classes names. Secrets are left out.
 */
#include "mta/smtpd/transcript.h"

#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/mail/date.h"
#include "lib/proto/cleanup.h"
#include "mta/smtpd/session.h"
#include "mta/smtpd/settings.h"

#define KEPT_MAX 16384 /* octets of a session */
#define LINE_KEPT 512

enum { NOTIFY_POLICY = 1, NOTIFY_PROTOCOL = 2, NOTIFY_RESOURCE = 4, NOTIFY_SOFTWARE = 8, NOTIFY_DATA = 16 };

static const struct {
	const char *word;
	unsigned bit;
} classes[] = {
	{ "data", NOTIFY_DATA },
	{ "policy", NOTIFY_POLICY },
	{ "protocol", NOTIFY_PROTOCOL },
	{ "resource", NOTIFY_RESOURCE },
	{ "software", NOTIFY_SOFTWARE },
};

unsigned transcript_classes(struct str notify_classes)
{
	unsigned bits = 0;
	struct str w;

	while ((w = str_word(&notify_classes, ", \t\r\n")).n > 0)
		for (size_t i = 0; i < sizeof classes / sizeof *classes; i++)
			bits |= str_eqiz(w, classes[i].word) ? classes[i].bit : 0;
	return bits;
}

/* "x.3.z", our own state. Tables and services that cannot be asked (4.3.0) are "data", as in Postfix: an outage is no reason for a mail from
 * every session. */
static unsigned system_class(unsigned short detail)
{
	switch (detail) {
	case 1: /* no room */
		return NOTIFY_RESOURCE;
	case 2: /* leaving */
		return 0;
	case 4: /* too big */
		return NOTIFY_POLICY;
	case 5: /* configuration */
		return NOTIFY_SOFTWARE;
	default:
		return NOTIFY_DATA;
	}
}

/* By what RFC 3463 says a code is about. Addresses that do not parse (501) are bad protocol, others are judged. */
static unsigned class_of(struct code c)
{
	if (c.smtp < 400 || c.s == 4) /* timeouts are nobody's fault */
		return 0;
	if (c.s == 3)
		return system_class(c.d);
	if (c.c == 0 || c.s == 5 || c.smtp == 501)
		return NOTIFY_PROTOCOL;
	return NOTIFY_POLICY;
}

/* ---- keeping ---- */

static void forget_oldest(struct session *s)
{
	ptrdiff_t lf = str_chr(buf_str(&s->said), '\n');
	size_t n = lf < 0 ? s->said.n : (size_t)lf + 1;

	memmove(s->said.p, s->said.p + n, s->said.n - n);
	buf_truncate(&s->said, s->said.n - n);
	s->said_lines--;
}

static void keep(struct session *s, const char *who, struct str line)
{
	while (s->said_lines > 0 && (s->said_lines >= (uint64_t)cf.history_lines || s->said.n > KEPT_MAX))
		forget_oldest(s);
	buf_addz(&s->said, who);
	buf_add_safe(&s->said, str_sub(str_trim(line), 0, LINE_KEPT));
	buf_addz(&s->said, "\r\n");
	s->said_lines++;
}

void transcript_command(struct session *s, struct str line)
{
	struct str rest = line, verb = str_word(&rest, " \t"), mechanism = str_word(&rest, " \t");
	bool secret = str_eqiz(verb, "AUTH") && str_trim(rest).n > 0;

	if (cf.notify == 0)
		return;
	if (secret)
		line = arena_printf(session_scratch(s), "AUTH %.*s (hidden)", STRF(mechanism));
	keep(s, " In:  ", line);
}

void transcript_reply(struct session *s, struct code code, struct str wire)
{
	if (cf.notify == 0)
		return;
	while (wire.n > 0)
		keep(s, " Out: ", str_cut(&wire, '\n'));
	s->trouble |= class_of(code) & cf.notify;
}

/* ---- telling ---- */

static struct str our_address(struct session *s, const char *name)
{
	if (strchr(name, '@') != NULL)
		return str_z(name);
	return arena_printf(session_scratch(s), "%s@%s", name, cf.myorigin);
}

static void write_notice(struct session *s, struct str to, struct buf *b)
{
	buf_addf(b, "Date: ");
	date_rfc5322(b, clock_wall_us());
	buf_addf(b, "\r\nFrom: MAILER-DAEMON@%s (Mail Delivery System)\r\nTo: %.*s\r\n", cf.myorigin, STRF(to));
	buf_addf(b, "Subject: %s SMTP server: errors from %.*s\r\n", cf.mail_name, STRF(s->client.namaddr));
	buf_addz(b, "Auto-Submitted: auto-generated\r\n\r\nTranscript of session follows.\r\n\r\n");
	buf_add(b, buf_str(&s->said));
	buf_addf(b, "\r\n\r\nFor other details, see the local mail logfile, session %s.\r\n", s->sid);
}

static int submit(struct stream *io, const struct cleanup_request *r, struct str content, struct cleanup_answer *answer, struct session *s,
	struct err *e)
{
	int64_t by = deadline_in(cf.ipc_timeout_ms);

	if (cleanup_send_envelope(io, r, by, e) < 0 || cleanup_send_content(io, content, by, e) < 0 || cleanup_send_end(io, 0, by, e) < 0)
		return -1;
	return cleanup_receive_answer(io, session_scratch(s), answer, by, e);
}

static void post(struct session *s, struct str to, struct str content)
{
	struct cleanup_request *r = arena_alloc(session_scratch(s), sizeof *r);
	struct cleanup_answer *answer = arena_alloc(session_scratch(s), sizeof *answer);
	struct queue_rcpt rcpt = { .addr = to };
	struct err e = ERR_INIT;
	bool reused;
	struct stream *io = pool_get(cf.cleanup, deadline_in(cf.ipc_timeout_ms), &reused, &e);

	r->flags = CLEANUP_NO_MILTERS | CLEANUP_NO_CHECKS;
	r->m.flags = QUEUE_LOCAL;
	r->m.arrival_us = clock_wall_us();
	r->m.sender = arena_printf(session_scratch(s), "%s@%s", cf.double_bounce, cf.myhostname); /* whom bounce never answers */
	r->m.rcpts = &rcpt;
	r->m.rcpt_count = 1;
	queue_id_new(r->m.id);
	if (io != NULL && submit(io, r, content, answer, s, &e) == 0) {
		pool_put(cf.cleanup, io);
		log_info("%s: session transcript to %.*s", r->m.id, STRF(to));
		return;
	}
	log_warn("cannot send the transcript of session %s: %s", s->sid, e.text);
	if (io != NULL)
		pool_drop(cf.cleanup, io);
}

void transcript_send(struct session *s)
{
	struct buf content = { 0 };
	struct str to;

	if (s->trouble == 0)
		return;
	to = our_address(s, cf.error_recipient);
	write_notice(s, to, &content);
	post(s, to, buf_str(&content));
	buf_done(&content);
}
