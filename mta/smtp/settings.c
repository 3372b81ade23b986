/* mta/smtp/settings.c - what main.cf says to this service: smtp_* or lmtp_*, read once before the first request. */
#include <stdio.h>
#include <strings.h>

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "mta/smtp/smtp.h"

static struct settings loaded;
const struct settings *cfg = &loaded;

enum kind { V_TIME, V_COUNT, V_BOOL, V_STR, V_TABLES };

#define AT(field) offsetof(struct settings, field)

static const struct row {
	const char *smtp, *lmtp; /* behind "smtp_", "lmtp_"; NULL: does not exist there */
	enum kind kind;
	size_t at;
} rows[] = {
	{ "always_send_ehlo", NULL, V_BOOL, AT(always_ehlo) },
	{ NULL, "assume_final", V_BOOL, AT(assume_final) },
	{ "balance_inet_protocols", "balance_inet_protocols", V_BOOL, AT(balance) },
	{ "bind_address_enforce", "bind_address_enforce", V_BOOL, AT(bind_enforce) },
	{ "body_checks", "body_checks", V_TABLES, AT(checks[CHECK_BODY]) },
	{ "chunking", "chunking", V_BOOL, AT(chunking) },
	{ "connect_timeout", "connect_timeout", V_TIME, AT(connect_ms) },
	{ "connection_cache_on_demand", "connection_cache_on_demand", V_BOOL, AT(cache_on_demand) },
	{ "connection_cache_time_limit", "connection_cache_time_limit", V_TIME, AT(idle_ms) },
	{ "connection_reuse_count_limit", "connection_reuse_count_limit", V_COUNT, AT(reuse_count) },
	{ "connection_reuse_time_limit", "connection_reuse_time_limit", V_TIME, AT(reuse_ms) },
	{ "data_done_timeout", "data_done_timeout", V_TIME, AT(data_done_ms) },
	{ "data_init_timeout", "data_init_timeout", V_TIME, AT(data_init_ms) },
	{ "data_xfer_timeout", "data_xfer_timeout", V_TIME, AT(data_xfer_ms) },
	{ "defer_if_no_mx_address_found", NULL, V_BOOL, AT(defer_no_mx_address) },
	{ "delivery_status_filter", "delivery_status_filter", V_TABLES, AT(status_filter) },
	{ "discard_ehlo_keyword_address_maps", "discard_lhlo_keyword_address_maps", V_TABLES, AT(discard_maps) },
	{ "dns_reply_filter", "dns_reply_filter", V_TABLES, AT(dns_filter) },
	{ "fallback_relay", "fallback_relay", V_STR, AT(fallback) },
	{ "generic_maps", "generic_maps", V_TABLES, AT(generic) },
	{ "header_checks", "header_checks", V_TABLES, AT(checks[CHECK_HEADER]) },
	{ "helo_name", "lhlo_name", V_STR, AT(hello_name) },
	{ "helo_timeout", "lhlo_timeout", V_TIME, AT(hello_ms) },
	{ "line_length_limit", "line_length_limit", V_COUNT, AT(line_limit) },
	{ "mail_timeout", "mail_timeout", V_TIME, AT(mail_ms) },
	{ "mime_header_checks", "mime_header_checks", V_TABLES, AT(checks[CHECK_MIME_HEADER]) },
	{ "min_data_rate", "min_data_rate", V_COUNT, AT(min_data_rate) },
	{ "mx_address_limit", "mx_address_limit", V_COUNT, AT(mx_address_limit) },
	{ "mx_session_limit", "mx_session_limit", V_COUNT, AT(mx_session_limit) },
	{ "nested_header_checks", "nested_header_checks", V_TABLES, AT(checks[CHECK_NESTED_HEADER]) },
	{ "never_send_ehlo", NULL, V_BOOL, AT(never_ehlo) },
	{ "per_request_deadline", "per_request_deadline", V_BOOL, AT(request_deadline) },
	{ "pix_workaround_delay_time", "pix_workaround_delay_time", V_TIME, AT(pix_delay_ms) },
	{ "pix_workaround_maps", "pix_workaround_maps", V_TABLES, AT(pix_maps) },
	{ "pix_workaround_threshold_time", "pix_workaround_threshold_time", V_TIME, AT(pix_threshold_ms) },
	{ "pix_workarounds", "pix_workarounds", V_STR, AT(pix_workarounds) },
	{ "quit_timeout", "quit_timeout", V_TIME, AT(quit_ms) },
	{ "quote_rfc821_envelope", "quote_rfc821_envelope", V_BOOL, AT(quote_envelope) },
	{ "randomize_addresses", "randomize_addresses", V_BOOL, AT(shuffle) },
	{ "rcpt_timeout", "rcpt_timeout", V_TIME, AT(rcpt_ms) },
	{ "reply_filter", "reply_filter", V_TABLES, AT(reply_filter) },
	{ "rset_timeout", "rset_timeout", V_TIME, AT(rset_ms) },
	{ "sasl_auth_cache_name", "sasl_auth_cache_name", V_STR, AT(sasl_cache) },
	{ "sasl_auth_cache_time", "sasl_auth_cache_time", V_TIME, AT(sasl_cache_ms) },
	{ "sasl_auth_enable", "sasl_auth_enable", V_BOOL, AT(sasl) },
	{ "sasl_auth_soft_bounce", "sasl_auth_soft_bounce", V_BOOL, AT(sasl_soft_bounce) },
	{ "sasl_password_maps", "sasl_password_maps", V_TABLES, AT(sasl_passwords) },
	{ "sasl_security_options", "sasl_security_options", V_STR, AT(sasl_options) },
	{ "sasl_tls_security_options", "sasl_tls_security_options", V_STR, AT(sasl_tls_options) },
	{ "sasl_tls_verified_security_options", "sasl_tls_verified_security_options", V_STR, AT(sasl_verified_options) },
	{ "send_dummy_mail_auth", "send_dummy_mail_auth", V_BOOL, AT(dummy_auth) },
	{ "send_xforward_command", "send_xforward_command", V_BOOL, AT(xforward) },
	{ "sender_dependent_authentication", "sender_dependent_authentication", V_BOOL, AT(sasl_by_sender) },
	{ "skip_5xx_greeting", "skip_5xx_greeting", V_BOOL, AT(skip_5xx_greeting) },
	{ "skip_quit_response", "skip_quit_response", V_BOOL, AT(skip_quit_response) },
	{ "starttls_timeout", "starttls_timeout", V_TIME, AT(starttls_ms) },
	{ "tls_policy_maps", "tls_policy_maps", V_TABLES, AT(tls_policy) },
	{ "tls_secure_cert_match", "tls_secure_cert_match", V_STR, AT(tls_secure_match) },
	{ "tls_servername", "tls_servername", V_STR, AT(tls_servername) },
	{ "tls_verify_cert_match", "tls_verify_cert_match", V_STR, AT(tls_verify_match) },
	{ "tls_wrappermode", "tls_wrappermode", V_BOOL, AT(tls_wrapper) },
	{ "xforward_timeout", "xforward_timeout", V_TIME, AT(xforward_ms) },
};

struct settings_name settings_name(const char *suffix)
{
	struct settings_name n;

	snprintf(n.text, sizeof n.text, "%s_%s", loaded.lmtp ? "lmtp" : "smtp", suffix);
	return n;
}

const char *settings_text(const struct conf *c, const char *suffix)
{
	return conf_str(c, settings_name(suffix).text);
}

static int load_tables(const struct conf *c, const char *suffix, struct tables *out, struct err *e)
{
	static struct arena *life;

	if (life == NULL)
		life = arena_new("smtp tables");
	if (tables_open(life, settings_text(c, suffix), conf_dir(c), out, e) < 0)
		return err_context(e, "%s", settings_name(suffix).text);
	return 0;
}

static int load_row(const struct conf *c, const struct row *row, struct err *e)
{
	const char *suffix = loaded.lmtp ? row->lmtp : row->smtp;
	char *at = (char *)&loaded + row->at;
	struct settings_name name;

	if (suffix == NULL)
		return 0;
	name = settings_name(suffix);
	if (row->kind == V_TABLES)
		return load_tables(c, suffix, (struct tables *)(void *)at, e);
	if (row->kind == V_TIME)
		*(int64_t *)(void *)at = conf_time_ms(c, name.text);
	else if (row->kind == V_COUNT)
		*(size_t *)(void *)at = (size_t)conf_int(c, name.text);
	else if (row->kind == V_BOOL)
		*(bool *)at = conf_bool(c, name.text);
	else
		*(const char **)(void *)at = conf_str(c, name.text);
	return 0;
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

static int load_list(const struct conf *c, const char *suffix, struct matchlist **out, struct err *e)
{
	*out = matchlist_open(settings_text(c, suffix), MATCH_HOST | MATCH_WHOLE, conf_dir(c), e);
	return *out != NULL ? 0 : err_context(e, "%s", settings_name(suffix).text);
}

static void load_lookups(const struct conf *c)
{
	const char *level = settings_text(c, "dns_support_level"), *prefer = settings_text(c, "address_preference");

	loaded.use_dns = strcasecmp(level, "disabled") != 0 && !(*level == '\0' && conf_bool(c, "disable_dns_lookups"));
	loaded.use_native = has_word(settings_text(c, "host_lookup"), "native") || !loaded.use_dns;
	if (!has_word(settings_text(c, "host_lookup"), "dns"))
		loaded.use_dns = false;
	loaded.dnssec = loaded.use_dns && strcasecmp(level, "dnssec") == 0;
	loaded.ignore_mx_error = conf_bool(c, "ignore_mx_lookup_error");
	loaded.dns_ms = conf_time_ms(c, "dns_timeout");
	loaded.families = families_of(conf_str(c, "inet_protocols"));
	loaded.prefer = strcasecmp(prefer, "ipv4") == 0 ? PREFER_V4 : strcasecmp(prefer, "ipv6") == 0 ? PREFER_V6 : PREFER_ANY;
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
	return 0;
}

/* Accepted so that a Postfix configuration loads, and without effect here: an operator who relies on one must hear of it. */
static void warn_unused(const struct conf *c)
{
	if (*settings_text(c, "sasl_auth_cache_name") != '\0')
		log_warn("%s has no effect: there are no tables to write to", settings_name("sasl_auth_cache_name").text);
	if (*settings_text(c, "dns_resolver_options") != '\0')
		log_warn("%s has no effect: names are asked for as they are", settings_name("dns_resolver_options").text);
}

static int load_connections(const struct conf *c, struct err *e)
{
	if (loaded.connect_ms == 0)
		loaded.connect_ms = -1; /* the system's own limit */
	if (load_list(c, "connection_cache_destinations", &loaded.cache_always, e) < 0)
		return -1;
	if (!nexthop_port(str_z(settings_text(c, "tcp_port")), &loaded.port))
		return err_perm(e, "%s: no such service: \"%s\"", settings_name("tcp_port").text, settings_text(c, "tcp_port"));
	if (load_bind(settings_text(c, "bind_address"), &loaded.bind4, &loaded.has_bind4, e) < 0 ||
		load_bind(settings_text(c, "bind_address6"), &loaded.bind6, &loaded.has_bind6, e) < 0)
		return err_context(e, "%s", settings_name("bind_address").text);
	return 0;
}

int settings_load(const struct conf *c, bool lmtp, struct err *e)
{
	loaded = (struct settings){ .lmtp = lmtp, .always_ehlo = true };
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		if (load_row(c, &rows[i], e) < 0)
			return -1;
	}
	loaded.myhostname = conf_str(c, "myhostname");
	loaded.best_mx_transport = conf_str(c, "best_mx_transport");
	loaded.body_check_limit = (size_t)conf_size(c, "body_checks_size_limit");
	loaded.discard = offers_named(str_z(settings_text(c, lmtp ? "discard_lhlo_keywords" : "discard_ehlo_keywords")));
	warn_unused(c);
	load_lookups(c);
	if (load_connections(c, e) < 0 || load_rewriting(c, e) < 0)
		return -1;
	if (*settings_text(c, "sasl_mechanism_filter") != '\0' && load_list(c, "sasl_mechanism_filter", &loaded.sasl_mechanisms, e) < 0)
		return -1;
	return settings_load_tls(c, &loaded, e);
}
