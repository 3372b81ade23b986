/* mta/smtpd/milter.c - what filters are told about a session, the macros they get, and what their verdicts mean to the client. */
#include "mta/smtpd/milter.h"

#include <string.h>

#include "lib/base/log.h"
#include "lib/mail/addr.h"
#include "lib/net/tls.h"
#include "mta/smtpd/limit.h"
#include "mta/smtpd/resolve.h"
#include "mta/smtpd/settings.h"

/* ---- macro values ---- */

static struct str scratch_number(struct session *s, long long n)
{
	return arena_printf(session_scratch(s), "%lld", n);
}

static bool given(struct str *value, struct str s)
{
	*value = s;
	return s.n > 0;
}

static bool macro_peer(struct session *s, struct str *value)
{
	const struct client *c = &s->client;
	bool forged = !str_eqi(c->name, c->reverse);

	*value = arena_printf(session_scratch(s), "%.*s [%.*s]%s", STRF(c->reverse), STRF(c->addr), forged ? " (may be forged)" : "");
	return true;
}

static bool macro_resolve(struct session *s, struct str *value)
{
	switch (s->client.name_status) {
	case NAME_OK:
		return given(value, STR("OK"));
	case NAME_TEMP:
		return given(value, STR("TEMP"));
	case NAME_FORGED:
		return given(value, STR("FORGED"));
	case NAME_PERM:
		break;
	}
	return given(value, STR("FAIL"));
}

static bool macro_client_addr(struct session *s, struct str *value)
{
	return given(value, s->client.v6 ? arena_printf(session_scratch(s), "IPv6:%.*s", STRF(s->client.addr)) : s->client.addr);
}

static bool macro_client_port(struct session *s, struct str *value)
{
	return given(value, s->client.port.n > 0 && !str_eqz(s->client.port, "unknown") ? s->client.port : STR("0"));
}

static bool macro_mail_addr(struct session *s, struct str *value)
{
	if (s->t.sender_raw.n == 0 && !s->t.open)
		return false;
	*value = s->t.sender.n > 0 ? addr_quote(session_scratch(s), resolve_sender_key(s)) : STR_NONE;
	return true;
}

static bool macro_mail_host(struct session *s, struct str *value)
{
	return s->t.sender_answer != NULL && given(value, s->t.sender_answer->nexthop);
}

static bool macro_mail_mailer(struct session *s, struct str *value)
{
	return s->t.sender_answer != NULL && given(value, s->t.sender_answer->transport);
}

static bool rcpt_value(struct session *s, size_t i, struct str *value)
{
	return given(value, s->milter_name[i].n > 0 ? s->milter_name[i] : s->t.milter_rcpt[i]);
}

static bool macro_rcpt_addr(struct session *s, struct str *value)
{
	return rcpt_value(s, 0, value);
}

static bool macro_rcpt_host(struct session *s, struct str *value)
{
	return rcpt_value(s, 1, value);
}

static bool macro_rcpt_mailer(struct session *s, struct str *value)
{
	return rcpt_value(s, 2, value);
}

static bool macro_id(struct session *s, struct str *value)
{
	return given(value, str_z(s->t.id));
}

static bool macro_hostname(struct session *s, struct str *value)
{
	(void)s; /* the same for all */
	return given(value, str_z(cf.myhostname));
}

static bool macro_version(struct session *s, struct str *value)
{
	(void)s; /* the same for all */
	return given(value, str_z(cf.milter_v));
}

static bool macro_daemon_name(struct session *s, struct str *value)
{
	(void)s; /* the same for all */
	return given(value, str_z(cf.milter_daemon_name));
}

static bool macro_daemon_addr(struct session *s, struct str *value)
{
	return given(value, s->server_addr);
}

static bool macro_daemon_port(struct session *s, struct str *value)
{
	return given(value, s->server_port);
}

static bool macro_client_name(struct session *s, struct str *value)
{
	return given(value, s->client.name);
}

static bool macro_client_ptr(struct session *s, struct str *value)
{
	return given(value, s->client.reverse);
}

static bool macro_client_connections(struct session *s, struct str *value)
{
	return given(value, scratch_number(s, (long long)limit_connections(s)));
}

static bool macro_auth_type(struct session *s, struct str *value)
{
	return given(value, s->sasl_method);
}

static bool macro_auth_authen(struct session *s, struct str *value)
{
	return given(value, s->sasl_user);
}

static bool macro_auth_author(struct session *s, struct str *value)
{
	return given(value, s->t.auth_sender);
}

static bool macro_tls_version(struct session *s, struct str *value)
{
	return stream_tls(s->io) != NULL && given(value, str_z(tls_protocol(stream_tls(s->io))));
}

static bool macro_cipher(struct session *s, struct str *value)
{
	return stream_tls(s->io) != NULL && given(value, str_z(tls_cipher(stream_tls(s->io))));
}

static bool macro_cipher_bits(struct session *s, struct str *value)
{
	return stream_tls(s->io) != NULL && given(value, scratch_number(s, tls_cipher_bits(stream_tls(s->io), NULL)));
}

/* Names in a certificate that nobody vouches for are the client's own words. */
static bool macro_cert_subject(struct session *s, struct str *value)
{
	return s->ccert.trusted && given(value, s->ccert.subject);
}

static bool macro_cert_issuer(struct session *s, struct str *value)
{
	return s->ccert.trusted && given(value, s->ccert.issuer);
}

static const struct macro_row {
	const char *name;
	bool (*value)(struct session *s, struct str *value); /* false: does not exist */
} macro_rows[] = {
	{ "_", macro_peer },
	{ "auth_authen", macro_auth_authen },
	{ "auth_author", macro_auth_author },
	{ "auth_type", macro_auth_type },
	{ "cert_issuer", macro_cert_issuer },
	{ "cert_subject", macro_cert_subject },
	{ "cipher", macro_cipher },
	{ "cipher_bits", macro_cipher_bits },
	{ "client_addr", macro_client_addr },
	{ "client_connections", macro_client_connections },
	{ "client_name", macro_client_name },
	{ "client_port", macro_client_port },
	{ "client_ptr", macro_client_ptr },
	{ "client_resolve", macro_resolve },
	{ "daemon_addr", macro_daemon_addr },
	{ "daemon_name", macro_daemon_name },
	{ "daemon_port", macro_daemon_port },
	{ "i", macro_id },
	{ "j", macro_hostname },
	{ "mail_addr", macro_mail_addr },
	{ "mail_host", macro_mail_host },
	{ "mail_mailer", macro_mail_mailer },
	{ "rcpt_addr", macro_rcpt_addr },
	{ "rcpt_host", macro_rcpt_host },
	{ "rcpt_mailer", macro_rcpt_mailer },
	{ "tls_version", macro_tls_version },
	{ "v", macro_version },
};

static bool macro_value(void *ctx, struct str name, struct str *value)
{
	struct session *s = ctx;

	for (size_t i = 0; i < sizeof macro_rows / sizeof *macro_rows; i++)
		if (str_eqz(name, macro_rows[i].name) && macro_rows[i].value(s, value))
			return true;
	return false;
}

/* ---- verdicts ---- */

static void log_verdict(struct session *s, const char *verb, const struct reply *r, const char *text)
{
	struct buf b = { 0 };

	if (text != NULL)
		buf_addz(&b, text);
	else if (r->code.c != 0)
		buf_addf(&b, "%d %u.%u.%u %.*s", r->code.smtp, (unsigned)r->code.c, (unsigned)r->code.s, (unsigned)r->code.d,
			STRF(r->text));
	else
		buf_addf(&b, "%d %.*s", r->code.smtp, STRF(r->text));
	session_log(s, verb, buf_str(&b));
	buf_done(&b);
}

static struct reply reply_of(struct session *s, const struct milter_answer *a)
{
	struct reply r = { a->code, arena_dup(session_scratch(s), a->text) };

	if (r.code.smtp == 0)
		r.code = CODE(421, 4, 7, 0);
	if (cf.soft_bounce && r.code.smtp >= 500) {
		r.code.smtp = (short)(r.code.smtp - 100);
		r.code.c = r.code.c != 0 ? 4 : 0;
	}
	return r;
}

/* A filter failed whose default action is quarantine. */
static void hold_for_filter(struct session *s)
{
	if (s->t.hold)
		return;
	log_verdict(s, "milter-hold", NULL, "milter triggers HOLD action");
	s->t.hold = true;
	s->t.hold_reason = STR("default_action");
}

/* Who said what, when the message ends here and cleanup will not tell. */
static void log_filters(const struct session *s)
{
	struct buf b = { 0 };

	milter_report(s->milters, &b);
	if (b.n > 0)
		log_info("%s: milters: %.*s", session_queue_id(s), STRF(b));
	buf_done(&b);
}

/* 0 go on, -1 refused with s->ruling. */
static int obey(struct session *s, const struct milter_answer *a)
{
	switch (a->verdict) {
	case MILTER_GO_ON:
		if (a->hold)
			hold_for_filter(s);
		return 0;
	case MILTER_DISCARD:
		log_verdict(s, "milter-discard", NULL, "milter triggers DISCARD action");
		log_filters(s);
		s->t.discard = true;
		return 0;
	case MILTER_REPLY:
	case MILTER_HANGUP:
		break;
	}
	s->ruling = reply_of(s, a);
	if (a->verdict == MILTER_HANGUP)
		s->hangup = true;
	log_verdict(s, "milter-reject", &s->ruling, NULL);
	log_filters(s);
	return -1;
}

/* ---- events ---- */

/* Nobody passes unseen because we cannot tell who is to look. */
static const struct milter_chain *no_chain(struct session *s, const struct err *e)
{
	log_warn("smtpd_milter_maps: %.*s: %s", STRF(s->client.addr), e->text);
	s->milter_refusal = (struct reply){ CODE(451, 4, 3, 5), STR("Server configuration problem - try again later") };
	return NULL;
}

/* The filters for this client. NULL: that cannot be told, and its mail is put off. */
static const struct milter_chain *chain_for(struct session *s)
{
	struct buf list = { 0 };
	struct err e = ERR_INIT;
	const struct milter_chain *chain = &cf.milters;
	enum table_answer found;

	if (cf.milter_maps.count == 0 || (cf.override & OVERRIDE_NO_MILTERS))
		return chain;
	found = tables_lookup(&cf.milter_maps, s->client.addr, &list, &e);
	if (found == TABLE_FAILED) {
		chain = no_chain(s, &e);
	} else if (found == TABLE_FOUND) {
		chain = &s->own_milters;
		s->own_milters = (struct milter_chain){ NULL, 0 };
		if (!str_eqiz(buf_str(&list), "DISABLE") &&
			settings_milter_chain(s->life, arena_z(s->life, buf_str(&list)), &s->own_milters, &e) < 0)
			chain = no_chain(s, &e);
	}
	buf_done(&list);
	return chain;
}

void session_milter_connect(struct session *s)
{
	const struct milter_chain *chain = chain_for(s);
	const struct client *c = &s->client;
	struct milter_answer answer;
	struct str name = c->name;
	uint64_t port = 0;

	if (chain == NULL || chain->count == 0 || s->early_refusal.code.smtp != 0)
		return;
	s->milters = milter_session_new(s->life, chain, &cf.milter_macros, macro_value, s);
	if (c->name_status != NAME_OK)
		name = arena_printf(session_scratch(s), "[%.*s]", STRF(c->addr));
	str_to_u64(c->port, UINT16_MAX, &port);
	milter_connect(s->milters, name, str_eqz(c->addr, "unknown") ? 'U' : c->v6 ? '6' : '4', (uint16_t)port, c->addr, &answer);
	if (obey(s, &answer) < 0)
		s->milter_refusal = (struct reply){ s->ruling.code, arena_dup(s->life, s->ruling.text) };
}

void session_milter_helo(struct session *s)
{
	struct milter_answer answer;

	if (s->milter_refusal.code.smtp != 0) {
		log_verdict(s, "milter-reject", &s->milter_refusal, NULL);
		return;
	}
	if (s->milters == NULL)
		return;
	milter_helo(s->milters, s->helo, &answer);
	if (obey(s, &answer) < 0)
		s->milter_refusal = (struct reply){ s->ruling.code, arena_dup(s->life, s->ruling.text) };
}

int session_milter_mail(struct session *s, struct str raw, const struct str *args, size_t count)
{
	struct milter_answer answer;

	if (s->milter_refusal.code.smtp != 0) {
		s->t.sender_raw = STR_NONE; /* they never heard of this message */
		s->ruling = s->milter_refusal;
		log_verdict(s, "milter-reject", &s->ruling, NULL);
		return -1;
	}
	milter_mail(s->milters, raw, args, count, &answer);
	return obey(s, &answer);
}

int session_milter_rcpt(struct session *s, struct str raw, const struct str *args, size_t count)
{
	struct milter_answer answer;
	const struct rewrite_answer *a = s->t.rcpt_answer;

	s->milter_name[0] = addr_quote(session_scratch(s), resolve_rcpt_key(s));
	s->milter_name[1] = a != NULL ? a->nexthop : STR_NONE;
	s->milter_name[2] = a != NULL ? a->transport : STR_NONE;
	milter_rcpt(s->milters, raw, args, count, &answer);
	if (answer.verdict == MILTER_GO_ON && s->t.milter_rcpt[0].n == 0)
		for (size_t i = 0; i < 3; i++)
			s->t.milter_rcpt[i] = arena_dup(s->mail, s->milter_name[i]);
	memset(s->milter_name, 0, sizeof s->milter_name);
	return obey(s, &answer);
}

/* What refused it, without the address in front: "<a@b>: Relay access denied" becomes "Relay access denied". */
static struct str reason_only(struct str text)
{
	ptrdiff_t at = str_find(text, STR(">: "));

	return text.n > 0 && text.p[0] == '<' && at > 0 ? str_skip(text, (size_t)at + 3) : text;
}

void session_milter_rcpt_rejected(struct session *s, struct str raw, const struct str *args, size_t count)
{
	struct code code = s->ruling.code;

	if (!milter_wants_rejected_rcpt(s->milters))
		return;
	s->milter_name[0] = reason_only(s->ruling.text);
	s->milter_name[1] = arena_printf(session_scratch(s), "%u.%u.%u", (unsigned)code.c, (unsigned)code.s, (unsigned)code.d);
	s->milter_name[2] = STR("error");
	milter_rcpt_rejected(s->milters, raw, args, count);
	memset(s->milter_name, 0, sizeof s->milter_name);
}

int session_milter_data(struct session *s)
{
	struct milter_answer answer;

	if (s->milters == NULL || s->t.discard)
		return 0;
	milter_data(s->milters, &answer);
	return obey(s, &answer);
}

bool session_milter_unknown(struct session *s, struct str line)
{
	struct milter_answer answer;
	struct str rest = line;

	if (s->milters == NULL || s->milter_refusal.code.smtp != 0)
		return false;
	milter_unknown(s->milters, str_word(&rest, " \t"), &answer); /* Postfix passes the verb alone */
	if (answer.verdict != MILTER_REPLY && answer.verdict != MILTER_HANGUP)
		return false;
	obey(s, &answer);
	return s->ruling.code.smtp < 500;
}

int session_milter_other(struct session *s, bool hide_temp)
{
	if (s->milter_refusal.code.smtp == 0)
		return 0;
	s->ruling = s->milter_refusal;
	if (hide_temp && s->ruling.code.smtp < 500)
		s->ruling = (struct reply){ CODE(454, 4, 3, 0), STR("Try again later") };
	return -1;
}

void session_milter_abort(struct session *s)
{
	if (s->milters != NULL)
		milter_abort(s->milters);
}

void session_milter_forget_helo(struct session *s)
{
	if (s->milters != NULL)
		milter_forget_helo(s->milters);
}

void session_milter_close(struct session *s)
{
	if (s->milters != NULL)
		milter_session_close(s->milters);
	s->milters = NULL;
	memset(&s->milter_refusal, 0, sizeof s->milter_refusal);
}
