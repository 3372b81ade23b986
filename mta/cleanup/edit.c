/* mta/cleanup/edit.c - the content stage of milters, and what they change: sender, recipients, body, hold. Mail that came without SMTP
 * meets its filters here from the greeting on.
 */
#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/mail/addr.h"
#include "lib/mail/dsn.h"
#include "mta/cleanup/cleanup.h"
#include "mta/cleanup/settings.h"

#define STREAM_AT 49152 /* octets of a message with which filters begin to look at it: smtpd sends less in one piece, at its end */

/* ---- macros ---- */

/* "localhost [127.0.0.1]" and its kin, for mail that came without SMTP; of other mail smtpd told us. */
static bool local_macro(struct mail *x, struct str name, struct str *value)
{
	static const struct {
		const char *name, *value;
	} fixed[] = { { "_", "localhost [127.0.0.1]" }, { "client_addr", "127.0.0.1" }, { "client_name", "localhost" },
		{ "client_port", "0" }, { "client_ptr", "localhost" }, { "daemon_addr", "127.0.0.1" }, { "daemon_port", "0" } };

	for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++) {
		if (str_eqz(name, fixed[i].name)) {
			*value = str_z(fixed[i].value);
			return true;
		}
	}
	if (str_eqz(name, "mail_addr") && x->milter_mail)
		*value = addr_quote(x->life, x->m.sender);
	else if (str_eqz(name, "rcpt_addr") && x->milter_rcpt.n > 0)
		*value = x->milter_rcpt;
	else
		return false;
	return true;
}

static bool macro(void *ctx, struct str name, struct str *value)
{
	struct mail *x = ctx;

	if (str_eqz(name, "i"))
		*value = str_z(x->m.id);
	else if (str_eqz(name, "j"))
		*value = str_z(set->myhostname);
	else if (str_eqz(name, "v"))
		*value = str_z(set->milter_v);
	else if (str_eqz(name, "daemon_name") && x->non_smtp)
		*value = str_z(set->milter_daemon_name);
	else if (str_eqz(name, "client_addr") && !x->non_smtp && x->m.client.addr.n > 0)
		*value = x->m.client.addr; /* without "IPv6:" at this stage, as milters know it from Postfix */
	else
		return x->non_smtp && local_macro(x, name, value);
	return true;
}

/* ---- verdicts ---- */

/* "ID: milter-reject: END-OF-MESSAGE from name[addr]: 5.7.1 Blocked; from=<s> to=<r> proto=ESMTP helo=<h>" */
static void note(struct mail *x, const char *verb, const char *where, struct str text)
{
	struct buf b = { 0 };

	buf_addf(&b, "%s: %s: %s from ", x->m.id, verb, where);
	if (x->non_smtp)
		buf_addz(&b, "localhost[127.0.0.1]"); /* as the filter was told */
	else
		log_client(x, &b);
	buf_addz(&b, ": ");
	buf_add_safe(&b, text);
	buf_addz(&b, "; ");
	log_envelope(x, &b);
	log_info("%.*s", STRF(b));
	buf_done(&b);
}

static void note_refusal(struct mail *x, const char *where, const struct milter_answer *a)
{
	struct buf b = { 0 };

	if (a->code.c != 0) {
		dsn_print(&b, a->code);
		buf_addc(&b, ' ');
	}
	buf_add(&b, a->text);
	note(x, "milter-reject", where, buf_str(&b));
	buf_done(&b);
}

static void obey(struct mail *x, const char *where, const struct milter_answer *a)
{
	switch (a->verdict) {
	case MILTER_GO_ON:
		break;
	case MILTER_DISCARD:
		note(x, "milter-discard", where, STR("milter triggers DISCARD action"));
		x->discard = true;
		break;
	case MILTER_REPLY:
	case MILTER_HANGUP:
		note_refusal(x, where, a);
		mail_refuse(x, a->code, arena_dup(x->life, a->text));
		break;
	}
}

/* ---- mail that came without SMTP ---- */

static bool over(const struct mail *x, const struct milter_answer *a)
{
	return a->verdict != MILTER_GO_ON || mail_refused(x);
}

/* One recipient cannot be refused here any more: nobody could be told which. */
static void tell_rcpts(struct mail *x, struct milter_answer *a)
{
	for (size_t i = 0; i < x->req.m.rcpt_count && !over(x, a); i++) {
		x->milter_rcpt = addr_quote(x->life, x->req.m.rcpts[i].addr);
		milter_rcpt(x->milters, x->milter_rcpt, NULL, 0, a);
		if (a->verdict != MILTER_REPLY && a->verdict != MILTER_HANGUP)
			continue;
		log_warn("%s: milter %s refuses a recipient of mail that was not received by SMTP: <%.*s>", x->m.id, a->filter,
			STRF(x->milter_rcpt));
		a->code = CODE(451, 4, 3, 5);
		a->text = STR("Server configuration error");
	}
}

static void tell_envelope(struct mail *x)
{
	struct milter_answer a;
	const char *where = "CONNECT";

	milter_connect(x->milters, STR("localhost"), '4', 0, STR("127.0.0.1"), &a);
	if (!over(x, &a)) {
		where = "HELO";
		milter_helo(x->milters, STR("localhost"), &a);
	}
	if (!over(x, &a)) {
		where = "MAIL";
		x->milter_mail = true;
		milter_mail(x->milters, addr_quote(x->life, x->m.sender), NULL, 0, &a);
	}
	if (!over(x, &a)) {
		where = "RCPT";
		tell_rcpts(x, &a);
	}
	if (!over(x, &a)) {
		where = "DATA";
		milter_data(x->milters, &a);
	}
	obey(x, where, &a);
}

void milters_open(struct mail *x)
{
	struct err e = ERR_INIT;

	if (x->req.milters.n > 0) {
		x->milters = milter_session_import(x->life, x->req.milters, x->req.milter_fds, x->req.milter_fd_count, macro, x, &e);
		if (x->milters == NULL) {
			log_warn("%s: %s", x->m.id, e.text);
			mail_refuse_temp(x, "Error: internal protocol error");
		}
		return;
	}
	for (size_t i = 0; i < x->req.milter_fd_count; i++)
		close(x->req.milter_fds[i]);
	if (!x->non_smtp || (x->req.flags & CLEANUP_NO_MILTERS) != 0 || set->milters.count == 0 || mail_refused(x))
		return;
	x->milters = milter_session_new(x->life, &set->milters, &set->macros, macro, x);
	tell_envelope(x);
}

/* ---- changes ---- */

static int refused(const struct mail *x, struct err *e)
{
	return err_set(e, x->refused.smtp < 500 ? ERR_TEMP : ERR_PERM, x->refused, "%.*s", STRF(x->refusal));
}

struct dsn_args {
	int notify, ret;
	struct str orcpt, envid;
};

/* "NOTIFY=NEVER ORCPT=rfc822;x" or "RET=HDRS ENVID=x"; what is not understood is named and left out. */
static void read_args(struct mail *x, struct str args, bool sender, struct dsn_args *out)
{
	struct str word;

	for (word = str_word(&args, " \t"); word.n > 0; word = str_word(&args, " \t")) {
		struct str value = word, name = str_cut(&value, '=');
		int notify;

		if (!sender && str_eqi(name, STR("NOTIFY")) && (notify = dsn_notify_parse(value)) >= 0)
			out->notify = notify;
		else if (!sender && str_eqi(name, STR("ORCPT")) && dsn_orcpt_valid(value))
			out->orcpt = value;
		else if (sender && str_eqi(name, STR("RET")) && (str_eqiz(value, "FULL") || str_eqiz(value, "HDRS")))
			out->ret = str_eqiz(value, "FULL") ? DSN_RET_FULL : DSN_RET_HDRS;
		else if (sender && str_eqi(name, STR("ENVID")))
			out->envid = value;
		else
			log_warn("%s: milter gave an address with unknown or bad parameter \"%.*s\": ignored", x->m.id, STRF(word));
	}
}

static int change_sender(void *ctx, struct str sender, struct str args, struct err *e)
{
	struct mail *x = ctx;
	struct dsn_args d = { .ret = x->m.ret, .envid = x->m.envid };

	read_args(x, args, true, &d);
	x->m.ret = d.ret;
	x->m.envid = arena_dup(x->life, d.envid);
	if (envelope_sender(x, sender) < 0)
		return refused(x, e);
	return 0;
}

static int add_rcpt(void *ctx, struct str rcpt, struct str args, struct err *e)
{
	struct mail *x = ctx;
	struct dsn_args d = { .notify = DSN_NOTIFY_NONE, .orcpt = STR_NONE };

	read_args(x, args, false, &d);
	envelope_add(x, rcpt, STR_NONE, arena_dup(x->life, d.orcpt), d.notify, true);
	return mail_refused(x) ? refused(x, e) : 0;
}

static int del_rcpt(void *ctx, struct str rcpt, struct err *e)
{
	struct mail *x = ctx;

	(void)e; /* cannot fail */
	envelope_delete(x, rcpt);
	return 0;
}

static int replace_body(void *ctx, struct str body, struct err *e)
{
	struct mail *x = ctx;
	struct buf copy = { 0 };

	(void)e; /* cannot fail */
	buf_add(&copy, body);
	buf_done(&x->edited);
	x->edited = copy;
	x->body = x->shown->body = buf_str(&x->edited);
	x->body_edited = true;
	return 0;
}

static int quarantine(void *ctx, struct str reason, struct err *e)
{
	struct mail *x = ctx;

	(void)reason; /* the log line has the fixed text that log readers know */
	(void)e; /* cannot fail */
	note(x, "milter-hold", "END-OF-MESSAGE", STR("milter triggers HOLD action"));
	x->m.flags |= QUEUE_HOLD;
	return 0;
}

/* CRLF folds to LF and back: tables see the one, the message has the other (header_insert() makes CRLF of both). */
static int check_header(void *ctx, struct buf *field, struct buf *before, struct err *e)
{
	struct mail *x = ctx;
	struct buf plain = { 0 };
	struct str text, front;
	enum check_result result;

	for (size_t i = 0; i < field->n; i++)
		if (field->p[i] != '\r')
			buf_addc(&plain, field->p[i]);
	text = buf_str(&plain);
	result = checks_run(x, CHECK_MILTER_HEADER, &text, &front);
	if (result == CHECK_CHANGED) {
		buf_clear(field);
		buf_add(field, text);
	}
	buf_add(before, front);
	buf_done(&plain);
	if (mail_refused(x))
		return refused(x, e);
	return result != CHECK_DROP;
}

/* What each filter made of the message, and how long that took. */
static void log_filters(const struct mail *x)
{
	struct buf b = { 0 };

	milter_report(x->milters, &b);
	if (b.n > 0)
		log_info("%s: milters: %.*s", x->m.id, STRF(b));
	buf_done(&b);
}

static struct milter_mail *show(struct mail *x)
{
	struct milter_mail *m = arena_alloc(x->life, sizeof *m);

	*m = (struct milter_mail){ .ctx = x,
		.header = &x->header,
		.body_max = (size_t)set->message_limit,
		.change_sender = change_sender,
		.add_rcpt = add_rcpt,
		.del_rcpt = del_rcpt,
		.quarantine = quarantine,
		.replace_body = replace_body };
	if (checks_any(CHECK_MILTER_HEADER))
		m->check_header = check_header;
	return m;
}

/* The header with what may follow it in the same piece; empty: its end is not here. */
static struct str find_front(const struct mail *x)
{
	struct str all = buf_str(&x->content.memory);

	return x->content.fd < 0 && (str_find(all, STR("\r\n\r\n")) >= 0 || str_starts(all, STR("\r\n"))) ? all : STR_NONE;
}

/* Only when nothing that comes later can change what they see: body checks would. */
static void begin_stream(struct mail *x)
{
	if (body_questioned(x) || find_front(x).n == 0)
		return;
	x->front = arena_dup(x->life, find_front(x)); /* the content moves as it grows */
	header_stage(x);
	x->header_done = true;
	if (mail_refused(x) || x->discard)
		return;
	x->shown = show(x);
	x->run = milter_stream_begin(x->milters, x->shown);
	if (x->run != NULL)
		milter_stream_body(x->run, x->body);
}

void milters_stream(struct mail *x, struct str piece)
{
	if (x->run != NULL)
		milter_stream_body(x->run, piece);
	else if (x->milters != NULL && !x->header_done && x->content.size >= STREAM_AT && x->content.size - piece.n < STREAM_AT)
		begin_stream(x);
}

void milters_give_up(struct mail *x)
{
	if (x->run != NULL)
		milter_stream_cancel(x->run);
	x->run = NULL;
}

void milters_stage(struct mail *x)
{
	struct milter_answer a;

	if (x->milters == NULL)
		return;
	if (x->shown == NULL)
		x->shown = show(x);
	x->shown->body = x->body;
	x->shown->deadline = deadline_in(set->milter_time_ms);
	if (x->run != NULL)
		milter_stream_end(x->run, &a);
	else
		milter_content(x->milters, x->shown, &a);
	x->run = NULL;
	x->shown = NULL;
	log_filters(x);
	if (!mail_refused(x) || a.verdict == MILTER_DISCARD)
		obey(x, "END-OF-MESSAGE", &a);
}

void milters_close(struct mail *x, struct buf *state)
{
	if (x->req.milters.n > 0) {
		milter_session_export_state(x->milters, state);
		milter_session_release(x->milters);
	} else {
		milter_session_quit(x->milters);
	}
	x->milters = NULL;
}
