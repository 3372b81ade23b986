/* mta/smtp/starttls.c - TLS on the way out: STARTTLS, the handshake, and what the level makes of its result. */
#include <strings.h>

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "mta/smtp/smtp.h"

/* ---- what the server has to show ---- */

#define NAMES_MAX 20

struct naming { /* who it is */
	struct arena *a;
	const struct session *s;
	const struct nexthop *hop;
};

/* "nexthop", "dot-nexthop" and "hostname" stand for names; others are some. */
static struct str meant_by(const struct naming *n, struct str word)
{
	if (str_eqiz(word, "nexthop"))
		return n->hop->host;
	if (str_eqiz(word, "dot-nexthop"))
		return arena_printf(n->a, ".%.*s", STRF(n->hop->host));
	return str_eqiz(word, "hostname") ? n->s->host : word;
}

static struct str *list_words(struct arena *a, struct str text, const char *separators, size_t *count)
{
	struct str *list = arena_alloc(a, NAMES_MAX * sizeof *list), word;

	*count = 0;
	while (*count < NAMES_MAX && (word = str_word(&text, separators)).n > 0)
		list[(*count)++] = word;
	return list;
}

static void demand_names(const struct naming *n, struct str match, struct tls_demand *d)
{
	struct str *names = list_words(n->a, match, ":, \t\r\n", &d->name_count);

	for (size_t i = 0; i < d->name_count; i++)
		names[i] = meant_by(n, names[i]);
	d->names = names;
}

/* Usage 2 of TLSA: the server's own name, or the domain the mail is for (RFC 7672 section 3.2.2). */
static void demand_tlsa(const struct naming *n, const struct security *sec, struct tls_demand *d)
{
	d->tlsa = sec->tlsa;
	d->tlsa_count = sec->tlsa_count;
	d->tlsa_base = sec->tlsa_base;
	d->names = &n->hop->host;
	d->name_count = n->hop->mx && !sec->half_dane;
}

static const char *name_to_send(const struct naming *n, const struct security *sec)
{
	struct str name = sec->server_name;

	return name.n == 0 || sec->tlsa_count > 0 ? NULL : arena_z(n->a, meant_by(n, name));
}

/* Sessions of one server under one policy. */
static struct str session_key(const struct naming *n, const struct security *sec)
{
	struct buf b = { 0 };
	struct str key;

	buf_addf(&b, "%.*s|%.*s|%s|", STRF(n->s->relay), STRF(sec->key), sec->tlsa_base != NULL ? sec->tlsa_base : "");
	for (size_t i = 0; i < sec->tlsa_count; i++)
		buf_add(&b, sec->tlsa[i]);
	key = arena_dup(n->a, buf_str(&b));
	buf_done(&b);
	return key;
}

static void demand(const struct naming *n, const struct security *sec, struct tls_demand *d)
{
	*d = (struct tls_demand){ .server_name = name_to_send(n, sec), .deep_wildcards = cfg->tls_deep_wildcards, .session = session_key(n, sec) };
	switch (sec->level) {
	case TLS_FINGERPRINT:
		d->digest = cfg->tls_print_digest;
		d->prints = list_words(n->a, sec->match, "|, \t\r\n", &d->print_count);
		break;
	case TLS_DANE:
	case TLS_DANE_ONLY:
		demand_tlsa(n, sec, d);
		break;
	case TLS_VERIFY:
	case TLS_SECURE:
		d->authority = true;
		demand_names(n, sec->match, d);
		break;
	default:
		break;
	}
}

/* ---- handshake ---- */

static void note(const struct session *s, const struct security *sec)
{
	const struct tls *t = stream_tls(s->io);
	struct buf how = { 0 };

	if (cfg->tls_loglevel == 0)
		return;
	tls_describe(t, " ", &how);
	log_info("%s TLS connection established to %.*s: %s", sec->half_dane && tls_trust(t) == TLS_VERIFIED ? "Trusted" : tls_trust_word(t),
		STRF(s->relay), buf_z(&how));
	buf_done(&how);
}

static int handshake(
	struct session *s, struct arena *a, const struct nexthop *hop, const struct security *sec, struct failure *why, bool *refused_tls)
{
	const struct naming names = { a, s, hop };
	struct tls_ctx *ctx;
	struct tls_demand d;
	struct err e = ERR_INIT;
	bool certain;

	ctx = settings_tls_ctx(sec, &e);
	if (ctx == NULL) {
		log_warn("%.*s: %s", STRF(hop->text), e.text);
		failure_local(a, CODE(0, 4, 7, 5), why, "client TLS configuration problem");
		s->broken = true;
		return -1;
	}
	demand(&names, sec, &d);
	if (tls_connect(s->io, ctx, &d, deadline_in(cfg->starttls_ms), &e) == 0) {
		note(s, sec);
		return 0;
	}
	certain = stream_tls(s->io) != NULL; /* it works, and the server is not who it should be */
	if (certain) {
		log_info("certificate verification failed for %.*s: %s", STRF(s->relay), e.text);
		note(s, sec);
	} else {
		log_info("SSL_connect error to %.*s: %s", STRF(s->relay), e.text);
	}
	s->broken = true;
	*refused_tls = sec->level == TLS_MAY;
	failure_local(a, CODE(0, 4, 7, 5), why, "%s", certain ? "Server certificate not verified" : "Cannot start TLS: handshake failure");
	return -1;
}

/* 0 also when the server has no TLS and none is required. */
int session_starttls(struct session *s, struct arena *a, const struct nexthop *hop, const struct security *sec, bool greeted,
	struct failure *why, bool *refused_tls)
{
	if (greeted && !(s->offers & OFFER_STARTTLS)) {
		failure_local(a, CODE(0, 4, 7, 4), why, "TLS is required, but was not offered by host %.*s", STRF(s->peer));
		return sec->level <= TLS_MAY ? 0 : -1;
	}
	if (greeted) {
		stream_write(s->io, STR("STARTTLS\r\n"), deadline_in(cfg->starttls_ms));
		if (session_flush(s, a, cfg->starttls_ms, "receiving the STARTTLS response", why) < 0 ||
			session_read(s, a, cfg->starttls_ms, "receiving the STARTTLS response", why) < 0)
			return -1;
	}
	if (greeted && s->reply.code.smtp / 100 != 2) {
		failure_local(a, CODE(0, 4, 7, 4), why, "TLS is required, but host %.*s refused to start TLS: %.*s", STRF(s->peer),
			STRF(buf_str(&s->reply.text)));
		return sec->level <= TLS_MAY && !s->broken ? 0 : -1;
	}
	return handshake(s, a, hop, sec, why, refused_tls);
}
