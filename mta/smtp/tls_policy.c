/* mta/smtp/tls_policy.c - what is asked of a destination's TLS: the level and its details, from main.cf and smtp_tls_policy_maps. */
#include <strings.h>

#include "lib/base/log.h"
#include "mta/smtp/smtp.h"

static const struct {
	const char *word;
	enum tls_level level;
} levels[] = {
	{ "none", TLS_NONE },
	{ "may", TLS_MAY },
	{ "encrypt", TLS_ENCRYPT },
	{ "fingerprint", TLS_FINGERPRINT },
	{ "dane", TLS_DANE },
	{ "dane-only", TLS_DANE_ONLY },
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

const char *tls_level_word(enum tls_level level)
{
	return levels[level].word;
}

/* ---- a table's entry ---- */

static int unusable(struct arena *a, struct failure *why)
{
	failure_local(a, CODE(0, 4, 7, 5), why, "client TLS configuration problem");
	return -1;
}

static int bad_entry(struct arena *a, struct str entry, const char *what, struct str word, struct failure *why)
{
	log_warn("TLS policy table: %s \"%.*s\" in entry \"%.*s\"", what, STRF(word), STRF(entry));
	return unusable(a, why);
}

#define FROM(level) (~0u << (level))
#define NAMES (1u << TLS_VERIFY | 1u << TLS_SECURE | 1u << TLS_FINGERPRINT)

static const struct attribute {
	const char *name;
	unsigned levels; /* where it makes sense */
	size_t at; /* struct str in struct security */
} attributes[] = {
	{ "ciphers", FROM(TLS_MAY), offsetof(struct security, ciphers) },
	{ "connection_reuse", FROM(TLS_MAY), offsetof(struct security, reuse) },
	{ "enable_rpk", FROM(TLS_MAY), offsetof(struct security, raw_keys) },
	{ "exclude", FROM(TLS_MAY), offsetof(struct security, exclude) },
	{ "match", NAMES, offsetof(struct security, match) },
	{ "protocols", FROM(TLS_MAY), offsetof(struct security, protocols) },
	{ "servername", FROM(TLS_MAY), offsetof(struct security, server_name) },
	{ "tafile", FROM(TLS_ENCRYPT), offsetof(struct security, anchors) },
};

/* One "name=value". Given twice, values add up. */
static bool read_attribute(struct arena *a, struct str word, struct security *out)
{
	struct str value = word, name = str_cut(&value, '=');

	for (size_t i = 0; i < sizeof attributes / sizeof *attributes; i++) {
		struct str *to = (struct str *)(void *)((char *)out + attributes[i].at);

		if (!str_eqiz(name, attributes[i].name))
			continue;
		*to = to->n == 0 ? arena_dup(a, value) : arena_printf(a, "%.*s%c%.*s", STRF(*to), out->level == TLS_FINGERPRINT ? '|' : ':', STRF(value));
		return value.n > 0 && (attributes[i].levels & 1u << out->level);
	}
	return false;
}

static int read_entry(struct arena *a, struct str entry, struct security *out, struct failure *why)
{
	struct str rest = entry, word = str_word(&rest, ", \t\r\n");

	out->by_table = true;
	if (!tls_level_parse(word, &out->level))
		return bad_entry(a, entry, "unknown level", word, why);
	while ((word = str_word(&rest, ", \t\r\n")).n > 0) {
		if (!read_attribute(a, word, out))
			return bad_entry(a, entry, "invalid attribute", word, why);
	}
	return 0;
}

/* The next hop as given; a plain domain also by its parents, ".parent". */
static enum table_answer find_entry(const struct nexthop *hop, struct buf *entry, struct err *e)
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

static int look_up(struct arena *a, const struct nexthop *hop, struct security *out, struct failure *why)
{
	struct buf entry = { 0 };
	struct err e = ERR_INIT;
	int r = 0;

	switch (find_entry(hop, &entry, &e)) {
	case TABLE_FOUND:
		r = read_entry(a, buf_str(&entry), out, why);
		break;
	case TABLE_FAILED:
		log_warn("%s", e.text);
		failure_local(a, CODE(0, 4, 7, 5), why, "TLS policy lookup failure");
		r = -1;
		break;
	case TABLE_MISSING:
		break;
	}
	buf_done(&entry);
	return r;
}

/* ---- all of it ---- */

/* What a certificate is to match when the table does not say. */
static struct str usual_match(enum tls_level level)
{
	switch (level) {
	case TLS_FINGERPRINT:
		return str_z(cfg->tls_print_match);
	case TLS_VERIFY:
		return str_z(cfg->tls_verify_match);
	case TLS_SECURE:
		return str_z(cfg->tls_secure_match);
	default:
		return STR_NONE;
	}
}

static int complain(struct arena *a, const struct nexthop *hop, const struct security *sec, const char *what, struct failure *why)
{
	log_warn("%.*s: TLS level %s: %s", STRF(hop->text), tls_level_word(sec->level), what);
	return unusable(a, why);
}

/* Settings that cannot give what the level promises. */
static int check_level(struct arena *a, const struct nexthop *hop, const struct security *sec, struct failure *why)
{
	bool dane = sec->level == TLS_DANE || sec->level == TLS_DANE_ONLY;

	if (dane && hop->local)
		return complain(a, hop, sec, "a unix-domain socket has no TLSA records", why);
	if (dane && !cfg->dnssec)
		return complain(a, hop, sec, "needs smtp_dns_support_level = dnssec", why);
	if (dane && cfg->ignore_mx_error)
		return complain(a, hop, sec, "cannot be kept up with ignore_mx_lookup_error = yes", why);
	if (sec->level == TLS_FINGERPRINT && sec->match.n == 0)
		return complain(a, hop, sec, "no fingerprint is given, neither by match= nor by smtp_tls_fingerprint_cert_match", why);
	if (cfg->tls_wrapper && sec->level < TLS_ENCRYPT)
		return complain(a, hop, sec, "smtp_tls_wrappermode needs encrypt, or stronger", why);
	return 0;
}

/* Policies that domains publish themselves are for mail that finds its servers by their MX records, and for who has TLS on at all. */
static bool wants_sts(const struct nexthop *hop, const struct security *sec)
{
	return cfg->sts && hop->mx && !sec->by_table && (sec->level == TLS_MAY || sec->level == TLS_ENCRYPT || sec->level == TLS_DANE);
}

static int security_tls(struct arena *a, const struct nexthop *hop, bool must_verify, struct security *out, struct failure *why)
{
	out->level = cfg->tls_level;
	if (cfg->tls_policy.count > 0 && look_up(a, hop, out, why) < 0)
		return -1;
	if (out->match.n == 0)
		out->match = usual_match(out->level);
	if (out->server_name.n == 0)
		out->server_name = str_z(cfg->tls_servername);
	if (wants_sts(hop, out))
		out->sts = sts_find(a, hop->host);
	/* Where TLS is off altogether it stays so: the message goes back. */
	if (must_verify && (cfg->tls_level != TLS_NONE || cfg->tls_policy.count > 0) && out->level <= TLS_ENCRYPT && out->sts == NULL) {
		out->level = TLS_SECURE;
		out->match = usual_match(TLS_SECURE);
	}
	return check_level(a, hop, out, why);
}

static struct str key_of(struct arena *a, const struct security *sec)
{
	struct str id = sec->sts != NULL ? sec->sts->id : STR_NONE;

	return arena_printf(a, "%d|%.*s|%.*s|%.*s|%.*s|%.*s|%.*s|%.*s|%.*s", (int)sec->level, STRF(sec->match), STRF(sec->server_name),
		STRF(sec->ciphers), STRF(sec->exclude), STRF(sec->protocols), STRF(sec->anchors), STRF(id), STRF(sec->sasl_user));
}

int security_for(
	struct arena *a, const struct nexthop *hop, struct str sender, bool must_verify, struct security *out, struct failure *why)
{
	*out = (struct security){ .level = TLS_NONE };
	if (security_tls(a, hop, must_verify, out, why) < 0 || security_login(a, hop, sender, out, why) < 0)
		return -1;
	out->shareable = out->level <= TLS_ENCRYPT && out->sts == NULL;
	out->key = key_of(a, out);
	return 0;
}

int security_for_server(struct arena *a, const struct nexthop *hop, const struct servers *list, const struct server *server, struct security *sec,
	struct failure *why)
{
	if (security_server_login(a, server, sec, why) < 0)
		return -1;
	if ((sec->level == TLS_DANE || sec->level == TLS_DANE_ONLY) && dane_find(a, hop, list, server, sec, why) < 0)
		return -1;
	return sec->sts != NULL && sec->tlsa_count == 0 ? sts_apply(a, server, sec, why) : 0;
}
