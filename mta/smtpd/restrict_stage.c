/* mta/smtpd/restrict_stage.c - which lists apply at which command, and how soft refusals travel from one to the next. */
#include <string.h>

#include "lib/base/log.h"
#include "lib/mail/addr.h"
#include "mta/smtpd/resolve.h"
#include "mta/smtpd/session.h"
#include "mta/smtpd/settings.h"
#include "mta/smtpd/verify.h"

static struct check check_begin(struct session *s, enum list_kind kind, struct str name, const char *klass)
{
	s->defer_if_reject.active = false;
	return (struct check){ .s = s, .kind = kind, .name = name, .klass = klass };
}

/* Empty lists cost nothing. */
static enum verdict run(struct session *s, enum list_kind kind, struct str name, const char *klass)
{
	struct check c;

	if (cf.lists[kind].count == 0)
		return CHECK_DUNNO;
	c = check_begin(s, kind, name, klass);
	return rule_list_eval(&c, &cf.lists[kind]);
}

enum verdict restrict_client(struct session *s)
{
	enum verdict v;

	s->defer_if_permit.active = false;
	v = run(s, LIST_CLIENT, s->client.namaddr, "Client host");
	s->client_deferral = s->defer_if_permit;
	return v;
}

enum verdict restrict_helo(struct session *s)
{
	enum verdict v;

	s->defer_if_permit = s->client_deferral;
	v = s->helo.n > 0 ? run(s, LIST_HELO, s->helo, "Helo command") : CHECK_DUNNO;
	s->helo_deferral = s->defer_if_permit;
	return v;
}

static enum verdict unlisted_sender(struct session *s)
{
	struct check c = check_begin(s, LIST_SENDER, addr_quote(session_scratch(s), s->t.sender), "Sender address");

	return reject_unlisted_sender(&c, NULL);
}

static enum verdict sender_lists(struct session *s)
{
	enum verdict v;

	s->defer_if_permit = s->helo.n > 0 ? s->helo_deferral : s->client_deferral;
	v = run(s, LIST_SENDER, addr_quote(session_scratch(s), s->t.sender), "Sender address");
	if (v != CHECK_REJECT && cf.reject_unlisted_sender && !(cf.override & OVERRIDE_NO_UNKNOWN_RCPT) && !s->t.sender_checked)
		v = unlisted_sender(s);
	s->t.sender_deferral = s->defer_if_permit;
	return v;
}

enum verdict restrict_mail(struct session *s)
{
	return cf.delay_reject ? CHECK_DUNNO : sender_lists(s);
}

static enum verdict delayed_lists(struct session *s)
{
	if (restrict_client(s) == CHECK_REJECT || restrict_helo(s) == CHECK_REJECT)
		return CHECK_REJECT;
	return sender_lists(s);
}

/* "postmaster" without domain is always heard, RFC 5321 section 4.5.1. */
static bool is_bare_postmaster(struct str rcpt)
{
	return str_eqiz(rcpt, "postmaster");
}

/* The sender of our probes: were it verified in turn, two hosts would ask each other for ever. */
static bool is_probed_by_others(const struct session *s)
{
	return verify_is_our_sender(s->t.rcpt_now) && s->t.rcpt_answer != NULL && resolve_is_ours(s->t.rcpt_answer);
}

static enum verdict rcpt_lists(struct session *s)
{
	enum list_kind first = cf.relay_first ? LIST_RELAY : LIST_RCPT;
	enum list_kind second = cf.relay_first ? LIST_RCPT : LIST_RELAY;
	struct str name = addr_quote(session_scratch(s), s->t.rcpt_now);
	struct check c;

	if (run(s, first, name, "Recipient address") == CHECK_REJECT)
		return CHECK_REJECT;
	if (s->t.discard)
		return CHECK_OK;
	if (run(s, second, name, "Recipient address") == CHECK_REJECT)
		return CHECK_REJECT;
	if (s->t.discard || s->defer_if_permit.active || !cf.reject_unlisted_rcpt || (cf.override & OVERRIDE_NO_UNKNOWN_RCPT) || s->t.rcpt_checked)
		return CHECK_DUNNO;
	c = check_begin(s, LIST_RCPT, name, "Recipient address");
	return reject_unlisted_recipient(&c, NULL);
}

enum verdict restrict_rcpt(struct session *s)
{
	struct check c;
	enum verdict v = CHECK_DUNNO;

	if (is_bare_postmaster(s->t.rcpt_now) || is_probed_by_others(s) || s->t.discard)
		return CHECK_OK;
	if (cf.delay_reject)
		v = delayed_lists(s);
	else
		s->defer_if_permit = s->t.sender_deferral;
	if (v != CHECK_REJECT && !s->t.discard)
		v = rcpt_lists(s);
	if (v == CHECK_REJECT || !s->defer_if_permit.active || s->t.discard)
		return v;
	c = check_begin(s, LIST_RCPT, s->t.rcpt_now, "Recipient address");
	return check_reject(&c, s->defer_if_permit.code, "%.*s", STRF(s->defer_if_permit.text));
}

/* DATA and END-OF-MESSAGE judge the whole message: flags start afresh, and a kept 450 is given at the end. */
static enum verdict whole_message(struct session *s, enum list_kind kind, struct str name, const char *klass)
{
	struct check c;
	enum verdict v;

	if (cf.lists[kind].count == 0 || s->t.discard)
		return CHECK_DUNNO;
	s->defer_if_permit.active = false;
	c = check_begin(s, kind, name, klass);
	v = rule_list_eval(&c, &cf.lists[kind]);
	if (v != CHECK_REJECT && s->defer_if_permit.active)
		v = check_reject(&c, s->defer_if_permit.code, "%.*s", STRF(s->defer_if_permit.text));
	s->defer_if_permit.active = false;
	return v;
}

enum verdict restrict_data(struct session *s)
{
	return whole_message(s, LIST_DATA, STR("DATA"), "Data command");
}

enum verdict restrict_end_of_data(struct session *s)
{
	return whole_message(s, LIST_EOD, STR("END-OF-MESSAGE"), "End-of-data");
}

enum verdict restrict_etrn(struct session *s)
{
	if (cf.delay_reject && (restrict_client(s) == CHECK_REJECT || restrict_helo(s) == CHECK_REJECT))
		return CHECK_REJECT;
	return whole_message(s, LIST_ETRN, s->t.etrn, "Etrn command");
}

bool restrict_local_client(struct session *s)
{
	struct check c = check_begin(s, LIST_CLIENT, s->client.namaddr, "Client host");
	struct buf value = { 0 };
	struct err e = ERR_INIT;
	enum table_answer answer;

	if (cf.local_clients.count > 0 && rule_list_eval(&c, &cf.local_clients) == CHECK_OK)
		return true;
	answer = tables_lookup(&cf.local_client_maps, s->client.addr, &value, &e);
	if (answer == TABLE_FAILED)
		log_warn("local_header_rewrite_clients: %s", e.text);
	buf_done(&value);
	return answer == TABLE_FOUND;
}
