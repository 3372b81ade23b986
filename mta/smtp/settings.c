/* mta/smtp/settings.c - what main.cf says to this service: smtp_* or lmtp_*, read once before the first request. */
#include <stdio.h>
#include <strings.h>

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "mta/smtp/smtp.h"

static struct settings loaded;
const struct settings *cfg = &loaded;

enum kind { V_TIME, V_COUNT, V_BOOL, V_STR };

#define AT(field) offsetof(struct settings, field)

static const struct row {
	const char *smtp, *lmtp; /* behind "smtp_", "lmtp_"; NULL: does not exist there */
	enum kind kind;
	size_t at;
} rows[] = {
	{ "always_send_ehlo", NULL, V_BOOL, AT(always_ehlo) },
	{ NULL, "assume_final", V_BOOL, AT(assume_final) },
	{ "balance_inet_protocols", "balance_inet_protocols", V_BOOL, AT(balance) },
	{ "connect_timeout", "connect_timeout", V_TIME, AT(connect_ms) },
	{ "connection_cache_time_limit", "connection_cache_time_limit", V_TIME, AT(idle_ms) },
	{ "connection_reuse_count_limit", "connection_reuse_count_limit", V_COUNT, AT(reuse_count) },
	{ "connection_reuse_time_limit", "connection_reuse_time_limit", V_TIME, AT(reuse_ms) },
	{ "data_done_timeout", "data_done_timeout", V_TIME, AT(data_done_ms) },
	{ "data_init_timeout", "data_init_timeout", V_TIME, AT(data_init_ms) },
	{ "data_xfer_timeout", "data_xfer_timeout", V_TIME, AT(data_xfer_ms) },
	{ "defer_if_no_mx_address_found", NULL, V_BOOL, AT(defer_no_mx_address) },
	{ "fallback_relay", "fallback_relay", V_STR, AT(fallback) },
	{ "helo_name", "lhlo_name", V_STR, AT(hello_name) },
	{ "helo_timeout", "lhlo_timeout", V_TIME, AT(hello_ms) },
	{ "line_length_limit", "line_length_limit", V_COUNT, AT(line_limit) },
	{ "mail_timeout", "mail_timeout", V_TIME, AT(mail_ms) },
	{ "mx_address_limit", "mx_address_limit", V_COUNT, AT(mx_address_limit) },
	{ "mx_session_limit", "mx_session_limit", V_COUNT, AT(mx_session_limit) },
	{ "never_send_ehlo", NULL, V_BOOL, AT(never_ehlo) },
	{ "quit_timeout", "quit_timeout", V_TIME, AT(quit_ms) },
	{ "quote_rfc821_envelope", "quote_rfc821_envelope", V_BOOL, AT(quote_envelope) },
	{ "randomize_addresses", "randomize_addresses", V_BOOL, AT(shuffle) },
	{ "rcpt_timeout", "rcpt_timeout", V_TIME, AT(rcpt_ms) },
	{ "sasl_auth_enable", "sasl_auth_enable", V_BOOL, AT(sasl) },
	{ "sasl_auth_soft_bounce", "sasl_auth_soft_bounce", V_BOOL, AT(sasl_soft_bounce) },
	{ "sasl_mechanism_filter", "sasl_mechanism_filter", V_STR, AT(sasl_mechanisms) },
	{ "sasl_security_options", "sasl_security_options", V_STR, AT(sasl_options) },
	{ "sasl_tls_security_options", "sasl_tls_security_options", V_STR, AT(sasl_tls_options) },
	{ "send_dummy_mail_auth", "send_dummy_mail_auth", V_BOOL, AT(dummy_auth) },
	{ "send_xforward_command", "send_xforward_command", V_BOOL, AT(xforward) },
	{ "sender_dependent_authentication", "sender_dependent_authentication", V_BOOL, AT(sasl_by_sender) },
	{ "skip_5xx_greeting", "skip_5xx_greeting", V_BOOL, AT(skip_5xx_greeting) },
	{ "skip_quit_response", "skip_quit_response", V_BOOL, AT(skip_quit_response) },
	{ "starttls_timeout", "starttls_timeout", V_TIME, AT(starttls_ms) },
	{ "tls_secure_cert_match", "tls_secure_cert_match", V_STR, AT(tls_secure_match) },
	{ "tls_servername", "tls_servername", V_STR, AT(tls_servername) },
	{ "tls_verify_cert_match", "tls_verify_cert_match", V_STR, AT(tls_verify_match) },
	{ "tls_wrappermode", "tls_wrappermode", V_BOOL, AT(tls_wrapper) },
	{ "xforward_timeout", "xforward_timeout", V_TIME, AT(xforward_ms) },
};

/* "smtp_" or "lmtp_" and suffix. */
struct param_name {
	char text[80];
};

static struct param_name name_of(const char *suffix)
{
	struct param_name n;

	snprintf(n.text, sizeof n.text, "%s_%s", loaded.lmtp ? "lmtp" : "smtp", suffix);
	return n;
}

static const char *text_of(const struct conf *c, const char *suffix)
{
	return conf_str(c, name_of(suffix).text);
}

static void load_row(const struct conf *c, const struct row *row)
{
	const char *suffix = loaded.lmtp ? row->lmtp : row->smtp;
	char *at = (char *)&loaded + row->at;
	struct param_name name;

	if (suffix == NULL)
		return;
	name = name_of(suffix);
	if (row->kind == V_TIME)
		*(int64_t *)(void *)at = conf_time_ms(c, name.text);
	else if (row->kind == V_COUNT)
		*(size_t *)(void *)at = (size_t)conf_int(c, name.text);
	else if (row->kind == V_BOOL)
		*(bool *)at = conf_bool(c, name.text);
	else
		*(const char **)(void *)at = conf_str(c, name.text);
}

/* ---- values with a meaning of their own ---- */

static unsigned families_of(const char *protocols)
{
	struct str rest = str_z(protocols), word;
	unsigned families = 0;

	while ((word = str_word(&rest, ", \t\r\n")).n > 0)
		families |= str_eqiz(word, "ipv4") ? 1 : str_eqiz(word, "ipv6") ? 2 : 3;
	return families > 0 ? families : 3;
}

static bool has_word(const char *list, const char *wanted)
{
	struct str rest = str_z(list), word;

	while ((word = str_word(&rest, ", \t\r\n")).n > 0) {
		if (str_eqiz(word, wanted))
			return true;
	}
	return false;
}

static int load_bind(const char *text, struct sock_addr *out, bool *given, struct err *e)
{
	*given = *text != '\0';
	return *given ? sock_parse_ip(str_z(text), 0, out, e) : 0;
}

static const struct {
	const char *word;
	unsigned bit;
} offer_words[] = {
	{ "pipelining", OFFER_PIPELINING },
	{ "size", OFFER_SIZE },
	{ "8bitmime", OFFER_8BITMIME },
	{ "smtputf8", OFFER_SMTPUTF8 },
	{ "dsn", OFFER_DSN },
	{ "starttls", OFFER_STARTTLS },
	{ "auth", OFFER_AUTH },
	{ "xforward", OFFER_XFORWARD },
};

static void load_discard(const struct conf *c)
{
	for (size_t i = 0; !loaded.lmtp && i < sizeof offer_words / sizeof *offer_words; i++) {
		if (has_word(conf_str(c, "smtp_discard_ehlo_keywords"), offer_words[i].word))
			loaded.discard |= offer_words[i].bit;
	}
}

static void load_lookups(const struct conf *c)
{
	const char *level = text_of(c, "dns_support_level"), *prefer = text_of(c, "address_preference");

	loaded.use_dns = strcasecmp(level, "disabled") != 0 && !(*level == '\0' && conf_bool(c, "disable_dns_lookups"));
	loaded.use_native = has_word(text_of(c, "host_lookup"), "native") || !loaded.use_dns;
	if (!has_word(text_of(c, "host_lookup"), "dns"))
		loaded.use_dns = false;
	loaded.ignore_mx_error = conf_bool(c, "ignore_mx_lookup_error");
	loaded.dns_ms = conf_time_ms(c, "dns_timeout");
	loaded.families = families_of(conf_str(c, "inet_protocols"));
	loaded.prefer = strcasecmp(prefer, "ipv4") == 0 ? PREFER_V4 : strcasecmp(prefer, "ipv6") == 0 ? PREFER_V6 : PREFER_ANY;
}

static int load_tables(const struct conf *c, const char *suffix, struct tables *out, struct err *e)
{
	static struct arena *life;

	if (life == NULL)
		life = arena_new("smtp tables");
	if (tables_open(life, text_of(c, suffix), conf_dir(c), out, e) < 0)
		return err_context(e, "%s", name_of(suffix).text);
	return 0;
}

/* ---- TLS ---- */

static int load_tls_level(const struct conf *c, struct err *e)
{
	const char *level = text_of(c, "tls_security_level");

	if (*level == '\0')
		level = conf_bool(c, name_of("enforce_tls").text)
				? (conf_bool(c, name_of("tls_enforce_peername").text) ? "verify" : "encrypt")
			: conf_bool(c, name_of("use_tls").text) ? "may"
								: "none";
	if (!tls_level_parse(str_z(level), &loaded.tls_level))
		return err_perm(e, "%s: \"%s\" is not supported", name_of("tls_security_level").text, level);
	if (strcasecmp(level, "dane") == 0)
		log_warn("%s: TLSA records are not used: level dane is treated as may", name_of("tls_security_level").text);
	if (loaded.tls_wrapper && loaded.tls_level < TLS_ENCRYPT)
		return err_perm(
			e, "%s = yes needs %s = encrypt, or stronger", name_of("tls_wrappermode").text, name_of("tls_security_level").text);
	return 0;
}

static int load_tls(const struct conf *c, struct err *e)
{
	struct tls_settings set = {
		.chain_files = text_of(c, "tls_chain_files"),
		.cert_file = text_of(c, "tls_cert_file"),
		.key_file = text_of(c, "tls_key_file"),
		.ca_file = text_of(c, "tls_CAfile"),
		.ca_path = text_of(c, "tls_CApath"),
		.protocols = text_of(c, "tls_protocols"),
		.ciphers = text_of(c, "tls_ciphers"),
	};

	if (load_tls_level(c, e) < 0 || load_tables(c, "tls_policy_maps", &loaded.tls_policy, e) < 0)
		return -1;
	loaded.tls_notes = conf_int(c, name_of("tls_loglevel").text) > 0;
	if (loaded.tls_level == TLS_NONE && loaded.tls_policy.count == 0)
		return 0;
	loaded.tls = tls_client_ctx(&set, e);
	set.protocols = text_of(c, "tls_mandatory_protocols");
	set.ciphers = text_of(c, "tls_mandatory_ciphers");
	loaded.tls_mandatory = loaded.tls == NULL ? NULL : tls_client_ctx(&set, e);
	return loaded.tls_mandatory == NULL ? err_context(e, "TLS client") : 0;
}

static int load_rewriting(const struct conf *c, struct err *e)
{
	loaded.myorigin = conf_str(c, "myorigin");
	loaded.delimiters = conf_str(c, "recipient_delimiter");
	loaded.propagate_generic = has_word(conf_str(c, "propagate_unmatched_extensions"), "generic");
	loaded.mime_conversion = !conf_bool(c, "disable_mime_output_conversion");
	loaded.mime_nesting = (unsigned)conf_int(c, "mime_nesting_limit");
	loaded.boundary_length = (unsigned)conf_int(c, "mime_boundary_length_limit");
	loaded.mydestination = matchlist_open(conf_str(c, "mydestination"), MATCH_HOST | MATCH_WHOLE, conf_dir(c), e);
	if (loaded.mydestination == NULL)
		return err_context(e, "mydestination");
	return load_tables(c, "generic_maps", &loaded.generic, e);
}

/* Accepted so that a Postfix configuration loads, and without effect here: an operator who relies on one must hear of it. */
static void warn_unused(const struct conf *c)
{
	static const char *const suffixes[] = { "body_checks", "delivery_status_filter", "dns_reply_filter", "header_checks",
		"mime_header_checks", "nested_header_checks", "reply_filter" };

	for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++) {
		if (*text_of(c, suffixes[i]) != '\0' && *conf_raw(c, name_of(suffixes[i]).text) != '$')
			log_warn("%s has no effect: outgoing mail is not checked or filtered", name_of(suffixes[i]).text);
	}
}

int settings_load(const struct conf *c, bool lmtp, struct err *e)
{
	loaded = (struct settings){ .lmtp = lmtp, .always_ehlo = true };
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		load_row(c, &rows[i]);
	loaded.myhostname = conf_str(c, "myhostname");
	if (loaded.connect_ms == 0)
		loaded.connect_ms = -1; /* the system's own limit */
	if (!conf_bool(c, name_of("connection_cache_on_demand").text) && *text_of(c, "connection_cache_destinations") == '\0')
		loaded.idle_ms = 0;
	warn_unused(c);
	load_lookups(c);
	load_discard(c);
	if (!nexthop_port(str_z(text_of(c, "tcp_port")), &loaded.port))
		return err_perm(e, "%s: no such service: \"%s\"", name_of("tcp_port").text, text_of(c, "tcp_port"));
	if (load_bind(text_of(c, "bind_address"), &loaded.bind4, &loaded.has_bind4, e) < 0 ||
		load_bind(text_of(c, "bind_address6"), &loaded.bind6, &loaded.has_bind6, e) < 0)
		return err_context(e, "%s", name_of("bind_address").text);
	if (loaded.sasl && load_tables(c, "sasl_password_maps", &loaded.sasl_passwords, e) < 0)
		return -1;
	if (load_rewriting(c, e) < 0)
		return -1;
	return load_tls(c, e);
}
