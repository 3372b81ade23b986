/* mta/smtp/connect.c - the life of a session: connection, greeting, and its end. */
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/metrics.h"
#include "lib/net/fiber.h"
#include "lib/net/tls.h"
#include "mta/smtp/smtp.h"

#define SMTP_PORT 25
#define QUIT_MS 5000 /* for a QUIT whose reply is not waited for */

/* ---- dialogue ---- */

int session_flush(struct session *s, struct arena *a, int64_t timeout_ms, const char *during, struct failure *why)
{
	int r = stream_flush(s->io, deadline_in(timeout_ms));

	if (r == STREAM_OK)
		return 0;
	s->broken = true;
	failure_broken(a, s, r, NULL, during, why);
	return -1;
}

/* smtp_reply_filter: this line is to be taken for another. */
static void filter_reply(struct buf *line)
{
	struct buf other = { 0 };
	struct err e = ERR_INIT;

	switch (tables_lookup(&cfg->reply_filter, buf_str(line), &other, &e)) {
	case TABLE_FOUND:
		buf_clear(line);
		buf_add(line, buf_str(&other));
		break;
	case TABLE_FAILED:
		log_warn("%s", e.text);
		break;
	case TABLE_MISSING:
		break;
	}
	buf_done(&other);
}

int session_read(struct session *s, struct arena *a, int64_t timeout_ms, const char *during, struct failure *why)
{
	struct err e;
	int result;

	s->reply.filter = cfg->reply_filter.count > 0 ? filter_reply : NULL;
	if (smtp_reply_read(s->io, &s->reply, deadline_in(timeout_ms), &result, &e) == 0) {
		if (s->reply.code.smtp == 421) /* RFC 5321 section 3.8: the server is about to close */
			s->broken = true;
		return 0;
	}
	s->broken = true;
	failure_broken(a, s, result, &e, during, why);
	return -1;
}

/* ---- the end ---- */

static void free_reply(void *arg)
{
	smtp_reply_done(arg);
}

static void close_stream(void *arg)
{
	struct session *s = arg;

	stream_close(s->io);
}

void session_close(struct session *s)
{
	arena_free(s->life);
}

static void wait_for_goodbye(void *arg)
{
	struct session *s = arg;
	struct failure ignored;

	if (session_flush(s, s->life, cfg->quit_ms, "sending QUIT", &ignored) == 0)
		session_read(s, s->life, cfg->quit_ms, "sending QUIT", &ignored);
	session_close(s);
}

void session_quit(struct session *s)
{
	if (s->broken || stream_write(s->io, STR("QUIT\r\n"), deadline_in(QUIT_MS)) != STREAM_OK) {
		session_close(s);
	} else if (cfg->skip_quit_response) {
		stream_flush(s->io, deadline_in(QUIT_MS));
		session_close(s);
	} else {
		fiber_start("smtp quit", wait_for_goodbye, s);
	}
}

/* ---- the beginning ---- */

/* The last part of a connect error is the system's reason. */
static const char *system_reason(const struct err *e)
{
	const char *at = e->text;

	for (const char *p = e->text; (p = strstr(p, ": ")) != NULL; p += 2)
		at = p + 2;
	return at;
}

static struct session *session_new(const struct server *server, bool local)
{
	struct arena *life = arena_new("smtp session");
	struct session *s = arena_alloc(life, sizeof *s);
	struct buf ip = { 0 };

	s->life = life;
	s->host = arena_dup(life, server->host);
	s->addr = server->addr;
	sock_addr_text(&server->addr, &ip);
	s->peer = arena_printf(life, "%.*s[%s]", STRF(s->host), buf_z(&ip));
	s->relay = local ? s->peer : arena_printf(life, "%.*s:%u", STRF(s->peer), (unsigned)sock_addr_port(&server->addr));
	s->born_at = clock_mono_ms();
	list_init(&s->link);
	arena_defer(life, free_reply, &s->reply);
	buf_done(&ip);
	return s;
}

/* The address to send from; where it need not be enforced and cannot be used, any. */
static struct stream *connect_from(const struct session *s, const struct sock_addr *from, struct err *e)
{
	int64_t deadline = deadline_in(cfg->connect_ms);

	if (from == NULL || sock_can_bind(from, e))
		return sock_connect(&s->addr, from, deadline, e);
	log_warn("%s", e->text);
	return cfg->bind_enforce ? NULL : sock_connect(&s->addr, NULL, deadline, e);
}

static int connect_to(struct session *s, struct arena *scratch, struct failure *why)
{
	bool v6 = s->addr.u.sa.sa_family == AF_INET6, v4 = s->addr.u.sa.sa_family == AF_INET;
	const struct sock_addr *from = v6 && cfg->has_bind6 ? &cfg->bind6 : v4 && cfg->has_bind4 ? &cfg->bind4 : NULL;
	struct err e;

	s->io = connect_from(s, from, &e);
	if (s->io != NULL) {
		arena_defer(s->life, close_stream, s);
		return 0;
	}
	failure_local(scratch, CODE(0, 4, 4, 1), why, "connect to %.*s: %s", STRF(s->relay), system_reason(&e));
	log_info("%.*s", STRF(why->text));
	return -1;
}

static bool is_loop_suspect(const struct session *s)
{
	return !cfg->lmtp && s->addr.u.sa.sa_family != AF_UNIX && sock_addr_port(&s->addr) == SMTP_PORT;
}

static int greet(struct session *s, struct arena *a, const struct nexthop *hop, bool best_mx, const struct security *sec,
	struct failure *why, bool *refused_tls)
{
	if (cfg->tls_wrapper && session_starttls(s, a, hop, sec, false, why, refused_tls) < 0)
		return -1;
	if (session_hello(s, a, is_loop_suspect(s), best_mx, why) < 0)
		return -1;
	if (!cfg->tls_wrapper && sec->level > TLS_NONE) {
		if (session_starttls(s, a, hop, sec, true, why, refused_tls) < 0)
			return -1;
		if (stream_tls(s->io) != NULL && session_ehlo(s, a, false, best_mx, why) < 0)
			return -1;
	}
	if (sec->level == TLS_NONE && cfg->tls_note_offer && (s->offers & OFFER_STARTTLS))
		log_info("Host offered STARTTLS: [%.*s]", STRF(s->host));
	return sec->sasl_user.n > 0 && (s->offers & OFFER_AUTH) ? session_login(s, a, sec, why) : 0;
}

static void count_session(const struct session *s, const struct security *sec)
{
	const struct tls *t = stream_tls(s->io);

	metric_count(METRIC_DELIVERY_TLS, t != NULL ? tls_protocol(t) : "none", sec->by_sts ? "sts" : tls_level_word(sec->level), NULL);
}

struct session *session_open(struct arena *scratch, const struct nexthop *hop, const struct server *server, bool best_mx,
	const struct security *sec, struct failure *why, bool *refused_tls)
{
	struct session *s = session_new(server, hop->local);
	struct str key = cache_key(scratch, hop, sec);

	*refused_tls = false;
	s->key = arena_dup(s->life, key);
	s->server_key = arena_dup(s->life, cache_server_key(scratch, server, sec));
	s->keep_tls = !str_eqiz(sec->reuse, "no");
	if (connect_to(s, scratch, why) == 0 && greet(s, scratch, hop, best_mx, sec, why, refused_tls) == 0) {
		count_session(s, sec);
		return s;
	}
	if (s->io != NULL) {
		why->relay = arena_dup(scratch, s->relay);
		why->host = arena_dup(scratch, s->host);
		session_quit(s);
	} else {
		session_close(s);
	}
	return NULL;
}
