/* mta/smtpd/settings.c - reads main.cf into struct settings: one table of plain values, then what needs opening. */
#include "mta/smtpd/settings.h"

#include <stddef.h>

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/service/service.h"

struct settings cf;

enum value_kind { V_STR, V_RAW, V_INT, V_SIZE, V_TIME, V_BOOL };

struct value_row {
	const char *name;
	enum value_kind kind;
	size_t offset;
};

#define AT(field) offsetof(struct settings, field)

static const struct value_row values[] = {
	{ "access_map_defer_code", V_INT, AT(code_map_defer) },
	{ "access_map_reject_code", V_INT, AT(code_map_reject) },
	{ "allow_untrusted_routing", V_BOOL, AT(allow_untrusted_routing) },
	{ "anvil_rate_time_unit", V_TIME, AT(rate_unit_ms) },
	{ "broken_sasl_auth_clients", V_BOOL, AT(sasl_broken) },
	{ "cleanup_replace_stray_cr_lf", V_BOOL, AT(replace_stray) },
	{ "content_filter", V_STR, AT(content_filter) },
	{ "defer_code", V_INT, AT(code_defer) },
	{ "disable_vrfy_command", V_BOOL, AT(disable_vrfy) },
	{ "invalid_hostname_reject_code", V_INT, AT(code_invalid_hostname) },
	{ "ipc_timeout", V_TIME, AT(ipc_timeout_ms) },
	{ "line_length_limit", V_SIZE, AT(line_limit) },
	{ "mail_name", V_STR, AT(mail_name) },
	{ "message_size_limit", V_SIZE, AT(message_limit) },
	{ "milter_macro_daemon_name", V_STR, AT(milter_daemon_name) },
	{ "milter_macro_v", V_STR, AT(milter_v) },
	{ "multi_recipient_bounce_reject_code", V_INT, AT(code_multi_rcpt_bounce) },
	{ "myhostname", V_STR, AT(myhostname) },
	{ "non_fqdn_reject_code", V_INT, AT(code_non_fqdn) },
	{ "plaintext_reject_code", V_INT, AT(code_plaintext) },
	{ "postscreen_client_connection_count_limit", V_INT, AT(early_conn_limit) },
	{ "postscreen_dnsbl_allowlist_threshold", V_INT, AT(early_allow_threshold) },
	{ "postscreen_dnsbl_max_ttl", V_TIME, AT(early_dnsbl_max_ttl_ms) },
	{ "postscreen_dnsbl_min_ttl", V_TIME, AT(early_dnsbl_min_ttl_ms) },
	{ "postscreen_dnsbl_threshold", V_INT, AT(early_dnsbl_threshold) },
	{ "postscreen_dnsbl_timeout", V_TIME, AT(early_dnsbl_timeout_ms) },
	{ "postscreen_greet_banner", V_STR, AT(early_banner) },
	{ "postscreen_greet_ttl", V_TIME, AT(early_greet_ttl_ms) },
	{ "postscreen_greet_wait", V_TIME, AT(early_greet_wait_ms) },
	{ "queue_minfree", V_SIZE, AT(queue_minfree) },
	{ "reject_code", V_INT, AT(code_reject) },
	{ "relay_domains_reject_code", V_INT, AT(code_relay) },
	{ "respectful_logging", V_BOOL, AT(respectful) },
	{ "requiretls_enable", V_BOOL, AT(requiretls) },
	{ "show_user_unknown_table_name", V_BOOL, AT(show_table_name) },
	{ "smtpd_banner", V_STR, AT(banner) },
	{ "smtpd_client_auth_rate_limit", V_INT, AT(auth_rate_limit) },
	{ "smtpd_client_connection_count_limit", V_INT, AT(conn_count_limit) },
	{ "smtpd_client_connection_rate_limit", V_INT, AT(conn_rate_limit) },
	{ "smtpd_client_message_rate_limit", V_INT, AT(mail_rate_limit) },
	{ "smtpd_client_new_tls_session_rate_limit", V_INT, AT(tls_rate_limit) },
	{ "smtpd_client_port_logging", V_BOOL, AT(port_logging) },
	{ "smtpd_client_recipient_rate_limit", V_INT, AT(rcpt_rate_limit) },
	{ "smtpd_delay_reject", V_BOOL, AT(delay_reject) },
	{ "smtpd_early_checks", V_BOOL, AT(early) },
	{ "smtpd_error_sleep_time", V_TIME, AT(error_sleep_ms) },
	{ "smtpd_forbid_bare_newline_reject_code", V_INT, AT(code_bare_newline) },
	{ "smtpd_forbid_unauth_pipelining", V_BOOL, AT(forbid_pipelining) },
	{ "smtpd_hard_error_limit", V_INT, AT(hard_error_limit) },
	{ "smtpd_helo_required", V_BOOL, AT(helo_required) },
	{ "smtpd_junk_command_limit", V_INT, AT(junk_limit) },
	{ "smtpd_log_access_permit_actions", V_STR, AT(permit_log) },
	{ "smtpd_min_data_rate", V_INT, AT(min_data_rate) },
	{ "smtpd_null_access_lookup_key", V_STR, AT(null_key) },
	{ "smtpd_peername_lookup", V_BOOL, AT(peername_lookup) },
	{ "smtpd_per_request_deadline", V_BOOL, AT(per_request_deadline) },
	{ "smtpd_policy_service_default_action", V_STR, AT(policy_default_action) },
	{ "smtpd_policy_service_max_idle", V_TIME, AT(policy_max_idle_ms) },
	{ "smtpd_policy_service_max_ttl", V_TIME, AT(policy_max_ttl_ms) },
	{ "smtpd_policy_service_policy_context", V_STR, AT(policy_context) },
	{ "smtpd_policy_service_request_limit", V_INT, AT(policy_request_limit) },
	{ "smtpd_policy_service_retry_delay", V_TIME, AT(policy_retry_ms) },
	{ "smtpd_policy_service_timeout", V_TIME, AT(policy_timeout_ms) },
	{ "smtpd_policy_service_try_limit", V_INT, AT(policy_try_limit) },
	{ "smtpd_proxy_ehlo", V_STR, AT(proxy_ehlo) },
	{ "smtpd_proxy_filter", V_STR, AT(proxy_filter) },
	{ "smtpd_proxy_timeout", V_TIME, AT(proxy_filter_timeout_ms) },
	{ "smtpd_recipient_limit", V_INT, AT(rcpt_limit) },
	{ "smtpd_recipient_overshoot_limit", V_INT, AT(rcpt_overshoot) },
	{ "smtpd_reject_footer", V_RAW, AT(reject_footer) },
	{ "smtpd_reject_unlisted_recipient", V_BOOL, AT(reject_unlisted_rcpt) },
	{ "smtpd_reject_unlisted_sender", V_BOOL, AT(reject_unlisted_sender) },
	{ "smtpd_relay_before_recipient_restrictions", V_BOOL, AT(relay_first) },
	{ "smtpd_sasl_auth_enable", V_BOOL, AT(sasl_enable) },
	{ "smtpd_sasl_authenticated_header", V_BOOL, AT(sasl_header) },
	{ "smtpd_sasl_path", V_STR, AT(sasl_path) },
	{ "smtpd_sasl_response_limit", V_SIZE, AT(sasl_response_limit) },
	{ "smtpd_sasl_security_options", V_STR, AT(sasl_options) },
	{ "smtpd_sasl_service", V_STR, AT(sasl_service) },
	{ "smtpd_sasl_tls_security_options", V_STR, AT(sasl_tls_options) },
	{ "smtpd_sasl_type", V_STR, AT(sasl_type) },
	{ "smtpd_soft_error_limit", V_INT, AT(soft_error_limit) },
	{ "smtpd_starttls_timeout", V_TIME, AT(starttls_timeout_ms) },
	{ "smtpd_timeout", V_TIME, AT(timeout_ms) },
	{ "smtpd_tls_ask_ccert", V_BOOL, AT(tls_ask_ccert) },
	{ "smtpd_tls_auth_only", V_BOOL, AT(tls_auth_only) },
	{ "smtpd_reply_token", V_BOOL, AT(reply_token) },
	{ "smtpd_tls_fingerprint_digest", V_STR, AT(tls_digest) },
	{ "smtpd_tls_loglevel", V_INT, AT(tls_loglevel) },
	{ "smtpd_tls_received_header", V_BOOL, AT(tls_received) },
	{ "smtpd_tls_req_ccert", V_BOOL, AT(tls_req_ccert) },
	{ "smtpd_tls_wrappermode", V_BOOL, AT(tls_wrappermode) },
	{ "smtpd_upstream_proxy_protocol", V_STR, AT(proxy_protocol) },
	{ "smtpd_upstream_proxy_timeout", V_TIME, AT(proxy_timeout_ms) },
	{ "smtputf8_enable", V_BOOL, AT(smtputf8) },
	{ "soft_bounce", V_BOOL, AT(soft_bounce) },
	{ "stress", V_STR, AT(stress) },
	{ "strict_rfc821_envelopes", V_BOOL, AT(strict_envelopes) },
	{ "strict_smtputf8", V_BOOL, AT(strict_smtputf8) },
	{ "unknown_address_tempfail_action", V_STR, AT(unknown_address_tempfail) },
	{ "unknown_address_reject_code", V_INT, AT(code_unknown_address) },
	{ "unknown_client_reject_code", V_INT, AT(code_unknown_client) },
	{ "unknown_helo_hostname_tempfail_action", V_STR, AT(unknown_helo_tempfail) },
	{ "unknown_hostname_reject_code", V_INT, AT(code_unknown_hostname) },
	{ "unknown_local_recipient_reject_code", V_INT, AT(code_local_unknown) },
	{ "unknown_relay_recipient_reject_code", V_INT, AT(code_relay_unknown) },
	{ "unknown_virtual_alias_reject_code", V_INT, AT(code_valias_unknown) },
	{ "unknown_virtual_mailbox_reject_code", V_INT, AT(code_vmailbox_unknown) },
	{ "unverified_recipient_defer_code", V_INT, AT(code_unsure_rcpt) },
	{ "unverified_recipient_reject_code", V_INT, AT(code_unverified_rcpt) },
	{ "unverified_recipient_reject_reason", V_STR, AT(unverified_rcpt_reason) },
	{ "unverified_recipient_tempfail_action", V_STR, AT(unverified_rcpt_tempfail) },
	{ "unverified_sender_defer_code", V_INT, AT(code_unsure_sender) },
	{ "unverified_sender_reject_code", V_INT, AT(code_unverified_sender) },
	{ "unverified_sender_reject_reason", V_STR, AT(unverified_sender_reason) },
	{ "unverified_sender_tempfail_action", V_STR, AT(unverified_sender_tempfail) },
};

static void load_values(const struct conf *c)
{
	for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
		const struct value_row *row = &values[i];
		void *at = (char *)&cf + row->offset;

		switch (row->kind) {
		case V_STR:
			*(const char **)at = conf_str(c, row->name);
			break;
		case V_RAW:
			*(const char **)at = conf_raw(c, row->name);
			break;
		case V_INT:
			*(int64_t *)at = conf_int(c, row->name);
			break;
		case V_SIZE:
			*(int64_t *)at = conf_size(c, row->name);
			break;
		case V_TIME:
			*(int64_t *)at = conf_time_ms(c, row->name);
			break;
		case V_BOOL:
			*(bool *)at = conf_bool(c, row->name);
			break;
		}
	}
}

/* ---- words with a bit each ---- */

struct bit_row {
	const char *word;
	unsigned bit;
};

static const struct bit_row ehlo_words[] = {
	{ "8BITMIME", HIDE_8BITMIME },
	{ "AUTH", HIDE_AUTH },
	{ "CHUNKING", HIDE_CHUNKING },
	{ "DSN", HIDE_DSN },
	{ "ENHANCEDSTATUSCODES", HIDE_ENHANCED },
	{ "ETRN", HIDE_ETRN },
	{ "PIPELINING", HIDE_PIPELINING },
	{ "REQTLS", HIDE_REQTLS },
	{ "SILENT-DISCARD", HIDE_SILENT },
	{ "SIZE", HIDE_SIZE },
	{ "SMTPUTF8", HIDE_SMTPUTF8 },
	{ "STARTTLS", HIDE_STARTTLS },
	{ "VERP", HIDE_VERP },
	{ "VRFY", HIDE_VRFY },
	{ "XCLIENT", HIDE_XCLIENT },
	{ "XFORWARD", HIDE_XFORWARD },
};

static const struct bit_row override_words[] = {
	{ "no_address_mappings", OVERRIDE_NO_MAPPINGS },
	{ "no_header_body_checks", OVERRIDE_NO_CHECKS },
	{ "no_milters", OVERRIDE_NO_MILTERS },
	{ "no_unknown_recipient_checks", OVERRIDE_NO_UNKNOWN_RCPT },
};

static unsigned bits_parse(const struct bit_row *rows, size_t count, struct str words, const char *what)
{
	unsigned bits = 0;
	struct str w = str_word(&words, ", \t\r\n");

	for (; w.n > 0; w = str_word(&words, ", \t\r\n")) {
		size_t i = 0;

		while (i < count && !str_eqiz(w, rows[i].word))
			i++;
		if (i == count)
			log_warn("unknown %s \"%.*s\" ignored", what, STRF(w));
		else
			bits |= rows[i].bit;
	}
	return bits;
}

unsigned ehlo_discard_parse(struct str words)
{
	return bits_parse(ehlo_words, sizeof ehlo_words / sizeof *ehlo_words, words, "EHLO keyword");
}

void ehlo_discard_print(unsigned bits, struct buf *out)
{
	for (size_t i = 0; i < sizeof ehlo_words / sizeof *ehlo_words; i++)
		if (bits & ehlo_words[i].bit & ~(unsigned)HIDE_SILENT)
			buf_addf(out, "%s%s", out->n ? " " : "", ehlo_words[i].word);
}

/* ---- things that are opened ---- */

static void open_list(const struct conf *c, const char *name, unsigned flags, struct matchlist **out)
{
	struct err e = ERR_INIT;

	*out = matchlist_open(conf_str(c, name), flags, conf_dir(c), &e);
	if (*out == NULL)
		log_fatal("%s: %s", name, e.text);
}

static void open_tables(const struct conf *c, const char *name, struct tables *out)
{
	struct err e = ERR_INIT;

	if (tables_open(cf.life, conf_str(c, name), conf_dir(c), out, &e) < 0)
		log_fatal("%s: %s", name, e.text);
}

/* Words are verbs; "type:table" words are tables asked for the verb. */
static void open_verbs(const struct conf *c, const char *name, struct str **verbs, size_t *count, struct tables *tables)
{
	struct str *words = NULL;
	size_t n = conf_list(cf.life, conf_str(c, name), &words);
	struct buf maps = { 0 };
	struct err e = ERR_INIT;

	*verbs = arena_alloc(cf.life, (n + 1) * sizeof **verbs);
	for (size_t i = 0; i < n; i++)
		if (str_chr(words[i], ':') >= 0)
			buf_addf(&maps, " %.*s", STRF(words[i]));
		else
			(*verbs)[(*count)++] = words[i];
	if (tables_open(cf.life, buf_z(&maps), conf_dir(c), tables, &e) < 0)
		log_fatal("%s: %s", name, e.text);
	buf_done(&maps);
}

static void open_own_addresses(const struct conf *c)
{
	struct buf b = { 0 };
	struct err e = ERR_INIT;
	struct str *words = NULL;
	const char *names[] = { "inet_interfaces", "proxy_interfaces" };

	for (size_t i = 0; i < 2; i++) {
		size_t n = conf_list(cf.life, conf_str(c, names[i]), &words);

		for (size_t k = 0; k < n; k++)
			if (str_eqiz(words[k], "all") || str_eqiz(words[k], "loopback-only") || str_eqiz(words[k], "localhost"))
				buf_addz(&b, " 127.0.0.1 [::1]");
			else
				buf_addf(&b, " %.*s", STRF(words[k]));
	}
	cf.own_addresses = matchlist_open(buf_z(&b), MATCH_ADDR, conf_dir(c), &e);
	if (cf.own_addresses == NULL)
		log_fatal("inet_interfaces: %s", e.text);
	buf_done(&b);
}

static bool parents_match(const struct conf *c, const char *what)
{
	struct str words = str_z(conf_str(c, "parent_domain_matches_subdomains"));

	for (struct str w = str_word(&words, ", \t\r\n"); w.n > 0; w = str_word(&words, ", \t\r\n"))
		if (str_eqiz(w, what))
			return true;
	return false;
}

static void open_lists(const struct conf *c)
{
	unsigned both = MATCH_HOST | MATCH_ADDR;

	open_list(c, "mynetworks", MATCH_ADDR, &cf.mynetworks);
	open_list(c, "smtpd_authorized_xclient_hosts", both, &cf.xclient_hosts);
	open_list(c, "smtpd_authorized_xforward_hosts", both, &cf.xforward_hosts);
	open_list(c, "smtpd_authorized_verp_clients", both, &cf.verp_clients);
	open_list(c, "smtpd_client_event_limit_exceptions", both, &cf.limit_exempt);
	open_list(c, "smtpd_forbid_bare_newline_exclusions", both, &cf.bare_exempt);
	open_list(c, "smtpd_sasl_exceptions_networks", MATCH_ADDR, &cf.sasl_exceptions);
	open_list(c, "fast_flush_domains", MATCH_HOST | (parents_match(c, "fast_flush_domains") ? MATCH_PARENT : 0u), &cf.flush_domains);
	open_list(c, "permit_mx_backup_networks", MATCH_ADDR, &cf.backup_networks);
	cf.backup_networks_set = *conf_str(c, "permit_mx_backup_networks") != '\0';
	open_own_addresses(c);
	open_tables(c, "smtpd_discard_ehlo_keyword_address_maps", &cf.ehlo_discard_maps);
	open_tables(c, "smtpd_reject_footer_maps", &cf.footer_maps);
	open_tables(c, "relay_clientcerts", &cf.relay_clientcerts);
	open_tables(c, "smtpd_milter_maps", &cf.milter_maps);
	open_tables(c, "smtpd_command_filter", &cf.command_filter);
	open_tables(c, "smtpd_sender_login_maps", &cf.login_maps);
	open_verbs(c, "smtpd_forbidden_commands", &cf.forbidden, &cf.forbidden_count, &cf.forbidden_tables);
	open_verbs(c, "smtpd_noop_commands", &cf.noop_verbs, &cf.noop_verb_count, &cf.noop_tables);
}

/* ---- milters ---- */

int settings_milter_chain(struct arena *a, const char *text, struct milter_chain *out, struct err *e)
{
	return milter_chain_parse(a, text, &cf.milter_defaults, out, e);
}

static void load_milters(const struct conf *c)
{
	struct err e = ERR_INIT;

	if (milter_settings_load(c, &cf.milter_defaults, &cf.milter_macros, &e) < 0)
		log_fatal("%s", e.text);
	if (cf.override & OVERRIDE_NO_MILTERS)
		return;
	if (settings_milter_chain(cf.life, conf_str(c, "smtpd_milters"), &cf.milters, &e) < 0)
		log_fatal("smtpd_milters: %s", e.text);
}

static enum bare_newline bare_newline_parse(const char *word)
{
	if (str_eqiz(str_z(word), "reject"))
		return BARE_REJECT;
	return str_eqiz(str_z(word), "note") ? BARE_NOTE : BARE_NORMALIZE; /* "no" would allow smuggling: not offered */
}

static const struct bit_row proxy_words[] = {
	{ "speed_adjust", 1 },
};

static void load_proxy_filter(const struct conf *c)
{
	struct str words = str_z(conf_str(c, "smtpd_proxy_options"));

	cf.proxy_speed_adjust = bits_parse(proxy_words, 1, words, "smtpd_proxy_options word") != 0;
	if (*cf.proxy_filter != '\0' && cf.milters.count > 0)
		log_warn("smtpd_proxy_filter: smtpd_milters will not see the content: name them where the filter gives the mail back");
}

void settings_load(const struct conf *c)
{
	struct str overrides = str_z(conf_str(c, "receive_override_options"));

	cf.life = arena_new("smtpd settings");
	load_values(c);
	cf.ehlo_discard = ehlo_discard_parse(str_z(conf_str(c, "smtpd_discard_ehlo_keywords")));
	cf.override = bits_parse(override_words, sizeof override_words / sizeof *override_words, overrides,
		"receive_override_options word");
	cf.bare_newline = bare_newline_parse(conf_str(c, "smtpd_forbid_bare_newline"));
	open_lists(c);
	settings_load_tls(c);
	load_milters(c);
	load_proxy_filter(c);
	restrict_load(c);
	cf.cleanup = pool_new("unix:private/cleanup", 64, 60 * 1000, 600 * 1000);
	cf.policyd = pool_new("unix:private/policyd", 64, 60 * 1000, 600 * 1000);
	cf.rewrite = rewrite_client_new("unix:private/rewrite", cf.ipc_timeout_ms < 100 * 1000 ? cf.ipc_timeout_ms : 100 * 1000);
}
