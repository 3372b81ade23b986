/* mta/smtp/settings_tls.c - what main.cf says about TLS on the way out: levels, certificates, authorities, and the contexts made of it. */
#include <strings.h>

#include "lib/base/log.h"
#include "lib/base/map.h"
#include "mta/smtp/smtp.h"

#define VARIANTS_MAX 200 /* of policy tables; with more there is no end of them */

static struct {
	struct tls_settings usual, mandatory;
	struct tls_ctx *base; /* has read the key; others are made like it */
	struct tls_ctx *public; /* trusts the system's authorities, too: for what domains publish (MTA-STS) */
	struct map *variants; /* the details as text -> struct tls_ctx */
} tls;

/* ---- levels ---- */

static int load_level(const struct conf *c, struct settings *set, struct err *e)
{
	const char *level = settings_text(c, "tls_security_level"), *insecure = conf_str(c, "smtp_tls_dane_insecure_mx_policy");

	if (*level == '\0')
		level = conf_bool(c, settings_name("enforce_tls").text)
				? (conf_bool(c, settings_name("tls_enforce_peername").text) ? "verify" : "encrypt")
			: conf_bool(c, settings_name("use_tls").text) ? "may"
								: "none";
	if (!tls_level_parse(str_z(level), &set->tls_level))
		return err_perm(e, "%s: \"%s\" is no TLS level", settings_name("tls_security_level").text, level);
	if (!tls_level_parse(str_z(insecure), &set->tls_insecure_mx) || set->tls_insecure_mx == TLS_NONE || set->tls_insecure_mx > TLS_DANE)
		return err_perm(e, "smtp_tls_dane_insecure_mx_policy: \"%s\" is none of may, encrypt, dane", insecure);
	if (set->tls_wrapper && set->tls_level < TLS_ENCRYPT && set->tls_policy.count == 0)
		return err_perm(
			e, "%s = yes needs %s = encrypt, or stronger", settings_name("tls_wrappermode").text, settings_name("tls_security_level").text);
	return 0;
}

static int load_prints(const struct conf *c, struct settings *set, struct err *e)
{
	set->tls_print_match = settings_text(c, "tls_fingerprint_cert_match");
	set->tls_print_digest = settings_text(c, "tls_fingerprint_digest");
	if (tls_digest_known(set->tls_print_digest))
		return 0;
	return err_perm(e, "%s: no digest \"%s\"", settings_name("tls_fingerprint_digest").text, set->tls_print_digest);
}

/* ---- contexts ---- */

static const char *joined(const char *a, const char *b)
{
	static struct arena *life;

	if (life == NULL)
		life = arena_new("smtp tls");
	return arena_z(life, arena_printf(life, "%s %s", a, b));
}

static struct tls_settings usual(const struct conf *c)
{
	return (struct tls_settings){
		.protocols = settings_text(c, "tls_protocols"),
		.ciphers = settings_text(c, "tls_ciphers"),
		.exclude_ciphers = settings_text(c, "tls_exclude_ciphers"),
		.high_ciphers = conf_str(c, "tls_high_cipherlist"),
		.medium_ciphers = conf_str(c, "tls_medium_cipherlist"),
		.curves = conf_str(c, "tls_eecdh_auto_curves"),
		.options = conf_str(c, "tls_ssl_options"),
		.verify_depth = (int)conf_int(c, settings_name("tls_scert_verifydepth").text),
		.session_ms = conf_time_ms(c, settings_name("tls_session_cache_timeout").text),
	};
}

static int make_base(const struct conf *c, struct err *e)
{
	struct tls_pair pairs[] = {
		{ settings_text(c, "tls_eccert_file"), settings_text(c, "tls_eckey_file") },
		{ settings_text(c, "tls_dcert_file"), settings_text(c, "tls_dkey_file") },
	};
	struct tls_settings set = tls.usual;

	set.chain_files = settings_text(c, "tls_chain_files");
	set.cert_file = settings_text(c, "tls_cert_file");
	set.key_file = settings_text(c, "tls_key_file");
	set.pairs = pairs;
	set.pair_count = sizeof pairs / sizeof *pairs;
	set.ca_file = settings_text(c, "tls_CAfile");
	set.ca_path = settings_text(c, "tls_CApath");
	set.anchor_files = settings_text(c, "tls_trust_anchor_file");
	set.default_ca = conf_bool(c, "tls_append_default_CA");
	tls.base = tls_client_ctx(&set, e);
	if (tls.base == NULL)
		return -1;
	set.default_ca = true;
	set.anchor_files = NULL;
	set.protocols = ">=TLSv1.2"; /* RFC 8461 section 3.3 */
	tls.public = tls_client_ctx(&set, e);
	return tls.public == NULL ? -1 : 0;
}

struct tls_ctx *settings_public_tls(void)
{
	return tls.public;
}

static const char *or(struct arena *a, struct str given, const char *otherwise)
{
	return given.n > 0 ? arena_z(a, given) : otherwise;
}

static struct tls_ctx *make_variant(const struct security *sec, struct err *e)
{
	struct arena *a = arena_new("tls variant");
	struct tls_settings set = sec->level >= TLS_ENCRYPT ? tls.mandatory : tls.usual;
	struct tls_ctx *c;

	set.protocols = or(a, sec->protocols, set.protocols);
	set.ciphers = or(a, sec->ciphers, set.ciphers);
	set.exclude_ciphers = or(a, sec->exclude, set.exclude_ciphers);
	set.anchor_files = or(a, sec->anchors, NULL);
	c = tls_client_ctx_like(tls.base, &set, e);
	arena_free(a);
	return c;
}

struct tls_ctx *settings_tls_ctx(const struct security *sec, struct err *e)
{
	struct buf key = { 0 };
	struct tls_ctx *c;

	if (sec->by_sts)
		return tls.public;
	buf_addf(&key, "%d|%.*s|%.*s|%.*s|%.*s", sec->level >= TLS_ENCRYPT, STRF(sec->protocols), STRF(sec->ciphers), STRF(sec->exclude),
		STRF(sec->anchors));
	c = map_get(tls.variants, buf_str(&key));
	if (c == NULL && map_count(tls.variants) == VARIANTS_MAX)
		err_temp(e, "more than %d different settings in TLS policies", VARIANTS_MAX);
	else if (c == NULL && (c = make_variant(sec, e)) != NULL)
		map_put(tls.variants, buf_str(&key), c);
	buf_done(&key);
	return c;
}

/* The settings are good, or the process does not start. */
static int try_levels(struct err *e)
{
	for (enum tls_level level = TLS_MAY; level <= TLS_ENCRYPT; level++) {
		if (settings_tls_ctx(&(struct security){ .level = level }, e) == NULL)
			return -1;
	}
	return 0;
}

int settings_load_tls(const struct conf *c, struct settings *set, struct err *e)
{
	set->tls_loglevel = (int)conf_int(c, settings_name("tls_loglevel").text);
	set->tls_note_offer = conf_bool(c, settings_name("tls_note_starttls_offer").text);
	set->tls_force_tlsa = conf_bool(c, settings_name("tls_force_insecure_host_tlsa_lookup").text);
	set->tls_deep_wildcards = conf_bool(c, "tls_wildcard_matches_multiple_labels");
	set->sts = !set->lmtp && conf_bool(c, "smtp_tls_mta_sts");
	if (load_level(c, set, e) < 0 || load_prints(c, set, e) < 0)
		return -1;
	if (set->tls_level == TLS_NONE && set->tls_policy.count == 0)
		return 0;
	tls.usual = usual(c);
	tls.mandatory = tls.usual;
	tls.mandatory.protocols = settings_text(c, "tls_mandatory_protocols");
	tls.mandatory.ciphers = settings_text(c, "tls_mandatory_ciphers");
	tls.mandatory.exclude_ciphers = joined(tls.usual.exclude_ciphers, settings_text(c, "tls_mandatory_exclude_ciphers"));
	tls.variants = map_new();
	return make_base(c, e) < 0 || try_levels(e) < 0 ? err_context(e, "TLS client") : 0;
}
