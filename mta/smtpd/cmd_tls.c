/* mta/smtpd/cmd_tls.c - STARTTLS: RFC 3207. What was said in clear text, by the client or by somebody on the way, is forgotten. */
#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/metrics.h"
#include "lib/net/tls.h"
#include "lib/service/service.h"
#include "mta/smtpd/limit.h"
#include "mta/smtpd/milter.h"
#include "mta/smtpd/session.h"
#include "mta/smtpd/settings.h"
#include "mta/smtpd/story.h"

#define TOO_MANY "Error: too many new TLS sessions from %.*s"

/* Handshakes cost more than anything else that a stranger can ask for. */
static bool too_many_sessions(struct session *s, const char *what)
{
	if (s->exempt || !limit_tls_reached(s))
		return false;
	log_warn("Refusing %s request from %.*s for service %s", what, STRF(s->client.namaddr), service_name());
	return true;
}

/* 0, or -1 when it was answered. */
static int may_start(struct session *s, struct str args)
{
	if (args.n > 0)
		return session_reply(s, CODE(501, 5, 5, 4), "Syntax: STARTTLS");
	if (session_milter_other(s, true) < 0)
		return session_reply_with(s, &s->ruling);
	if (cf.tls_level == TLS_LEVEL_NONE || (s->ehlo_discard & HIDE_STARTTLS))
		return session_reply(s, CODE(502, 5, 5, 1), "Error: command not implemented");
	if (stream_tls(s->io) != NULL)
		return session_reply(s, CODE(554, 5, 5, 1), "Error: TLS already active");
	return too_many_sessions(s, "STARTTLS") ? session_reply(s, CODE(454, 4, 7, 0), TOO_MANY, STRF(s->client.namaddr)) : 0;
}

static struct str keep(struct session *s, struct buf *b)
{
	struct str kept = arena_dup(s->life, buf_str(b));

	buf_done(b);
	return kept;
}

static void take_certificate(struct session *s, const struct tls *t)
{
	struct buf subject = { 0 }, issuer = { 0 }, cert = { 0 }, key = { 0 };

	memset(&s->ccert, 0, sizeof s->ccert);
	if (!tls_peer_names(t, &subject, &issuer) || !tls_peer_fingerprints(t, cf.tls_digest, &cert, &key))
		return;
	s->ccert = (struct ccert){ keep(s, &subject), keep(s, &issuer), keep(s, &cert), keep(s, &key), tls_trust(t) >= TLS_TRUSTED };
}

static void log_handshake(const struct session *s, const struct tls *t)
{
	const struct ccert *c = &s->ccert;
	struct buf how = { 0 };
	bool matched;
	struct str name = tls_server_name(t, &matched);

	if (name.n > 0 && !matched && cf.tls_by_name)
		log_info("TLS SNI %.*s from %.*s not matched, using default chain", STRF(name), STRF(s->client.namaddr));
	if (c->fingerprint.n > 0 && cf.tls_loglevel > 1)
		log_info("%.*s: subject_CN=%.*s, issuer=%.*s, fingerprint=%.*s, pkey_fingerprint=%.*s", STRF(s->client.namaddr),
			STRF(c->subject), STRF(c->issuer), STRF(c->fingerprint), STRF(c->key_fingerprint));
	if (matched)
		buf_addf(&how, " to %.*s", STRF(name));
	buf_addz(&how, ": ");
	tls_describe(t, " ", &how);
	log_info("%s TLS connection established from %.*s%s", tls_trust_word(t), STRF(s->client.namaddr), buf_z(&how));
	buf_done(&how);
}

/* smtpd_tls_req_ccert: where TLS is demanded, so is a certificate that we can check. */
static int require_certificate(struct session *s)
{
	const char *why = s->ccert.fingerprint.n == 0 ? "No client certificate presented" : "Client certificate not trusted";

	if (!cf.tls_req_ccert || s->ccert.trusted)
		return 0;
	session_where(s, "STARTTLS");
	log_info("NOQUEUE: abort: TLS from %.*s: %s", STRF(s->client.namaddr), why);
	return session_reply(s, CODE(421, 4, 7, 1), "%s Error: %s", cf.myhostname, why);
}

int session_handshake(struct session *s, bool wrapped)
{
	int64_t by = deadline_in(cf.starttls_timeout_ms);
	struct err e = ERR_INIT;

	if (wrapped && too_many_sessions(s, "TLS service"))
		return -1;
	if (cf.tls_loglevel > 1)
		log_info("setting up TLS connection from %.*s", STRF(s->client.namaddr));
	if ((wrapped ? tls_accept_wrapped(s->io, cf.tls, by, &e) : tls_accept(s->io, cf.tls, by, &e)) < 0) {
		metric_count(METRIC_SMTPD_TLS, "failed", NULL, NULL);
		log_info("SSL_accept error from %.*s: %s", STRF(s->client.namaddr), e.text);
		return -1;
	}
	metric_count(METRIC_SMTPD_TLS, tls_protocol(stream_tls(s->io)), NULL, NULL);
	take_certificate(s, stream_tls(s->io));
	story_tls(s, stream_tls(s->io));
	if (cf.tls_loglevel > 0)
		log_handshake(s, stream_tls(s->io));
	if (!s->exempt && !tls_resumed(stream_tls(s->io)) && !limit_tls(s))
		return session_reply(s, CODE(421, 4, 7, 0), "%s " TOO_MANY, cf.myhostname, STRF(s->client.namaddr));
	return require_certificate(s);
}

int cmd_starttls(struct session *s, struct str args)
{
	if (may_start(s, args) < 0)
		return -1;
	session_reply(s, CODE(220, 2, 0, 0), "Ready to start TLS");
	if (stream_flush(s->io, session_deadline(s)) < 0 || session_handshake(s, false) < 0) {
		if (s->hangup) /* it was told why */
			return -1;
		session_log_end(s, "lost connection");
		s->hangup = s->closed = true;
		return -1;
	}
	session_forget_helo(s);
	session_forget_mail(s);
	s->esmtp = false;
	s->sasl_user = s->sasl_method = STR_NONE;
	return 0;
}
