/* mta/smtp/starttls.c - TLS on the way out: which level a destination gets, and the handshake. */
#include <strings.h>

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "mta/smtp/smtp.h"

static const struct {
	const char *word;
	enum tls_level level;
} levels[] = {
	{ "none", TLS_NONE },
	{ "may", TLS_MAY },
	{ "dane", TLS_MAY }, /* without TLSA records dane is may */
	{ "encrypt", TLS_ENCRYPT },
	{ "verify", TLS_VERIFY },
	{ "secure", TLS_SECURE },
};

bool tls_level_parse(struct str word, enum tls_level *out)
{
	for (size_t i = 0; i < sizeof levels / sizeof *levels; i++) {
		if (str_eqiz(word, levels[i].word)) {
			*out = levels[i].level;
			return true;
		}
	}
	return false;
}

/* ---- policy ---- */

static int bad_policy(struct arena *a, struct str entry, struct failure *why)
{
	log_warn("TLS policy table: bad entry: \"%.*s\"", STRF(entry));
	failure_local(a, CODE(0, 4, 7, 5), why, "client TLS configuration problem");
	return -1;
}

/* "level name=value ...". Only match= changes what we do; the rest has meanings Gatepost leaves to the defaults. */
static int read_policy(struct arena *a, struct str entry, struct security *out, struct failure *why)
{
	struct str rest = entry, word = str_word(&rest, ", \t\r\n");

	if (!tls_level_parse(word, &out->level))
		return bad_policy(a, entry, why);
	while ((word = str_word(&rest, ", \t\r\n")).n > 0) {
		struct str value = word, name = str_cut(&value, '=');

		if (str_eqiz(name, "match"))
			out->match = arena_z(a, value);
	}
	return 0;
}

/* The next hop as given; a plain domain also by its parents, ".parent". */
static enum table_answer find_policy(const struct nexthop *hop, struct buf *entry, struct err *e)
{
	enum table_answer r = tables_lookup(&cfg->tls_policy, hop->text, entry, e);
	struct str name = hop->host;

	if (r != TABLE_MISSING || !str_eq(hop->text, hop->host))
		return r;
	for (ptrdiff_t dot = str_chr(str_skip(name, 1), '.'); dot >= 0 && r == TABLE_MISSING; dot = str_chr(str_skip(name, 1), '.')) {
		name = str_skip(name, (size_t)dot + 1);
		r = tables_lookup(&cfg->tls_policy, name, entry, e);
	}
	return r;
}

static int security_tls(struct arena *a, const struct nexthop *hop, struct security *out, struct failure *why)
{
	struct buf entry = { 0 };
	struct err e;
	int r = 0;

	out->level = cfg->tls_level;
	if (cfg->tls_policy.count > 0) {
		switch (find_policy(hop, &entry, &e)) {
		case TABLE_FOUND:
			r = read_policy(a, buf_str(&entry), out, why);
			break;
		case TABLE_FAILED:
			log_warn("%s", e.text);
			failure_local(a, CODE(0, 4, 7, 5), why, "TLS policy lookup failure");
			r = -1;
			break;
		case TABLE_MISSING:
			break;
		}
	}
	buf_done(&entry);
	if (out->match == NULL)
		out->match = out->level == TLS_SECURE ? cfg->tls_secure_match : cfg->tls_verify_match;
	return r;
}

int security_for(struct arena *a, const struct nexthop *hop, struct str sender, struct security *out, struct failure *why)
{
	*out = (struct security){ .sasl_user = STR_NONE, .sasl_password = STR_NONE };
	if (security_tls(a, hop, out, why) < 0 || security_login(a, hop, sender, out, why) < 0)
		return -1;
	out->shareable = out->level <= TLS_ENCRYPT;
	out->key = arena_printf(a, "%d|%s|%.*s", (int)out->level, out->match, STRF(out->sasl_user));
	return 0;
}

/* ---- handshake ---- */

/* The name the certificate must carry: the first that the match list gives. */
static const char *name_to_verify(struct arena *a, const struct session *s, const struct nexthop *hop, const struct security *sec)
{
	struct str rest = str_z(sec->match), word = str_word(&rest, ":, \t\r\n");

	if (sec->level < TLS_VERIFY)
		return NULL;
	if (str_eqiz(word, "nexthop") || str_eqiz(word, "dot-nexthop") || word.n == 0)
		return arena_z(a, hop->host);
	return arena_z(a, str_eqiz(word, "hostname") ? s->host : word);
}

static const char *name_to_send(struct arena *a, const struct session *s, const struct nexthop *hop)
{
	if (*cfg->tls_servername == '\0')
		return NULL;
	if (strcasecmp(cfg->tls_servername, "nexthop") == 0)
		return arena_z(a, hop->host);
	return strcasecmp(cfg->tls_servername, "hostname") == 0 ? arena_z(a, s->host) : cfg->tls_servername;
}

static void note(const struct session *s)
{
	struct buf how = { 0 };

	if (!cfg->tls_notes)
		return;
	tls_describe(stream_tls(s->io), " ", &how);
	log_info("%s TLS connection established to %.*s: %s", tls_trust_word(stream_tls(s->io)), STRF(s->relay), buf_z(&how));
	buf_done(&how);
}

static int handshake(
	struct session *s, struct arena *a, const struct nexthop *hop, const struct security *sec, struct failure *why, bool *refused_tls)
{
	const char *verify = name_to_verify(a, s, hop, sec), *sni = name_to_send(a, s, hop);
	struct tls_ctx *ctx = sec->level > TLS_MAY ? cfg->tls_mandatory : cfg->tls;
	struct err e;

	if (tls_connect(s->io, ctx, sni, verify, deadline_in(cfg->starttls_ms), &e) == 0) {
		note(s);
		return 0;
	}
	log_info("SSL_connect error to %.*s: %s", STRF(s->relay), e.text);
	s->broken = true;
	*refused_tls = sec->level == TLS_MAY;
	failure_local(a, CODE(0, 4, 7, 5), why, "%s",
		verify != NULL && strstr(e.text, "verif") != NULL ? "Server certificate not verified"
								  : "Cannot start TLS: handshake failure");
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
