/* mta/smtpd/cmd_auth.c - AUTH: RFC 4954. Dovecot's authentication server does the looking up; one connection to it for each exchange. */
#include "mta/smtpd/cmd_auth.h"

#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/net/sock.h"
#include "mta/smtpd/limit.h"
#include "mta/smtpd/milter.h"
#include "mta/smtpd/settings.h"

#define SERVER_PATIENCE_MS 10000  /* handshake */
#define ANSWER_PATIENCE_MS 100000 /* passwords may be looked up far away, and failures are delayed on purpose */
#define SERVER_LINE_MAX 16384
#define SERVER_LINES_MAX 200
#define CODE_TEMP CODE(454, 4, 7, 0)

enum { /* properties of mechanisms, as the server announces and the *_security_options forbid them */
	MECH_ANONYMOUS = 1,
	MECH_PLAINTEXT = 2,
	MECH_DICTIONARY = 4,
	MECH_ACTIVE = 8,
	MECH_FORWARD_SECRECY = 16,
	MECH_MUTUAL = 32,
	MECH_PRIVATE = 64
};

static const struct mech_word {
	const char *flag;   /* MECH line */
	const char *option; /* smtpd_sasl_security_options */
	unsigned bit;
	bool wanted;        /* the option demands the property instead of forbidding it */
} mech_words[] = {
	{ "anonymous", "noanonymous", MECH_ANONYMOUS, false },
	{ "plaintext", "noplaintext", MECH_PLAINTEXT, false },
	{ "dictionary", "nodictionary", MECH_DICTIONARY, false },
	{ "active", "noactive", MECH_ACTIVE, false },
	{ "forward-secrecy", "forward_secrecy", MECH_FORWARD_SECRECY, true },
	{ "mutual-auth", "mutual_auth", MECH_MUTUAL, true },
	{ "private", "", MECH_PRIVATE, false },
};

/* ---- the server ---- */

struct auth_server {
	struct stream *io;
	struct buf line;
	struct buf mechanisms; /* "PLAIN LOGIN": those that may be used here */
};

static void server_close(struct auth_server *a)
{
	stream_close(a->io);
	buf_done(&a->line);
	buf_done(&a->mechanisms);
}

static bool forbidden(unsigned properties, struct str options)
{
	if (properties & MECH_PRIVATE)
		return true;
	for (struct str w = str_word(&options, ", \t\r\n"); w.n > 0; w = str_word(&options, ", \t\r\n"))
		for (size_t i = 0; i < sizeof mech_words / sizeof *mech_words; i++)
			if (str_eqiz(w, mech_words[i].option) && mech_words[i].wanted != ((properties & mech_words[i].bit) != 0))
				return true;
	return false;
}

static void take_mechanism(struct session *s, struct auth_server *a, struct str fields)
{
	struct str name = str_cut(&fields, '\t');
	unsigned properties = 0;

	while (fields.n > 0) {
		struct str flag = str_cut(&fields, '\t');

		for (size_t i = 0; i < sizeof mech_words / sizeof *mech_words; i++)
			if (str_eqz(flag, mech_words[i].flag))
				properties |= mech_words[i].bit;
	}
	if (name.n == 0 || str_eqiz(name, "EXTERNAL"))
		return;
	if (!forbidden(properties, str_z(stream_tls(s->io) != NULL ? cf.sasl_tls_options : cf.sasl_options)))
		buf_addf(&a->mechanisms, "%s%.*s", a->mechanisms.n ? " " : "", STRF(name));
}

static int server_line(struct auth_server *a, int64_t by, struct str *line)
{
	int rc = stream_read_line(a->io, &a->line, SERVER_LINE_MAX, by);

	*line = str_trim(buf_str(&a->line));
	return rc;
}

static int handshake(struct session *s, struct auth_server *a, struct err *e)
{
	int64_t by = deadline_in(SERVER_PATIENCE_MS);
	struct str line;

	stream_printf(a->io, by, "VERSION\t1\t0\nCPID\t%d\n", (int)getpid());
	if (stream_flush(a->io, by) < 0)
		return err_temp(e, "%s", stream_strerror(STREAM_EOF, a->io));
	for (int i = 0; i < SERVER_LINES_MAX; i++) {
		int rc = server_line(a, by, &line);
		struct str fields = line, word;

		if (rc != STREAM_OK)
			return err_temp(e, "%s", stream_strerror((enum stream_result)rc, a->io));
		word = str_cut(&fields, '\t');
		if (str_eqz(word, "VERSION") && !str_eqz(str_cut(&fields, '\t'), "1"))
			return err_temp(e, "unknown protocol version");
		if (str_eqz(word, "SPID") && a->mechanisms.n == 0)
			return err_temp(e, "this is not a client socket of the authentication server");
		if (str_eqz(word, "MECH"))
			take_mechanism(s, a, fields);
		if (str_eqz(word, "DONE"))
			return 0;
	}
	return err_temp(e, "endless greeting");
}

static int server_open(struct session *s, struct auth_server *a, struct err *e)
{
	struct buf endpoint = { 0 };

	memset(a, 0, sizeof *a);
	if (strncmp(cf.sasl_path, "inet:", 5) == 0 || strncmp(cf.sasl_path, "unix:", 5) == 0)
		buf_addz(&endpoint, cf.sasl_path);
	else
		buf_addf(&endpoint, "unix:%s", cf.sasl_path);
	a->io = sock_connect_endpoint(buf_str(&endpoint), deadline_in(SERVER_PATIENCE_MS), e);
	buf_done(&endpoint);
	if (a->io == NULL)
		return -1;
	if (handshake(s, a, e) == 0)
		return 0;
	server_close(a);
	return -1;
}

bool auth_mechanisms(struct session *s, struct buf *out)
{
	struct auth_server a;
	struct err e = ERR_INIT;

	if (!cf.sasl_enable || (cf.tls_auth_only && stream_tls(s->io) == NULL))
		return false;
	if (matchlist_addr(cf.sasl_exceptions, s->client.addr, &e) == TABLE_FOUND)
		return false;
	if (server_open(s, &a, &e) < 0) {
		log_warn("SASL: connect to %s: %s", cf.sasl_path, e.text);
		return false;
	}
	buf_add(out, buf_str(&a.mechanisms));
	server_close(&a);
	return out->n > 0;
}

/* ---- one exchange ---- */

static bool is_base64(struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '+' || c == '/' || c == '='))
			return false;
	}
	return true;
}

static bool mechanism_usable(const struct auth_server *a, struct str name)
{
	struct str rest = buf_str(&a->mechanisms);

	for (struct str w = str_word(&rest, " "); w.n > 0; w = str_word(&rest, " "))
		if (str_eqi(w, name))
			return true;
	return false;
}

/* "name=value" among the tab-separated fields of OK and FAIL. */
static struct str field(struct str fields, const char *name)
{
	while (fields.n > 0) {
		struct str value = str_cut(&fields, '\t');
		struct str key = str_cut(&value, '=');

		if (str_eqz(key, name))
			return value;
	}
	return STR_NONE;
}

static bool has_field(struct str fields, const char *name)
{
	while (fields.n > 0) {
		struct str value = str_cut(&fields, '\t');

		if (str_eqz(str_cut(&value, '='), name))
			return true;
	}
	return false;
}

static void log_failure(struct session *s, struct str mechanism, struct str reason, struct str user)
{
	log_warn("%.*s: SASL %.*s authentication failed: %.*s, sasl_username=%.*s", STRF(s->client.namaddr), STRF(mechanism), STRF(reason),
		STRF(user));
}

static int lost_server(struct session *s, struct str mechanism)
{
	log_failure(s, mechanism, STR("Connection lost to authentication server"), STR("(unavailable)"));
	return session_reply(s, CODE_TEMP, "Temporary authentication failure: Connection lost to authentication server");
}

static int failed(struct session *s, struct str mechanism, struct str fields)
{
	struct str reason = field(fields, "reason"), user = field(fields, "user");

	if (user.n == 0)
		user = STR("(unavailable)");
	if (reason.n == 0)
		reason = STR("(reason unavailable)");
	log_failure(s, mechanism, reason, user);
	if (has_field(fields, "temp"))
		return session_reply(s, CODE_TEMP, "Temporary authentication failure: %.*s", STRF(reason));
	return session_reply(s, CODE(535, 5, 7, 8), "Error: authentication failed: %.*s", STRF(reason));
}

static int succeeded(struct session *s, struct str mechanism, struct str fields)
{
	struct str user = field(fields, "user");

	if (user.n == 0)
		return lost_server(s, mechanism);
	s->sasl_user = arena_dup(s->life, user);
	s->sasl_method = arena_dup(s->life, mechanism);
	return session_reply(s, CODE(235, 2, 7, 0), "Authentication successful");
}

/* The server's challenge goes to the client, its response back. 0, or -1 when the exchange is over and answered. */
static int relay_challenge(struct session *s, struct auth_server *a, struct str challenge)
{
	struct buf response = { 0 };
	int rc, result = -1;

	session_reply_plain(s, 334, challenge);
	if (stream_flush(s->io, session_deadline(s)) < 0) {
		s->closed = true;
		return -1;
	}
	rc = stream_read_line(s->io, &response, (size_t)cf.sasl_response_limit + 2, session_deadline(s));
	if (rc == STREAM_TOO_LONG) {
		s->hangup = true; /* the rest of the response would be taken for commands */
		session_reply(s, CODE(500, 5, 5, 6), "SASL response limit exceeded");
	} else if (rc != STREAM_OK) {
		s->closed = true;
	} else if (str_eqz(str_trim(buf_str(&response)), "*")) {
		session_reply(s, CODE(501, 5, 7, 0), "Authentication aborted");
	} else if (!is_base64(str_trim(buf_str(&response)))) {
		session_reply(s, CODE(501, 5, 5, 2), "Error: invalid base64 data in response");
	} else {
		struct str text = str_trim(buf_str(&response));

		stream_printf(a->io, deadline_in(SERVER_PATIENCE_MS), "CONT\t1\t%.*s\n", STRF(text));
		result = 0;
	}
	buf_done(&response);
	return result;
}

static void send_request(struct session *s, struct auth_server *a, struct str mechanism, struct str initial, bool given)
{
	struct buf b = { 0 };

	buf_addf(&b, "AUTH\t1\t%.*s\tservice=%s\tnologin\tlip=%.*s\trip=%.*s", STRF(mechanism), cf.sasl_service, STRF(s->server_addr),
		STRF(s->client.addr));
	if (stream_tls(s->io) != NULL)
		buf_addz(&b, "\tsecured");
	if (given)
		buf_addf(&b, "\tresp=%.*s", STRF(initial));
	buf_addc(&b, '\n');
	stream_write(a->io, buf_str(&b), deadline_in(SERVER_PATIENCE_MS));
	buf_done(&b);
}

static int exchange(struct session *s, struct auth_server *a, struct str mechanism)
{
	for (;;) {
		struct str fields, word;

		if (stream_flush(a->io, deadline_in(SERVER_PATIENCE_MS)) < 0 ||
			server_line(a, deadline_in(ANSWER_PATIENCE_MS), &fields) != STREAM_OK)
			return lost_server(s, mechanism);
		word = str_cut(&fields, '\t');
		if (!str_eqz(str_cut(&fields, '\t'), "1"))
			continue; /* news about something else */
		if (str_eqz(word, "OK"))
			return succeeded(s, mechanism, fields);
		if (str_eqz(word, "FAIL"))
			return failed(s, mechanism, fields);
		if (!str_eqz(word, "CONT"))
			continue;
		if (!is_base64(fields))
			return lost_server(s, mechanism); /* what it says goes to the client as it is */
		if (relay_challenge(s, a, fields) < 0)
			return -1;
	}
}

/* ---- the command ---- */

static int may_authenticate(struct session *s, struct str mechanism)
{
	if (cf.helo_required && s->helo.n == 0)
		return session_reply(s, CODE(503, 5, 5, 1), "Error: send HELO/EHLO first");
	if (!cf.sasl_enable || (s->ehlo_discard & HIDE_AUTH))
		return session_reply(s, CODE(503, 5, 5, 1), "Error: authentication not enabled");
	if (session_milter_other(s, true) < 0)
		return session_reply_with(s, &s->ruling);
	if (s->t.open)
		return session_reply(s, CODE(503, 5, 5, 1), "Error: MAIL transaction in progress");
	if (cf.tls_auth_only && stream_tls(s->io) == NULL)
		return session_reply(s, CODE(538, 5, 7, 11), "Encryption required for requested authentication mechanism");
	if (s->sasl_user.n > 0)
		return session_reply(s, CODE(503, 5, 5, 1), "Error: already authenticated");
	if (mechanism.n == 0)
		return session_reply(s, CODE(501, 5, 5, 4), "Syntax: AUTH mechanism");
	if (!s->exempt && !limit_auth(s))
		return session_reply(s, CODE(450, 4, 7, 1), "Error: too many AUTH commands from %.*s", STRF(s->client.addr));
	return 0;
}

static int authenticate(struct session *s, struct auth_server *a, struct str mechanism, struct str initial)
{
	bool given = initial.n > 0;

	if (!mechanism_usable(a, mechanism)) {
		log_failure(s, mechanism, STR("Invalid authentication mechanism"), STR("(unavailable)"));
		return session_reply(s, CODE(535, 5, 7, 8), "Error: authentication failed: Invalid authentication mechanism");
	}
	if (str_eqz(initial, "="))
		initial = STR_NONE;
	if (!is_base64(initial))
		return session_reply(s, CODE(501, 5, 5, 2), "Error: invalid base64 data in response");
	send_request(s, a, mechanism, initial, given);
	return exchange(s, a, mechanism);
}

int cmd_auth(struct session *s, struct str args)
{
	struct str mechanism = str_word(&args, " \t"), initial = str_word(&args, " \t");
	struct auth_server a;
	struct err e = ERR_INIT;
	int rc;

	if (may_authenticate(s, mechanism) < 0)
		return -1;
	if (str_trim(args).n > 0)
		return session_reply(s, CODE(501, 5, 5, 4), "Syntax: AUTH mechanism");
	if (server_open(s, &a, &e) < 0) {
		log_warn("SASL: connect to %s: %s", cf.sasl_path, e.text);
		return lost_server(s, mechanism);
	}
	rc = authenticate(s, &a, mechanism, initial);
	server_close(&a);
	return rc;
}
