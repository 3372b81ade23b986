/* mta/smtp/login.c - AUTH CRAM-MD5, PLAIN and LOGIN with passwords from smtp_sasl_password_maps.
 * Security: passwords live in the request's arena, are sent only to the server their table names, and never logged. */
#include "lib/base/base64.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/lru.h"
#include "lib/net/digest.h"
#include "mta/smtp/smtp.h"

#define REFUSED_MAX 10000 /* logins */

/* ---- which password ---- */

static enum table_answer find_password(const struct nexthop *hop, struct str sender, struct buf *value, struct err *e)
{
	enum table_answer r = TABLE_MISSING;
	struct str ext;

	if (cfg->sasl_by_sender && sender.n > 0)
		r = tables_lookup_address(&cfg->sasl_passwords, sender, "", false, value, &ext, e);
	if (r == TABLE_MISSING)
		r = tables_lookup(&cfg->sasl_passwords, hop->text, value, e);
	return r == TABLE_MISSING ? tables_lookup(&cfg->sasl_passwords, hop->host, value, e) : r;
}

static int take_password(struct arena *a, enum table_answer r, struct str value, const struct err *e, struct security *out, struct failure *why)
{
	if (r == TABLE_FOUND) {
		out->sasl_password = arena_dup(a, value);
		out->sasl_user = str_cut(&out->sasl_password, ':');
	} else if (r == TABLE_FAILED) {
		log_warn("%s", e->text);
		failure_local(a, CODE(0, 4, 3, 0), why, "SASL password lookup failure");
	}
	return r == TABLE_FAILED ? -1 : 0;
}

int security_login(struct arena *a, const struct nexthop *hop, struct str sender, struct security *out, struct failure *why)
{
	struct buf value = { 0 };
	struct err e = ERR_INIT;
	enum table_answer found;
	int r;

	if (!cfg->sasl)
		return 0;
	found = find_password(hop, sender, &value, &e);
	r = take_password(a, found, buf_str(&value), &e, out, why);
	buf_done(&value);
	return r;
}

int security_server_login(struct arena *a, const struct server *server, struct security *sec, struct failure *why)
{
	struct buf value = { 0 };
	struct err e = ERR_INIT;
	enum table_answer found;
	int r;

	if (!cfg->sasl || sec->sasl_user.n > 0)
		return 0;
	found = tables_lookup(&cfg->sasl_passwords, server->host, &value, &e);
	r = take_password(a, found, buf_str(&value), &e, sec, why);
	buf_done(&value);
	return r;
}

/* ---- AUTH ---- */

static bool has_word(struct str list, struct str wanted)
{
	struct str word;

	while ((word = str_word(&list, ", \t")).n > 0) {
		if (str_eqi(word, wanted))
			return true;
	}
	return false;
}

static int say(struct session *s, struct arena *a, const char *command, struct str secret, struct failure *why)
{
	struct buf line = { 0 };
	int r;

	buf_addz(&line, command);
	base64_encode(&line, secret);
	buf_addz(&line, "\r\n");
	stream_write(s->io, buf_str(&line), deadline_in(cfg->hello_ms));
	explicit_bzero(line.p, line.n);
	buf_done(&line);
	r = session_flush(s, a, cfg->hello_ms, "performing SASL authentication", why);
	return r < 0 ? -1 : session_read(s, a, cfg->hello_ms, "performing SASL authentication", why);
}

static int plain(struct session *s, struct arena *a, const struct security *sec, struct failure *why)
{
	struct buf secret = { 0 };
	int r;

	buf_addc(&secret, '\0');
	buf_add(&secret, sec->sasl_user);
	buf_addc(&secret, '\0');
	buf_add(&secret, sec->sasl_password);
	r = say(s, a, "AUTH PLAIN ", buf_str(&secret), why);
	explicit_bzero(secret.p, secret.n);
	buf_done(&secret);
	return r;
}

static int login(struct session *s, struct arena *a, const struct security *sec, struct failure *why)
{
	if (say(s, a, "AUTH LOGIN", STR_NONE, why) < 0)
		return -1;
	if (s->reply.code.smtp == 334 && say(s, a, "", sec->sasl_user, why) < 0)
		return -1;
	return s->reply.code.smtp == 334 ? say(s, a, "", sec->sasl_password, why) : 0;
}

/* RFC 2195: "user hmac-of-the-challenge". A challenge that is none is answered, too: the server will say what it thinks of it. */
static int cram_md5(struct session *s, struct arena *a, const struct security *sec, struct failure *why)
{
	struct buf challenge = { 0 }, answer = { 0 };
	int r;

	if (say(s, a, "AUTH CRAM-MD5", STR_NONE, why) < 0)
		return -1;
	if (s->reply.code.smtp != 334)
		return 0;
	base64_decode(&challenge, str_trim(str_skip(buf_str(&s->reply.lines), 4)));
	buf_add(&answer, sec->sasl_user);
	buf_addc(&answer, ' ');
	digest_hmac_hex("md5", sec->sasl_password, buf_str(&challenge), &answer);
	r = say(s, a, "", buf_str(&answer), why);
	buf_done(&challenge);
	buf_done(&answer);
	return r;
}

static const struct mechanism {
	const char *name, *properties; /* the latter: which smtp_sasl_security_options it satisfies */
	int (*run)(struct session *s, struct arena *a, const struct security *sec, struct failure *why);
} mechanisms[] = { /* best first */
	{ "CRAM-MD5", "noplaintext noanonymous", cram_md5 },
	{ "PLAIN", "noanonymous", plain },
	{ "LOGIN", "noanonymous", login },
};

static bool mechanism_allowed(const struct session *s, const struct mechanism *m, struct str options)
{
	struct err e = ERR_INIT;
	struct str word;

	if (!has_word(s->auth_mechanisms, str_z(m->name)))
		return false;
	while ((word = str_word(&options, ", \t")).n > 0) {
		if (!has_word(str_z(m->properties), word))
			return false;
	}
	return cfg->sasl_mechanisms == NULL || matchlist_host(cfg->sasl_mechanisms, str_z(m->name), &e) == TABLE_FOUND;
}

static const struct mechanism *choose(const struct session *s)
{
	const struct tls *tls = stream_tls(s->io);
	const char *options = tls == NULL                       ? cfg->sasl_options
			      : tls_trust(tls) == TLS_VERIFIED ? cfg->sasl_verified_options
							       : cfg->sasl_tls_options;

	for (size_t i = 0; i < sizeof mechanisms / sizeof *mechanisms; i++) {
		if (mechanism_allowed(s, &mechanisms[i], str_z(options)))
			return &mechanisms[i];
	}
	return NULL;
}

/* ---- logins that were refused ---- */

/* Servers lock accounts after a few failures: the same password is not tried again before smtp_sasl_auth_cache_time. This process remembers;
 * the name of a file in smtp_sasl_auth_cache_name switches it on. The password itself is not kept. */
static struct lru *refused;

static void refused_key(const struct session *s, const struct security *sec, struct buf *key)
{
	buf_addf(key, "%.*s %.*s ", STRF(s->host), STRF(sec->sasl_user));
	digest_hmac_hex("sha256", sec->sasl_password, s->host, key);
}

static void said(const struct session *s, struct arena *a, struct code code, struct str text, const char *cached, struct failure *why)
{
	failure_local(a, code, why, "SASL %sauthentication failed; server %.*s said: %.*s", cached, STRF(s->peer), STRF(text));
	if (code.c != 5 || cfg->sasl_soft_bounce)
		why->code = CODE(code.smtp, 4, code.s, code.d);
}

static void remember(const struct session *s, const struct security *sec)
{
	struct buf key = { 0 }, value = { 0 };

	if (*cfg->sasl_cache == '\0' || s->reply.code.smtp / 100 != 5)
		return;
	if (refused == NULL)
		refused = lru_new(REFUSED_MAX);
	refused_key(s, sec, &key);
	buf_addn(&value, &s->reply.code, sizeof s->reply.code);
	buf_add(&value, buf_str(&s->reply.text));
	lru_put(refused, buf_str(&key), buf_str(&value), cfg->sasl_cache_ms / 1000);
	buf_done(&key);
	buf_done(&value);
}

static bool known_refusal(const struct session *s, struct arena *a, const struct security *sec, struct failure *why)
{
	struct buf key = { 0 }, value = { 0 };
	struct code code;
	bool found;

	if (refused == NULL)
		return false;
	refused_key(s, sec, &key);
	found = lru_get(refused, buf_str(&key), &value);
	if (found) {
		memcpy(&code, value.p, sizeof code);
		said(s, a, code, str_skip(buf_str(&value), sizeof code), "[CACHED] ", why);
	}
	buf_done(&key);
	buf_done(&value);
	return found;
}

int session_login(struct session *s, struct arena *a, const struct security *sec, struct failure *why)
{
	const struct mechanism *m = choose(s);

	if (m == NULL) {
		failure_local(a, CODE(0, 4, 7, 0), why,
			"SASL authentication failed; cannot authenticate to server %.*s: no mechanism available", STRF(s->peer));
		return -1;
	}
	if (known_refusal(s, a, sec, why) || m->run(s, a, sec, why) < 0)
		return -1;
	if (s->reply.code.smtp / 100 == 2)
		return 0;
	said(s, a, s->reply.code, buf_str(&s->reply.text), "", why);
	remember(s, sec);
	return -1;
}
