/* mta/smtp/settings_tls.c - what main.cf says about TLS on the way out: levels, certificates, authorities. */
#include <strings.h>

#include "lib/base/log.h"
#include "mta/smtp/smtp.h"

static int load_level(const struct conf *c, struct settings *set, struct err *e)
{
	const char *level = settings_text(c, "tls_security_level");

	if (*level == '\0')
		level = conf_bool(c, settings_name("enforce_tls").text)
				? (conf_bool(c, settings_name("tls_enforce_peername").text) ? "verify" : "encrypt")
			: conf_bool(c, settings_name("use_tls").text) ? "may"
								: "none";
	if (!tls_level_parse(str_z(level), &set->tls_level))
		return err_perm(e, "%s: \"%s\" is not supported", settings_name("tls_security_level").text, level);
	if (strcasecmp(level, "dane") == 0)
		log_warn("%s: TLSA records are not used: level dane is treated as may", settings_name("tls_security_level").text);
	if (set->tls_wrapper && set->tls_level < TLS_ENCRYPT)
		return err_perm(
			e, "%s = yes needs %s = encrypt, or stronger", settings_name("tls_wrappermode").text, settings_name("tls_security_level").text);
	return 0;
}

int settings_load_tls(const struct conf *c, struct settings *set, struct err *e)
{
	struct tls_settings tls = {
		.chain_files = settings_text(c, "tls_chain_files"),
		.cert_file = settings_text(c, "tls_cert_file"),
		.key_file = settings_text(c, "tls_key_file"),
		.ca_file = settings_text(c, "tls_CAfile"),
		.ca_path = settings_text(c, "tls_CApath"),
		.protocols = settings_text(c, "tls_protocols"),
		.ciphers = settings_text(c, "tls_ciphers"),
	};

	if (load_level(c, set, e) < 0)
		return -1;
	set->tls_notes = conf_int(c, settings_name("tls_loglevel").text) > 0;
	if (set->tls_level == TLS_NONE && set->tls_policy.count == 0)
		return 0;
	set->tls = tls_client_ctx(&tls, e);
	tls.protocols = settings_text(c, "tls_mandatory_protocols");
	tls.ciphers = settings_text(c, "tls_mandatory_ciphers");
	set->tls_mandatory = set->tls == NULL ? NULL : tls_client_ctx(&tls, e);
	return set->tls_mandatory == NULL ? err_context(e, "TLS client") : 0;
}
