/* mta/smtpd/cmd_mail.c - MAIL and RCPT: the envelope, its ESMTP parameters, who may send to whom. RFC 5321 section 4.1.1.2 and on. */
#include <string.h>
#include <sys/statvfs.h>

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/utf8.h"
#include "lib/mail/dsn.h"
#include "lib/smtp/command.h"
#include "mta/smtpd/early.h"
#include "mta/smtpd/limit.h"
#include "mta/smtpd/milter.h"
#include "mta/smtpd/proxy_filter.h"
#include "mta/smtpd/resolve.h"
#include "mta/smtpd/session.h"
#include "mta/smtpd/settings.h"

#define ENVID_MAX 100 /* octets, RFC 3461 section 4.4 */
#define CODE_SYNTAX CODE(501, 5, 5, 4)
#define CODE_SEQUENCE CODE(503, 5, 5, 1)
#define CODE_BAD_SENDER CODE(501, 5, 1, 7)
#define CODE_BAD_RCPT CODE(501, 5, 1, 3)
#define CODE_LOOKUP CODE(451, 4, 3, 0)

/* ---- parameters: one row each ---- */

struct param_run {
	struct session *s;
	struct queue_rcpt *rcpt;    /* RCPT */
	struct str auth_sender, envid, verp;
	int ret;
	unsigned flags;
	bool size_given;
	uint64_t size;
	bool orcpt_given, notify_given;
};

typedef int param_fn(struct param_run *p, struct str value); /* 0, or -1 when it replied */

struct param_row {
	const char *name;
	param_fn *set;
	enum { VALUE_NEEDED, VALUE_NONE, VALUE_OPTIONAL } value;
};

static int no_dsn(struct session *s)
{
	return session_reply(s, CODE(501, 5, 7, 1), "DSN support is disabled");
}

static int set_size(struct param_run *p, struct str value)
{
	if (!str_digits(value))
		return session_reply(p->s, CODE_SYNTAX, "Bad message size syntax");
	if (!str_to_u64(value, INT64_MAX, &p->size))
		return session_reply(p->s, CODE(552, 5, 3, 4), "Message size exceeds file system imposed limit");
	p->size_given = true;
	return 0;
}

static int set_body(struct param_run *p, struct str value)
{
	if (str_eqiz(value, "8BITMIME"))
		p->flags |= QUEUE_BODY_8BITMIME;
	else if (!str_eqiz(value, "7BIT"))
		return session_reply(p->s, CODE(555, 5, 5, 4), "Unsupported option: BODY=%.*s", STRF(value));
	return 0;
}

static int set_smtputf8(struct param_run *p, struct str value)
{
	(void)value; /* has none */
	if (!cf.smtputf8 || (p->s->ehlo_discard & HIDE_SMTPUTF8))
		return session_reply(p->s, CODE(555, 5, 5, 4), "Unsupported option: SMTPUTF8");
	p->flags |= QUEUE_UTF8;
	return 0;
}

/* RFC 8689 section 4.2: it makes sense only to who came over TLS. */
static int set_requiretls(struct param_run *p, struct str value)
{
	(void)value; /* has none */
	if (!cf.requiretls || (p->s->ehlo_discard & HIDE_REQTLS) || stream_tls(p->s->io) == NULL)
		return session_reply(p->s, CODE(555, 5, 5, 4), "Unsupported option: REQUIRETLS");
	p->flags |= QUEUE_REQUIRETLS;
	return 0;
}

/* RFC 4954 section 5: taken from those who logged in, ignored from others. */
static int set_auth(struct param_run *p, struct str value)
{
	struct buf plain = { 0 };
	int rc = 0;

	if (str_eqz(value, "<>"))
		p->auth_sender = STR("<>");
	else if (!addr_xtext_decode(&plain, value))
		rc = session_reply(p->s, CODE_SYNTAX, "Bad AUTH parameter syntax");
	else if (p->s->sasl_user.n > 0)
		p->auth_sender = arena_dup(session_scratch(p->s), buf_str(&plain));
	buf_done(&plain);
	return rc;
}

static int set_ret(struct param_run *p, struct str value)
{
	if (p->s->ehlo_discard & HIDE_DSN)
		return no_dsn(p->s);
	if (p->ret != DSN_RET_NONE || !(str_eqiz(value, "FULL") || str_eqiz(value, "HDRS")))
		return session_reply(p->s, CODE_SYNTAX, "Bad RET parameter syntax");
	p->ret = str_eqiz(value, "FULL") ? DSN_RET_FULL : DSN_RET_HDRS;
	return 0;
}

static bool printable_xtext(struct str value)
{
	struct buf plain = { 0 };
	bool good = addr_xtext_decode(&plain, value) && plain.n > 0 && plain.n <= ENVID_MAX;

	for (size_t i = 0; i < plain.n && good; i++)
		good = plain.p[i] >= ' ' && plain.p[i] < 127;
	buf_done(&plain);
	return good;
}

static int set_envid(struct param_run *p, struct str value)
{
	if (p->s->ehlo_discard & HIDE_DSN)
		return no_dsn(p->s);
	if (p->envid.n > 0 || !printable_xtext(value))
		return session_reply(p->s, CODE_SYNTAX, "Bad ENVID parameter syntax");
	p->envid = value;
	return 0;
}

static bool may_delimit(struct str chars)
{
	for (size_t i = 0; i < chars.n; i++)
		if (chars.p[i] == '\0' || strchr(cf.verp_filter, chars.p[i]) == NULL)
			return false;
	return chars.n == 2;
}

static int set_verp(struct param_run *p, struct str value)
{
	if (!p->s->verp_allowed || (p->s->ehlo_discard & HIDE_VERP))
		return session_reply(p->s, CODE(555, 5, 5, 4), "Unsupported option: XVERP%s%.*s", value.n > 0 ? "=" : "", STRF(value));
	p->verp = value.n > 0 ? value : str_z(cf.verp_delimiters);
	if (!may_delimit(p->verp))
		return session_reply(p->s, CODE_SYNTAX, "Error: XVERP needs two characters from %s", cf.verp_filter);
	return 0;
}

static int set_notify(struct param_run *p, struct str value)
{
	int bits = dsn_notify_parse(value);

	if (p->s->ehlo_discard & HIDE_DSN)
		return no_dsn(p->s);
	if (p->notify_given || bits < 0)
		return session_reply(p->s, CODE_SYNTAX, "Error: Bad NOTIFY parameter syntax");
	p->notify_given = true;
	p->rcpt->notify = bits;
	return 0;
}

static int set_orcpt(struct param_run *p, struct str value)
{
	if (p->s->ehlo_discard & HIDE_DSN)
		return no_dsn(p->s);
	if (p->orcpt_given || !dsn_orcpt_valid(value))
		return session_reply(p->s, CODE_SYNTAX, "Error: Bad ORCPT parameter syntax");
	p->orcpt_given = true;
	p->rcpt->orcpt = value;
	return 0;
}

static const struct param_row mail_params[] = {
	{ "AUTH", set_auth, VALUE_NEEDED },
	{ "BODY", set_body, VALUE_NEEDED },
	{ "ENVID", set_envid, VALUE_NEEDED },
	{ "REQUIRETLS", set_requiretls, VALUE_NONE },
	{ "RET", set_ret, VALUE_NEEDED },
	{ "SIZE", set_size, VALUE_NEEDED },
	{ "SMTPUTF8", set_smtputf8, VALUE_NONE },
	{ "XVERP", set_verp, VALUE_OPTIONAL },
};

static const struct param_row rcpt_params[] = {
	{ "NOTIFY", set_notify, VALUE_NEEDED },
	{ "ORCPT", set_orcpt, VALUE_NEEDED },
};

static int set_params(struct param_run *p, const struct param_row *rows, size_t count, const struct smtp_path *path)
{
	for (size_t i = 0; i < path->param_count; i++) {
		const struct smtp_param *given = &path->params[i];
		size_t k = 0;

		while (k < count && !str_eqiz(given->name, rows[k].name))
			k++;
		if (k == count || (rows[k].value != VALUE_OPTIONAL && given->assigned == (rows[k].value == VALUE_NONE)))
			return session_reply(p->s, CODE(555, 5, 5, 4), "Unsupported option: %.*s%s%.*s", STRF(given->name),
				given->assigned ? "=" : "", STRF(given->value));
		if (rows[k].set(p, given->value) < 0)
			return -1;
	}
	return 0;
}

/* ESMTP parameters as filters see them: "SIZE=10". */
static size_t param_texts(struct session *s, const struct smtp_path *path, struct str *out)
{
	for (size_t i = 0; i < path->param_count; i++) {
		const struct smtp_param *p = &path->params[i];

		out[i] = arena_printf(session_scratch(s), "%.*s%s%.*s", STRF(p->name), p->value.n ? "=" : "", STRF(p->value));
	}
	return path->param_count;
}

/* ---- the address ---- */

static struct str internal_form(struct session *s, const struct addr *a)
{
	struct arena *scratch = session_scratch(s);
	struct str address = a->local;

	if (a->domain.n > 0)
		address = arena_printf(scratch, "%.*s@%.*s", STRF(a->local), STRF(a->domain));
	return arena_dup(s->mail, addr_unquote(scratch, address)); /* unquoting may give back what it got */
}

/* With the source route that the client may have given: notifications name what was asked for. */
static struct str original_form(struct session *s, const struct smtp_path *path)
{
	struct str route = path->raw.n > 0 && path->raw.p[0] == '<' ? str_skip(path->raw, 1) : path->raw;

	if (route.n == 0 || route.p[0] != '@' || path->addr.local.p <= route.p || path->addr.local.p >= route.p + route.n)
		return s->t.rcpt_now;
	return arena_printf(s->mail, "%.*s%.*s", (int)(path->addr.local.p - route.p), route.p, STRF(s->t.rcpt_now));
}

static unsigned address_flags(unsigned more)
{
	return more | (cf.strict_envelopes ? ADDR_STRICT : 0u) | (cf.smtputf8 ? ADDR_UTF8 : 0u);
}

static int bad_address(struct session *s, struct code code, const char *who, const char *verb, struct str args)
{
	log_warn("Illegal address syntax from %.*s in %s command: %.*s", STRF(s->client.namaddr), verb, STRF(args));
	return session_reply(s, code, "Bad %s address syntax", who);
}

/* ---- MAIL ---- */

static int too_big(struct session *s)
{
	if (cf.message_limit > 0 && s->t.size > (uint64_t)cf.message_limit)
		return session_reply(s, CODE(552, 5, 3, 4), "Message size exceeds fixed limit");
	return 0;
}

/* Free space of the queue's file system, asked at most once a second. */
static uint64_t queue_free(void)
{
	static int64_t asked_at;
	static uint64_t octets;
	struct statvfs v;
	int64_t now = clock_mono_ms();

	if (asked_at != 0 && now - asked_at < 1000)
		return octets;
	asked_at = now;
	octets = statvfs(".", &v) == 0 ? (uint64_t)v.f_bavail * v.f_frsize : UINT64_MAX;
	return octets;
}

static int queue_full(struct session *s)
{
	uint64_t octets = queue_free(), needed = (uint64_t)cf.message_limit + (uint64_t)cf.message_limit / 2;

	if (octets < (uint64_t)cf.queue_minfree)
		log_warn("not enough free space in mail queue: %llu bytes < minimum %lld", (unsigned long long)octets,
			(long long)cf.queue_minfree);
	else if (octets < needed)
		log_warn("not enough free space in mail queue: %llu bytes < 1.5*message size limit", (unsigned long long)octets);
	else
		return 0;
	return session_reply(s, CODE(452, 4, 3, 1), "Insufficient system storage");
}

/* "pid.seconds.microseconds.count", opaque to policy servers, new for each message. */
static struct str new_instance(struct session *s)
{
	static unsigned count;
	int64_t now = clock_wall_us();

	return arena_printf(s->mail, "%x.%llx.%x.%x", (unsigned)getpid(), (unsigned long long)(now / 1000000),
		(unsigned)(now % 1000000), count++);
}

static int mail_sequence(struct session *s)
{
	if (cf.helo_required && s->helo.n == 0)
		return session_reply(s, CODE_SEQUENCE, "Error: send HELO/EHLO first");
	if (s->t.open)
		return session_reply(s, CODE_SEQUENCE, "Error: nested MAIL command");
	if (!s->exempt && !limit_mail(s))
		return session_reply(s, CODE(450, 4, 7, 1), "Error: too much mail from %.*s", STRF(s->client.addr));
	return 0;
}

/* A message size that was refused stays with the client until it says another one or RSET. */
static void forget_sender(struct session *s)
{
	uint64_t size = s->t.size;

	session_forget_mail(s);
	s->t.size = size;
}

static int undeclared_utf8(struct session *s, struct str address)
{
	if (utf8_ascii(address) || !cf.strict_smtputf8 || (s->t.flags & QUEUE_UTF8))
		return 0;
	return session_reply(s, CODE(553, 5, 6, 7), "Must declare SMTPUTF8 to send unicode address");
}

static int take_sender(struct session *s, const struct smtp_path *path, struct str args)
{
	struct str sender = internal_form(s, &path->addr);

	if (path->addr.local.n == 0 && path->addr.domain.n > 0) /* "<@domain>": nobody to tell about a failure */
		return bad_address(s, CODE_BAD_SENDER, "sender", "MAIL", args);
	if (undeclared_utf8(s, sender) < 0)
		return -1;
	s->t.sender = sender;
	s->t.sender_answer = resolve_ask(s, sender, false);
	if (s->t.sender_answer == NULL)
		return session_reply(s, CODE_LOOKUP, "<%.*s>: Temporary lookup failure", STRF(sender));
	if (sender.n > 0 && (s->t.sender_answer->flags & REWRITE_ERROR))
		return bad_address(s, CODE_BAD_SENDER, "sender", "MAIL", args);
	return 0;
}

static int ask_milters_mail(struct session *s, const struct smtp_path *path)
{
	struct str texts[SMTP_PARAMS_MAX];

	if (s->t.discard || (s->milters == NULL && s->milter_refusal.code.smtp == 0))
		return 0;
	s->t.sender_raw = arena_dup(s->mail, path->raw);
	return session_milter_mail(s, s->t.sender_raw, texts, param_texts(s, path, texts));
}

static int check_sender(struct session *s, const struct smtp_path *path, struct str args)
{
	if (take_sender(s, path, args) < 0 || too_big(s) < 0)
		return -1;
	if (restrict_mail(s) == CHECK_REJECT || ask_milters_mail(s, path) < 0)
		return session_reply_with(s, &s->ruling);
	return queue_full(s);
}

static int take_mail(struct session *s, const struct smtp_path *path, struct str args)
{
	struct param_run p = { .s = s };

	if (set_params(&p, mail_params, sizeof mail_params / sizeof *mail_params, path) < 0)
		return -1;
	if (p.verp.n > 0 && path->addr.local.n == 0)
		return session_reply(s, CODE(503, 5, 5, 4), "Error: XVERP requires non-null sender");
	if (p.size_given)
		s->t.size = p.size;
	s->t.flags = p.flags;
	s->t.ret = p.ret;
	s->t.envid = arena_dup(s->mail, p.envid);
	s->t.verp = arena_dup(s->mail, p.verp);
	s->t.auth_sender = arena_dup(s->mail, p.auth_sender);
	if (*cf.proxy_filter != '\0')
		s->t.mail_args = arena_dup(s->mail, args);
	return check_sender(s, path, args);
}

int cmd_mail(struct session *s, struct str args)
{
	struct smtp_path path;
	bool syntax = false;
	const char *why = NULL;

	if (mail_sequence(s) < 0)
		return -1;
	if (smtp_path_parse(args, "FROM", address_flags(ADDR_NULL_OK), &path, &syntax, &why) < 0)
		return syntax ? session_reply(s, CODE_SYNTAX, "Syntax: MAIL FROM:<address>")
			      : bad_address(s, CODE_BAD_SENDER, "sender", "MAIL", args);
	if (take_mail(s, &path, args) < 0) {
		forget_sender(s);
		return -1;
	}
	s->t.open = true;
	s->t.instance = new_instance(s);
	s->t.arrival_us = clock_wall_us();
	return session_reply(s, CODE(250, 2, 1, 0), "Ok");
}

/* ---- RCPT ---- */

/* RFC 5321 section 4.5.3.1.10: within reason it is no fault of the client. */
static int too_many_recipients(struct session *s)
{
	if (s->t.rcpts.count < (uint64_t)cf.rcpt_limit)
		return 0;
	session_reply(s, CODE(452, 4, 5, 3), "Error: too many recipients");
	return s->t.overshoot++ < (uint64_t)cf.rcpt_overshoot ? 1 : -1;
}

static int rcpt_sequence(struct session *s)
{
	if (!s->t.open)
		return session_reply(s, CODE_SEQUENCE, "Error: need MAIL command");
	if (s->t.bdat != BDAT_NONE)
		return session_reply(s, CODE_SEQUENCE, "Error: RCPT after BDAT");
	return 0;
}

/* Filters that asked for it hear of recipients that we refused ourselves. */
static int refused_rcpt(struct session *s, const struct smtp_path *path)
{
	struct str texts[SMTP_PARAMS_MAX];

	if (s->milters != NULL && !s->t.discard)
		session_milter_rcpt_rejected(s, path->raw, texts, param_texts(s, path, texts));
	return session_reply_with(s, &s->ruling);
}

static int ask_milters_rcpt(struct session *s, const struct smtp_path *path)
{
	struct str texts[SMTP_PARAMS_MAX];

	if (s->milters == NULL || s->t.discard)
		return 0;
	return session_milter_rcpt(s, path->raw, texts, param_texts(s, path, texts));
}

static void add_rcpt(struct session *s, const struct queue_rcpt *r)
{
	struct rcpt_list *l = &s->t.rcpts;

	if (l->count == l->cap) {
		size_t cap = l->cap ? 2 * l->cap : 4;
		struct queue_rcpt *v = arena_alloc(s->mail, cap * sizeof *v);

		if (l->count > 0)
			memcpy(v, l->v, l->count * sizeof *v);
		l->v = v;
		l->cap = cap;
	}
	l->v[l->count] = *r;
	l->v[l->count].orcpt = arena_dup(s->mail, r->orcpt);
	l->v[l->count].index = (uint32_t)l->count;
	l->count++;
}

static int judge_rcpt(struct session *s, const struct smtp_path *path, struct str args)
{
	if (s->early_refusal.code.smtp != 0)
		return early_refuse_rcpt(s);
	s->t.rcpt_answer = resolve_ask(s, s->t.rcpt_now, cf.reject_unlisted_rcpt || cf.lists[LIST_RCPT].count > 0);
	if (s->t.rcpt_answer != NULL && (s->t.rcpt_answer->flags & REWRITE_ERROR))
		return bad_address(s, CODE_BAD_RCPT, "recipient", "RCPT", args);
	if (!s->exempt && !limit_rcpt(s))
		return session_reply(s, CODE(450, 4, 7, 1), "Error: too many recipients from %.*s", STRF(s->client.addr));
	if (restrict_rcpt(s) == CHECK_REJECT)
		return refused_rcpt(s, path);
	if (ask_milters_rcpt(s, path) < 0)
		return session_reply_with(s, &s->ruling);
	return 0;
}

static int take_rcpt(struct session *s, const struct smtp_path *path, struct str args)
{
	struct queue_rcpt rcpt = { .notify = DSN_NOTIFY_NONE };
	struct param_run p = { .s = s, .rcpt = &rcpt };
	int over;

	if (set_params(&p, rcpt_params, sizeof rcpt_params / sizeof *rcpt_params, path) < 0)
		return -1;
	over = too_many_recipients(s);
	if (over != 0)
		return over;
	s->t.rcpt_now = internal_form(s, &path->addr);
	s->t.rcpt_checked = false;
	if (s->t.rcpt_now.n == 0) /* <""> */
		return bad_address(s, CODE_BAD_RCPT, "recipient", "RCPT", args);
	if (undeclared_utf8(s, s->t.rcpt_now) < 0)
		return -1;
	if (judge_rcpt(s, path, args) < 0)
		return -1;
	rcpt.addr = s->t.rcpt_now;
	rcpt.orig = original_form(s, path); /* what the tables make of it is still to come */
	if (proxy_filter_wanted(s) && proxy_filter_rcpt(s, args) < 0)
		return session_reply_with(s, &s->ruling);
	if (s->t.rcpts.count == 0) {
		if (!proxy_filter_wanted(s))
			queue_id_new(s->t.id); /* else it is for the queue behind the filter */
		session_log_client(s);
	}
	add_rcpt(s, &rcpt);
	return 0;
}

int cmd_rcpt(struct session *s, struct str args)
{
	struct smtp_path path;
	bool syntax = false;
	const char *why = NULL;
	int rc;

	if (rcpt_sequence(s) < 0)
		return -1;
	if (smtp_path_parse(args, "TO", address_flags(0), &path, &syntax, &why) < 0)
		return syntax ? session_reply(s, CODE_SYNTAX, "Syntax: RCPT TO:<address>")
			      : bad_address(s, CODE_BAD_RCPT, "recipient", "RCPT", args);
	rc = take_rcpt(s, &path, args);
	s->t.rcpt_now = STR_NONE;
	s->t.rcpt_answer = NULL;
	return rc != 0 ? rc : session_reply(s, CODE(250, 2, 1, 5), "Ok");
}
