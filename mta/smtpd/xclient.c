/* mta/smtpd/xclient.c - XCLIENT and XFORWARD: a trusted proxy or filter tells who its client is. */
#include "mta/smtpd/xclient.h"

#include <string.h>

#include "lib/mail/addr.h"
#include "lib/mail/ip.h"
#include "mta/smtpd/milter.h"
#include "mta/smtpd/session.h"
#include "mta/smtpd/settings.h"

#define CODE_SYNTAX CODE(501, 5, 5, 4)

/* ---- values ---- */

static const char *const xattr_names[XATTR_COUNT] = {
	[XATTR_ADDR] = "ADDR",
	[XATTR_DESTADDR] = "DESTADDR",
	[XATTR_DESTPORT] = "DESTPORT",
	[XATTR_HELO] = "HELO",
	[XATTR_IDENT] = "IDENT",
	[XATTR_LOGIN] = "LOGIN",
	[XATTR_NAME] = "NAME",
	[XATTR_PORT] = "PORT",
	[XATTR_PROTO] = "PROTO",
	[XATTR_REVERSE_NAME] = "REVERSE_NAME",
	[XATTR_SOURCE] = "SOURCE",
};

static bool valid_address(struct buf *value)
{
	struct ip ip;
	bool good = ip_parse(buf_str(value), &ip);

	if (good) { /* one spelling for logs, tables and filters */
		buf_clear(value);
		ip_print(value, &ip);
	}
	return good;
}

static bool valid_port(struct buf *value)
{
	uint64_t port;

	return str_to_u64(buf_str(value), UINT16_MAX, &port);
}

static bool valid_proto(struct buf *value)
{
	return str_eqiz(buf_str(value), "SMTP") || str_eqiz(buf_str(value), "ESMTP");
}

static bool valid_name(struct buf *value)
{
	return addr_hostname_valid(buf_str(value));
}

static bool valid_source(struct buf *value)
{
	return str_eqiz(buf_str(value), "LOCAL") || str_eqiz(buf_str(value), "REMOTE");
}

static bool valid_text(struct buf *value)
{
	for (size_t i = 0; i < value->n; i++)
		if ((unsigned char)value->p[i] < ' ' || value->p[i] == 127 || strchr("<>()\\\";@", value->p[i]) != NULL)
			value->p[i] = '?';
	return true;
}

static bool valid_login(struct buf *value)
{
	for (size_t i = 0; i < value->n; i++)
		if ((unsigned char)value->p[i] < ' ' || value->p[i] == 127)
			return false;
	return true;
}

static const struct xattr_rule {
	bool (*valid)(struct buf *value); /* may put it into standard form */
	const char *why;
} xattr_rules[XATTR_COUNT] = {
	[XATTR_ADDR] = { valid_address, "Bad address syntax" },
	[XATTR_DESTADDR] = { valid_address, "Bad address syntax" },
	[XATTR_DESTPORT] = { valid_port, "Bad port syntax" },
	[XATTR_HELO] = { valid_text, "Bad HELO syntax" },
	[XATTR_IDENT] = { valid_text, "Bad IDENT syntax" },
	[XATTR_LOGIN] = { valid_login, "Bad LOGIN syntax" },
	[XATTR_NAME] = { valid_name, "Bad hostname syntax" },
	[XATTR_PORT] = { valid_port, "Bad port syntax" },
	[XATTR_PROTO] = { valid_proto, "Bad protocol syntax" },
	[XATTR_REVERSE_NAME] = { valid_name, "Bad hostname syntax" },
	[XATTR_SOURCE] = { valid_source, "Bad SOURCE value" },
};

static int refuse(const char **why, const char *text)
{
	*why = text;
	return -1;
}

int xattr_parse(struct str word, enum xattr *which, enum xvalue *kind, struct buf *value, const char **why)
{
	struct str rest = word, name = str_cut(&rest, '=');
	unsigned i = 0;

	buf_clear(value);
	if (name.n == word.n)
		return refuse(why, "Error: attribute=value expected");
	while (i < XATTR_COUNT && !str_eqiz(name, xattr_names[i]))
		i++;
	if (i == XATTR_COUNT)
		return refuse(why, "Bad attribute name");
	*which = (enum xattr)i;
	if (!addr_xtext_decode(value, rest) || value->n == 0)
		return refuse(why, "Bad attribute value syntax");
	if (value->n > XATTR_MAX)
		return refuse(why, "attribute value too long");
	*kind = XVALUE_GIVEN;
	if (str_eqiz(buf_str(value), "[UNAVAILABLE]"))
		*kind = XVALUE_UNAVAILABLE;
	else if (str_eqiz(buf_str(value), "[TEMPUNAVAIL]"))
		*kind = XVALUE_TEMPUNAVAIL;
	else if (!xattr_rules[i].valid(value))
		return refuse(why, xattr_rules[i].why);
	return 0;
}

/* ---- both commands ---- */

static int may_speak(struct session *s, bool allowed, unsigned hidden, struct str args, const char *verb)
{
	if (s->t.open)
		return session_reply(s, CODE(503, 5, 5, 1), "Error: MAIL transaction in progress");
	if (args.n == 0)
		return session_reply(s, CODE_SYNTAX, "Syntax: %s attribute=value...", verb);
	if (!allowed || (s->ehlo_discard & hidden))
		return session_reply(s, CODE(550, 5, 7, 0), "Error: insufficient authorization");
	return 0;
}

typedef bool take_fn(struct session *s, enum xattr which, enum xvalue kind, struct str value, void *ctx); /* false: not for this verb */

static int take_all(struct session *s, struct str args, take_fn *take, void *ctx)
{
	struct buf value = { 0 };
	int rc = 0;

	for (struct str w = str_word(&args, " \t"); w.n > 0 && rc == 0; w = str_word(&args, " \t")) {
		enum xattr which = XATTR_ADDR;
		enum xvalue kind = XVALUE_GIVEN;
		const char *why = "Bad attribute name";

		if (xattr_parse(w, &which, &kind, &value, &why) < 0)
			rc = session_reply(s, CODE_SYNTAX, "%s: %.*s", why, STRF(w));
		else if (!take(s, which, kind, kind == XVALUE_GIVEN ? arena_dup(s->life, buf_str(&value)) : STR_NONE, ctx))
			rc = session_reply(s, CODE_SYNTAX, "Bad attribute name: %.*s", STRF(w));
	}
	buf_done(&value);
	return rc;
}

/* ---- XCLIENT ---- */

struct new_client {
	struct client client;
	struct str helo, login, server_addr, server_port;
	bool esmtp;
	bool reverse_given;
};

static void set_name(struct client *c, enum xvalue kind, struct str value)
{
	c->name = kind == XVALUE_GIVEN ? value : STR("unknown");
	c->name_status = kind == XVALUE_GIVEN ? NAME_OK : kind == XVALUE_TEMPUNAVAIL ? NAME_TEMP : NAME_PERM;
}

static void set_reverse(struct client *c, enum xvalue kind, struct str value)
{
	c->reverse = kind == XVALUE_GIVEN ? value : STR("unknown");
	c->reverse_status = kind == XVALUE_GIVEN ? NAME_OK : kind == XVALUE_TEMPUNAVAIL ? NAME_TEMP : NAME_PERM;
}

static bool take_xclient(struct session *s, enum xattr which, enum xvalue kind, struct str value, void *ctx)
{
	struct new_client *n = ctx;
	bool given = kind == XVALUE_GIVEN;

	switch (which) {
	case XATTR_NAME:
		set_name(&n->client, kind, value);
		if (!n->reverse_given)
			set_reverse(&n->client, kind, value);
		return true;
	case XATTR_REVERSE_NAME:
		n->reverse_given = true;
		set_reverse(&n->client, kind, value);
		return true;
	case XATTR_ADDR:
		n->client.addr = given ? value : STR("unknown");
		return true;
	case XATTR_PORT:
		n->client.port = given ? value : STR("unknown");
		return true;
	case XATTR_HELO:
		n->helo = value;
		return true;
	case XATTR_PROTO:
		n->esmtp = given && str_eqiz(value, "ESMTP");
		return true;
	case XATTR_LOGIN:
		n->login = value;
		return true;
	case XATTR_DESTADDR:
		n->server_addr = given ? value : s->server_addr;
		return true;
	case XATTR_DESTPORT:
		n->server_port = given ? value : s->server_port;
		return true;
	case XATTR_IDENT:
	case XATTR_SOURCE:
	case XATTR_COUNT:
		break;
	}
	return false;
}

/* State is back to just-connected, with another client: the greeting follows, and filters meet the new one in a new session. */
static int become(struct session *s, const struct new_client *n)
{
	session_forget_mail(s);
	session_milter_close(s);
	s->client = n->client;
	s->helo = n->helo;
	s->esmtp = n->esmtp;
	s->server_addr = n->server_addr;
	s->server_port = n->server_port;
	s->sasl_user = n->login;
	s->sasl_method = n->login.n > 0 ? STR("XCLIENT") : STR_NONE;
	memset(&s->client_deferral, 0, sizeof s->client_deferral);
	session_name_client(s, s->life);
	return session_greet(s);
}

int cmd_xclient(struct session *s, struct str args)
{
	struct new_client n = { .client = s->client, .helo = STR_NONE, .login = s->sasl_user, .server_addr = s->server_addr,
		.server_port = s->server_port };

	if (may_speak(s, s->xclient_allowed, HIDE_XCLIENT, args, "XCLIENT") < 0 || take_all(s, args, take_xclient, &n) < 0)
		return -1;
	return become(s, &n);
}

/* ---- XFORWARD ---- */

static bool take_xforward(struct session *s, enum xattr which, enum xvalue kind, struct str value, void *ctx)
{
	struct xforward *x = ctx;

	(void)s; /* nothing of the session changes */
	(void)kind;
	switch (which) {
	case XATTR_NAME:
		x->name = value;
		return true;
	case XATTR_ADDR:
		x->addr = value;
		return true;
	case XATTR_PORT:
		x->port = value;
		return true;
	case XATTR_PROTO:
		x->proto = value;
		return true;
	case XATTR_HELO:
		x->helo = value;
		return true;
	case XATTR_IDENT:
		x->ident = value;
		return true;
	case XATTR_SOURCE:
		x->local = str_eqiz(value, "LOCAL");
		return true;
	case XATTR_LOGIN:
	case XATTR_REVERSE_NAME:
	case XATTR_DESTADDR:
	case XATTR_DESTPORT:
	case XATTR_COUNT:
		break;
	}
	return false;
}

/* Several XFORWARD commands add up until the message is done. */
int cmd_xforward(struct session *s, struct str args)
{
	struct xforward x = s->xforward;

	if (may_speak(s, s->xforward_allowed, HIDE_XFORWARD, args, "XFORWARD") < 0 || take_all(s, args, take_xforward, &x) < 0)
		return -1;
	x.given = true;
	s->xforward = x;
	return session_reply(s, CODE(250, 2, 0, 0), "Ok");
}
