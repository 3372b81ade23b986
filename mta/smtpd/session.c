/* mta/smtpd/session.c - the life of one SMTP session: greeting, the command loop and its rules, the goodbye. RFC 5321 section 4.1.
 *
 * Everything a stranger sends arrives here first: a command line is bounded by line_length_limit, judged (UTF-8, forbidden words,
 * pipelining, TLS demanded, client refused) and then given to its verb. Verbs are rows of verbs[].
 */
#include "mta/smtpd/session.h"

#include <ctype.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/metrics.h"
#include "lib/base/utf8.h"
#include "lib/net/dns.h"
#include "lib/net/fiber.h"
#include "lib/service/service.h"
#include "mta/smtpd/crowd.h"
#include "mta/smtpd/early.h"
#include "mta/smtpd/limit.h"
#include "mta/smtpd/milter.h"
#include "mta/smtpd/proxy.h"
#include "mta/smtpd/settings.h"
#include "mta/smtpd/transcript.h"
#include "mta/smtpd/story.h"

#define DNS_PATIENCE_MS 30000
#define CODE_TIMEOUT CODE(421, 4, 4, 2)
#define CODE_TOO_MANY CODE(421, 4, 7, 0)
#define CODE_BAD_SYNTAX CODE(500, 5, 5, 2)

/* The order is that of the counters in the "disconnect" line. */
const struct verb verbs[VERB_COUNT] = {
	{ "HELO", VERB_PRE_TLS | VERB_SYNC | VERB_LIMIT, cmd_helo },
	{ "EHLO", VERB_PRE_TLS | VERB_SYNC | VERB_LIMIT, cmd_ehlo },
	{ "XCLIENT", VERB_PRE_TLS | VERB_LIMIT, cmd_xclient },
	{ "XFORWARD", VERB_LIMIT, cmd_xforward },
	{ "STARTTLS", VERB_PRE_TLS | VERB_LIMIT, cmd_starttls },
	{ "AUTH", 0, cmd_auth },
	{ "MAIL", 0, cmd_mail },
	{ "RCPT", 0, cmd_rcpt },
	{ "DATA", VERB_SYNC, cmd_data },
	{ "BDAT", 0, cmd_bdat },
	{ "RSET", VERB_LIMIT, cmd_rset },
	{ "NOOP", VERB_PRE_TLS | VERB_SYNC | VERB_LIMIT, cmd_noop },
	{ "VRFY", VERB_SYNC | VERB_LIMIT, cmd_vrfy },
	{ "ETRN", VERB_LIMIT, cmd_etrn },
	{ "QUIT", VERB_PRE_TLS, cmd_quit },
	{ "UNKNOWN", 0, NULL }, /* counts what is none of the above */
};

#define VERB_UNKNOWN 15

/* ---- small services for the commands ---- */

struct arena *session_scratch(struct session *s)
{
	if (s->scratch == NULL)
		s->scratch = arena_new("smtpd command");
	return s->scratch;
}

void str_list_add(struct arena *a, struct str_list *l, struct str str)
{
	if (l->count == l->cap) {
		size_t cap = l->cap ? 2 * l->cap : 4;
		struct str *v = arena_alloc(a, cap * sizeof *v);

		if (l->count > 0)
			memcpy(v, l->v, l->count * sizeof *v);
		l->v = v;
		l->cap = cap;
	}
	l->v[l->count++] = arena_dup(a, str);
}

int64_t session_deadline(struct session *s)
{
	if (s->deadline != 0)
		return s->deadline;
	return deadline_in(cf.timeout_ms);
}

void session_forget_mail(struct session *s)
{
	session_milter_abort(s);
	arena_reset(s->mail);
	memset(&s->t, 0, sizeof s->t);
	memset(&s->xforward, 0, sizeof s->xforward);
	memset(&s->defer_if_permit, 0, sizeof s->defer_if_permit);
	memset(&s->defer_if_reject, 0, sizeof s->defer_if_reject);
}

void session_forget_helo(struct session *s)
{
	session_milter_forget_helo(s);
	s->helo = STR_NONE;
	memset(&s->helo_deferral, 0, sizeof s->helo_deferral);
}

void session_name_client(struct session *s, struct arena *a)
{
	struct client *c = &s->client;
	struct ip ip;

	c->v6 = ip_parse(c->addr, &ip) && !ip.v4;
	if (cf.port_logging)
		c->namaddr = arena_printf(a, "%.*s[%.*s]:%.*s", STRF(c->name), STRF(c->addr), STRF(c->port));
	else
		c->namaddr = arena_printf(a, "%.*s[%.*s]", STRF(c->name), STRF(c->addr));
}

/* Input that came too early: sets and logs the violation. */
static void note_pipelining(struct session *s)
{
	struct buf shown = { 0 };

	s->bad_pipelining = true;
	if (s->pipelining_logged)
		return;
	s->pipelining_logged = true;
	session_show_input(s, &shown);
	log_info("improper command pipelining after %s from %.*s: %s", s->where, STRF(s->client.namaddr), buf_z(&shown));
	buf_done(&shown);
}

/* ---- who is there ---- */

static enum name_status reverse_status(struct str reverse, int answer)
{
	return !str_eqz(reverse, "unknown") ? NAME_OK : (enum name_status)answer;
}

static void look_up_client(struct session *s)
{
	struct client *c = &s->client;
	int answer;

	if (!cf.peername_lookup)
		return;
	answer = dns_peer_name(s->life, c->addr, deadline_in(DNS_PATIENCE_MS), &c->name, &c->reverse);
	c->name_status = (enum name_status)answer;
	c->reverse_status = reverse_status(c->reverse, answer);
	if (answer != NAME_OK && c->reverse_status == NAME_OK) {
		log_warn("hostname %.*s does not resolve to address %.*s", STRF(c->reverse), STRF(c->addr));
		if (answer == NAME_PERM)
			c->name_status = NAME_FORGED;
	}
}

static void address_text(struct session *s, const struct sock_addr *a, struct str *addr, struct str *port)
{
	struct buf b = { 0 };

	sock_addr_text(a, &b);
	*addr = arena_dup(s->life, buf_str(&b));
	*port = arena_printf(s->life, "%u", (unsigned)sock_addr_port(a));
	buf_done(&b);
}

static void meet_client(struct session *s)
{
	address_text(s, &s->peer, &s->client.addr, &s->client.port);
	if (sock_local(stream_fd(s->io), &s->local) == 0)
		address_text(s, &s->local, &s->server_addr, &s->server_port);
	s->client.name = s->client.reverse = STR("unknown");
	s->client.name_status = s->client.reverse_status = NAME_PERM;
	session_name_client(s, s->life);
}

static bool client_listed(const struct session *s, const struct matchlist *m)
{
	struct err e = ERR_INIT;

	return matchlist_addr(m, s->client.addr, &e) == TABLE_FOUND || matchlist_host(m, s->client.name, &e) == TABLE_FOUND;
}

/* ---- greeting ---- */

static int greet_with_milters(struct session *s)
{
	struct reply *r = &s->milter_refusal;
	struct buf b = { 0 };
	int rc;

	session_milter_connect(s);
	if (r->code.smtp == 421) {
		buf_addf(&b, "%s Service unavailable - try again later", cf.myhostname);
		rc = session_reply_plain(s, 421, buf_str(&b));
	} else if (r->code.smtp >= 500) {
		s->errors++;
		buf_addf(&b, "%s ESMTP not accepting connections", cf.myhostname);
		rc = session_reply_plain(s, 554, buf_str(&b));
	} else {
		rc = session_reply_plain(s, 220, str_z(cf.banner));
	}
	buf_done(&b);
	return rc;
}

const struct wording *session_wording(const struct session *s)
{
	return s->early_refusal.code.smtp != 0 ? &cf.screened : &cf.usual;
}

int session_greet(struct session *s)
{
	const struct wording *w = session_wording(s);

	session_where(s, "CONNECT");
	story_session(s);
	s->xclient_allowed = client_listed(s, cf.xclient_hosts);
	s->ehlo_discard = w->ehlo_discard;
	if (w->ehlo_discard_maps.count > 0) {
		struct buf words = { 0 };
		struct err e = ERR_INIT;

		if (tables_lookup(&w->ehlo_discard_maps, s->client.addr, &words, &e) == TABLE_FOUND)
			s->ehlo_discard = ehlo_discard_parse(buf_str(&words));
		buf_done(&words);
	}
	s->access_denied = (struct reply){ { 0, 0, 0, 0 }, STR_NONE };
	s->milter_refusal = s->access_denied;
	s->local_rewrite = restrict_local_client(s);
	if (!cf.delay_reject && restrict_client(s) == CHECK_REJECT) {
		s->access_denied = (struct reply){ s->ruling.code, arena_dup(s->life, s->ruling.text) };
		s->errors++;
		return session_reply_with(s, &s->access_denied);
	}
	return greet_with_milters(s);
}

/* Too many at once, or too often: told before anything else is spent on this client. */
static bool within_limits(struct session *s)
{
	s->xforward_allowed = client_listed(s, cf.xforward_hosts);
	s->verp_allowed = client_listed(s, cf.verp_clients);
	if (s->exempt || s->limits_checked || limit_connect(s))
		return true;
	metric_count(METRIC_SMTPD_CONNECTIONS, "limited", NULL, NULL);
	session_reply(s, CODE_TOO_MANY, "%s Error: too many connections from %.*s", cf.myhostname, STRF(s->client.addr));
	return false;
}

/* ---- one command ---- */

static int verb_find(struct str name)
{
	for (int i = 0; i < VERB_UNKNOWN && verbs[i].name != NULL; i++)
		if (str_eqiz(name, verbs[i].name))
			return i;
	return VERB_UNKNOWN;
}

static bool verb_listed(struct str name, const struct str *words, size_t count, const struct tables *tables)
{
	struct buf value = { 0 };
	struct err e = ERR_INIT;
	bool found = false;

	for (size_t i = 0; i < count && !found; i++)
		found = str_eqi(name, words[i]);
	if (!found && tables->count > 0)
		found = tables_lookup(tables, name, &value, &e) == TABLE_FOUND;
	buf_done(&value);
	return found;
}

/* "Subject: x" as a command: somebody posts a message, through a proxy or a web form. */
static bool looks_like_header(struct str word)
{
	ptrdiff_t colon = str_chr(word, ':');

	for (ptrdiff_t i = 0; i < colon; i++)
		if (word.p[i] <= ' ' || word.p[i] > 126)
			return false;
	return colon > 0;
}

static int run_unknown(struct session *s, struct str name, struct str line)
{
	session_where(s, "UNKNOWN");
	if (looks_like_header(name) || verb_listed(name, cf.forbidden, cf.forbidden_count, &cf.forbidden_tables)) {
		log_warn("non-SMTP command from %.*s: %.*s", STRF(s->client.namaddr), STRF(line));
		s->hangup = true;
		session_reply(s, CODE(221, 2, 7, 0), "Error: I can break rules, too. Goodbye.");
		return -1;
	}
	if (s->access_denied.code.smtp != 0)
		return session_reply(s, CODE(503, 5, 7, 0), "Error: access denied for %.*s", STRF(s->client.namaddr));
	if (session_milter_unknown(s, line))
		return session_reply_with(s, &s->ruling);
	return session_reply(s, CODE_BAD_SYNTAX, "Error: command not recognized");
}

int session_refuse_early(struct session *s)
{
	s->hangup = true;
	return session_reply(s, CODE(554, 5, 5, 0), "Error: SMTP protocol synchronization");
}

/* RFC 2920 section 3.1: some commands must be the last of their group, and nothing may follow before ESMTP was agreed on. */
static bool early_input(struct session *s, const struct verb *v)
{
	if (s->esmtp && !(v->flags & VERB_SYNC))
		return false;
	if (stream_buffered(s->io) == 0)
		return false;
	note_pipelining(s);
	return cf.forbid_pipelining;
}

static int run_verb(struct session *s, const struct verb *v, struct str args)
{
	session_where(s, v->name);
	if (s->access_denied.code.smtp != 0 && v->run != cmd_quit)
		return session_reply(s, CODE(503, 5, 7, 0), "Error: access denied for %.*s", STRF(s->client.namaddr));
	if (cf.tls_level == TLS_LEVEL_ENCRYPT && stream_tls(s->io) == NULL && !(v->flags & VERB_PRE_TLS))
		return session_reply(s, CODE(530, 5, 7, 0), "Must issue a STARTTLS command first");
	if (early_input(s, v) && v->run != cmd_data) /* DATA: its restrictions may have a better reply */
		return session_refuse_early(s);
	return v->run(s, args);
}

static void count_command(struct session *s, int which, int rc)
{
	metric_count(METRIC_SMTPD_COMMANDS, verbs[which].name, rc == 0 ? "done" : "refused", NULL);
	s->all_count[which]++;
	if (rc == 0)
		s->ok_count[which]++;
	else if (rc < 0)
		s->errors++;
	if (which != VERB_UNKNOWN && (verbs[which].flags & VERB_LIMIT) && s->junk++ > (uint64_t)cf.junk_limit)
		s->errors++;
}

/* smtpd_command_filter may replace the line. */
static struct str filter_line(struct session *s, struct str line)
{
	struct buf value = { 0 };
	struct err e = ERR_INIT;

	if (cf.command_filter.count == 0)
		return line;
	if (tables_lookup(&cf.command_filter, line, &value, &e) == TABLE_FOUND)
		line = arena_dup(session_scratch(s), buf_str(&value));
	buf_done(&value);
	return line;
}

static void run_line(struct session *s, struct str line)
{
	struct str args, name;
	int which, rc;

	line = filter_line(s, line);
	transcript_command(s, line);
	if (cf.smtputf8 && !utf8_valid(line)) {
		s->errors++;
		session_reply(s, CODE_BAD_SYNTAX, "Error: bad UTF-8 syntax");
		return;
	}
	args = line;
	name = str_word(&args, " \t");
	if (name.n == 0) {
		s->errors++;
		session_reply(s, CODE_BAD_SYNTAX, "Error: bad syntax");
		return;
	}
	if ((cf.noop_verb_count > 0 || cf.noop_tables.count > 0) &&
		verb_listed(name, cf.noop_verbs, cf.noop_verb_count, &cf.noop_tables)) {
		session_reply(s, CODE(250, 2, 0, 0), "Ok");
		if (s->junk++ > (uint64_t)cf.junk_limit)
			s->errors++;
		return;
	}
	which = verb_find(name);
	rc = which == VERB_UNKNOWN ? run_unknown(s, name, line) : run_verb(s, &verbs[which], str_trim(args));
	count_command(s, which, rc);
}

/* ---- the loop ---- */

/* Nothing to do until the client speaks: send what is waiting and hold no memory meanwhile. */
static int before_waiting(struct session *s)
{
	if (stream_unsent(s->io) > 0 && stream_flush(s->io, session_deadline(s)) < 0)
		return -1;
	buf_done(&s->line);
	arena_free(s->scratch);
	s->scratch = NULL;
	return 0;
}

/* The rest of a line that was longer than line_length_limit. */
static int skip_line_rest(struct session *s)
{
	struct str view;
	int rc;

	while ((rc = stream_peek(s->io, &view, session_deadline(s))) == STREAM_OK) {
		ptrdiff_t lf = str_chr(view, '\n');

		stream_consume(s->io, lf < 0 ? view.n : (size_t)lf + 1);
		if (lf >= 0)
			break;
	}
	return rc;
}

/* Next command line into s->line, its line end removed. *bare: it ended in LF alone. STREAM_TOO_LONG: it was thrown away. */
static int read_line(struct session *s, bool *bare)
{
	int rc;

	s->deadline = cf.per_request_deadline ? deadline_in(cf.timeout_ms) : 0;
	if (stream_buffered(s->io) == 0 && before_waiting(s) < 0)
		return STREAM_EOF;
	rc = stream_read_line(s->io, &s->line, (size_t)cf.line_limit, session_deadline(s));
	if (rc == STREAM_TOO_LONG) {
		rc = skip_line_rest(s);
		return rc == STREAM_OK ? STREAM_TOO_LONG : rc;
	}
	if (rc != STREAM_OK)
		return rc;
	if (s->line.n > 0 && s->line.p[s->line.n - 1] == '\n')
		buf_truncate(&s->line, s->line.n - 1);
	*bare = s->line.n == 0 || s->line.p[s->line.n - 1] != '\r';
	if (!*bare)
		buf_truncate(&s->line, s->line.n - 1);
	return STREAM_OK;
}

static bool bare_newline_refused(struct session *s)
{
	s->bare_lf_seen = true;
	if (cf.bare_newline != BARE_REJECT || client_listed(s, cf.bare_exempt))
		return false;
	s->errors++;
	s->hangup = true;
	session_reply(s, CODE((short)cf.code_bare_newline, 5, 5, 2), "%s Error: bare <LF> received", cf.myhostname);
	return true;
}

static void say_stopping(struct session *s)
{
	session_reply(s, CODE(421, 4, 3, 2), "%s Service shutting down", cf.myhostname);
}

static bool draining(struct session *s)
{
	if (!service_stopping() || s->t.open || stream_buffered(s->io) > 0)
		return false;
	say_stopping(s);
	return true;
}

void session_end_badly(struct session *s, int rc)
{
	if (s->evicted) {
		session_reply(s, CODE(421, 4, 3, 2), "%s Error: too busy for a silent client", cf.myhostname);
		session_log_end(s, "ended to make room");
	} else if (rc == STREAM_TIMEOUT) {
		session_reply(s, CODE_TIMEOUT, "%s Error: timeout exceeded", cf.myhostname);
		session_log_end(s, "timeout");
	} else if (service_stopping()) {
		say_stopping(s);
	} else if (strcmp(s->where, "END-OF-MESSAGE") != 0 && strcmp(s->where, "QUIT") != 0) {
		session_log_end(s, "lost connection");
	}
}

static bool too_many_errors(struct session *s)
{
	if (s->errors < (uint64_t)cf.hard_error_limit)
		return false;
	session_reply(s, CODE_TOO_MANY, "%s Error: too many errors", cf.myhostname);
	session_log_end(s, "too many errors");
	return true;
}

static void command_loop(struct session *s)
{
	while (!s->hangup && !s->closed && !too_many_errors(s) && !draining(s)) {
		bool bare = false;
		int rc = read_line(s, &bare);
		int64_t began_us;
		struct str line;

		if (rc == STREAM_TOO_LONG) {
			s->errors++;
			session_reply(s, CODE_BAD_SYNTAX, "%s Error: command too long", cf.myhostname);
			continue;
		}
		if (rc != STREAM_OK) {
			session_end_badly(s, rc);
			return;
		}
		if (bare && bare_newline_refused(s))
			return;
		line = buf_str(&s->line);
		if (str_chr(line, '\0') >= 0) /* as Postfix: the rest of such a line does not exist */
			line.n = (size_t)str_chr(line, '\0');
		if (s->scratch != NULL)
			arena_reset(s->scratch);
		s->told = STR_NONE;
		began_us = clock_mono_us();
		run_line(s, line);
		story_command(s, line, began_us);
	}
	if (s->closed && !s->hangup)
		session_log_end(s, "lost connection");
}

/* Did the client speak before the greeting? A closed connection is readable too, but has nothing to say. */
static bool talks_first(struct session *s)
{
	struct str early;

	return stream_input_ready(s->io) && stream_peek(s->io, &early, deadline_in(0)) == STREAM_OK;
}

static void converse(struct session *s)
{
	s->exempt = client_listed(s, cf.xclient_hosts) || client_listed(s, cf.limit_exempt);
	if (cf.tls_wrappermode && session_handshake(s, true) < 0)
		return;
	if (!within_limits(s))
		return;
	if (!cf.tls_wrappermode && !s->early_judged && talks_first(s)) {
		note_pipelining(s);
		if (cf.forbid_pipelining) {
			session_refuse_early(s);
			return;
		}
	}
	session_greet(s);
	command_loop(s);
}

/* Whom early checks let go on for the log's sake only costs no questions to the DNS or to filters. */
static void serve_screened(struct session *s)
{
	bool refused = s->early_refusal.code.smtp != 0;

	if (!refused) {
		look_up_client(s);
		session_name_client(s, s->life);
		log_info("connect from %.*s", STRF(s->client.namaddr));
	}
	converse(s);
	session_forget_mail(s);
	session_milter_close(s);
	if (refused)
		early_goodbye(s);
	else
		session_log_disconnect(s);
}

static void serve_client(struct session *s)
{
	session_name_client(s, s->life);
	if (crowd_enter(s) && early_screen(s))
		serve_screened(s);
	crowd_leave(s);
}

void session_run(struct stream *io, const struct sock_addr *peer)
{
	struct arena *life = arena_new("smtpd session");
	struct session *s = arena_alloc(life, sizeof *s);
	int64_t began_us = clock_mono_us();

	metric_count(METRIC_SMTPD_CONNECTIONS, "all", NULL, NULL);
	metric_move(METRIC_SMTPD_SESSIONS, 1, NULL);
	s->life = life;
	s->mail = arena_new("smtpd mail");
	s->io = io;
	s->peer = *peer;
	queue_id_new(s->sid);
	fiber_set_tag(s->sid);
	session_where(s, "CONNECT");
	meet_client(s);
	if (*cf.proxy_protocol == '\0' || proxy_read(s) == 0)
		serve_client(s);
	limit_disconnect(s);
	if (!s->closed)
		stream_finish(io, deadline_in(cf.timeout_ms));
	metric_move(METRIC_SMTPD_SESSIONS, -1, NULL);
	metric_observe(METRIC_SMTPD_SESSION_SECONDS, (uint64_t)(clock_mono_us() - began_us), NULL, NULL);
	transcript_send(s);
	buf_done(&s->line);
	buf_done(&s->said);
	arena_free(s->scratch);
	arena_free(s->mail);
	arena_free(life);
}
