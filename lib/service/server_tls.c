/* lib/service/server_tls.c - from smtpd_tls_* and tls_* parameters to a TLS context for servers. */
#include "lib/service/server_tls.h"

#include <string.h>

#include "lib/base/log.h"

enum tls_level server_tls_level(const struct conf *c)
{
	const char *level = conf_str(c, "smtpd_tls_security_level");

	if (*level == '\0')
		level = conf_bool(c, "smtpd_enforce_tls") ? "encrypt" : conf_bool(c, "smtpd_use_tls") ? "may" : "none";
	if (str_eqiz(str_z(level), "none"))
		return conf_bool(c, "smtpd_tls_wrappermode") ? TLS_LEVEL_ENCRYPT : TLS_LEVEL_NONE;
	if (str_eqiz(str_z(level), "may"))
		return TLS_LEVEL_MAY;
	if (!str_eqiz(str_z(level), "encrypt"))
		log_warn("smtpd_tls_security_level: \"%s\" is taken as \"encrypt\"", level);
	return TLS_LEVEL_ENCRYPT;
}

static const char *nonempty(const char *z)
{
	return *z != '\0' ? z : NULL;
}

/* smtpd_tls_eecdh_grade in curves. NULL: OpenSSL's own. */
static const char *curves(const struct conf *c)
{
	static const struct {
		const char *grade, *param;
	} grades[] = {
		{ "auto", "tls_eecdh_auto_curves" },
		{ "strong", "tls_eecdh_strong_curve" },
		{ "ultra", "tls_eecdh_ultra_curve" },
	};
	struct str grade = str_z(conf_str(c, "smtpd_tls_eecdh_grade"));

	for (size_t i = 0; i < sizeof grades / sizeof *grades; i++)
		if (str_eqiz(grade, grades[i].grade))
			return nonempty(conf_str(c, grades[i].param));
	return NULL;
}

/* smtpd_tls_req_ccert counts where TLS is demanded only. */
static bool asks_certificate(const struct conf *c, bool strict)
{
	return conf_bool(c, "smtpd_tls_ask_ccert") || (strict && conf_bool(c, "smtpd_tls_req_ccert"));
}

/* What may not be used: the excluded, and with the mandatory level those excluded there. No curves: no agreement by them. */
static void exclusions(const struct conf *c, bool strict, struct buf *out)
{
	buf_addz(out, conf_str(c, "smtpd_tls_exclude_ciphers"));
	if (strict)
		buf_addf(out, " %s", conf_str(c, "smtpd_tls_mandatory_exclude_ciphers"));
	if (str_eqiz(str_z(conf_str(c, "smtpd_tls_eecdh_grade")), "none"))
		buf_addz(out, " kEECDH");
	if (asks_certificate(c, strict))
		buf_addz(out, " aNULL"); /* who has no certificate asks for none */
}

struct tls_ctx *server_tls_open(const struct conf *c, enum tls_level level, tls_sni_fn *sni, struct err *e)
{
	bool strict = level == TLS_LEVEL_ENCRYPT;
	struct buf excluded = { 0 };
	struct tls_pair pairs[] = {
		{ conf_str(c, "smtpd_tls_eccert_file"), conf_str(c, "smtpd_tls_eckey_file") },
		{ conf_str(c, "smtpd_tls_dcert_file"), conf_str(c, "smtpd_tls_dkey_file") },
	};
	struct tls_ctx *ctx;

	exclusions(c, strict, &excluded);
	ctx = tls_server_ctx(&(struct tls_settings){
		.chain_files = nonempty(conf_str(c, "smtpd_tls_chain_files")),
		.cert_file = nonempty(conf_str(c, "smtpd_tls_cert_file")),
		.key_file = nonempty(conf_str(c, "smtpd_tls_key_file")),
		.pairs = pairs,
		.pair_count = sizeof pairs / sizeof *pairs,
		.ca_file = nonempty(conf_str(c, "smtpd_tls_CAfile")),
		.ca_path = nonempty(conf_str(c, "smtpd_tls_CApath")),
		.default_ca = conf_bool(c, "tls_append_default_CA"),
		.protocols = conf_str(c, strict ? "smtpd_tls_mandatory_protocols" : "smtpd_tls_protocols"),
		.ciphers = conf_str(c, strict ? "smtpd_tls_mandatory_ciphers" : "smtpd_tls_ciphers"),
		.high_ciphers = conf_str(c, "tls_high_cipherlist"),
		.medium_ciphers = conf_str(c, "tls_medium_cipherlist"),
		.exclude_ciphers = buf_z(&excluded),
		.curves = curves(c),
		.options = conf_str(c, "tls_ssl_options"),
		.verify_depth = (int)conf_int(c, "smtpd_tls_ccert_verifydepth"),
		.ask_client_cert = asks_certificate(c, strict),
		.server_preference = conf_bool(c, "tls_preempt_cipherlist"),
		.session_ms = conf_time_ms(c, "smtpd_tls_session_cache_timeout"),
		.sni = sni,
	}, e);
	buf_done(&excluded);
	return ctx;
}
