/* mta/smtp/login.c - AUTH PLAIN and LOGIN with passwords from smtp_sasl_password_maps.
 * Security: passwords live in the request's arena, are sent only to the server their table names, and never logged. */
#include "lib/base/base64.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "mta/smtp/smtp.h"

/* ---- which password ---- */

static enum table_answer find_password(struct arena *a, const struct nexthop *hop, struct str sender, struct buf *value, struct err *e)
{
	enum table_answer r = TABLE_MISSING;
	struct str ext;

	(void)a; /* keys are looked up as they are */
	if (cfg->sasl_by_sender && sender.n > 0)
		r = tables_lookup_address(&cfg->sasl_passwords, sender, "", false, value, &ext, e);
	if (r == TABLE_MISSING)
		r = tables_lookup(&cfg->sasl_passwords, hop->text, value, e);
	return r == TABLE_MISSING ? tables_lookup(&cfg->sasl_passwords, hop->host, value, e) : r;
}

static int security_login(struct arena *a, const struct nexthop *hop, struct str sender, struct security *out, struct failure *why)
{
	struct buf value = { 0 };
	struct err e;
	enum table_answer r = find_password(a, hop, sender, &value, &e);

	if (r == TABLE_FOUND) {
		out->sasl_password = arena_dup(a, buf_str(&value));
		out->sasl_user = str_cut(&out->sasl_password, ':');
	} else if (r == TABLE_FAILED) {
		log_warn("%s", e.text);
		failure_local(a, CODE(0, 4, 3, 0), why, "SASL password lookup failure");
	}
	buf_done(&value);
	return r == TABLE_FAILED ? -1 : 0;
}

int security_for(struct arena *a, const struct nexthop *hop, struct str sender, struct security *out, struct failure *why)
{
	*out = (struct security){ .sasl_user = STR_NONE, .sasl_password = STR_NONE };
	if (security_tls(a, hop, out, why) < 0)
		return -1;
	return cfg->sasl && cfg->sasl_passwords.count > 0 ? security_login(a, hop, sender, out, why) : 0;
}

/* ---- AUTH ---- */

static bool has_word(struct str list, const char *wanted)
{
	struct str word;

	while ((word = str_word(&list, ", \t")).n > 0) {
		if (str_eqiz(word, wanted))
			return true;
	}
	return false;
}

static bool mechanism_allowed(const struct session *s, const char *name)
{
	return has_word(s->auth_mechanisms, name) && (*cfg->sasl_mechanisms == '\0' || has_word(str_z(cfg->sasl_mechanisms), name));
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

int session_login(struct session *s, struct arena *a, const struct security *sec, struct failure *why)
{
	const char *options = stream_tls(s->io) != NULL ? cfg->sasl_tls_options : cfg->sasl_options;
	bool clear_allowed = !has_word(str_z(options), "noplaintext");
	int r;

	if (clear_allowed && mechanism_allowed(s, "PLAIN")) {
		r = plain(s, a, sec, why);
	} else if (clear_allowed && mechanism_allowed(s, "LOGIN")) {
		r = login(s, a, sec, why);
	} else {
		failure_local(a, CODE(0, 4, 7, 0), why,
			"SASL authentication failed; cannot authenticate to server %.*s: no mechanism available", STRF(s->peer));
		return -1;
	}
	if (r < 0 || s->reply.code.smtp / 100 == 2)
		return r;
	failure_local(
		a, s->reply.code, why, "SASL authentication failed; server %.*s said: %.*s", STRF(s->peer), STRF(buf_str(&s->reply.text)));
	if (why->code.c != 5 || cfg->sasl_soft_bounce)
		why->code = CODE(s->reply.code.smtp, 4, s->reply.code.s, s->reply.code.d);
	return -1;
}
