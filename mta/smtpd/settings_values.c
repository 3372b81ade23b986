/* mta/smtpd/settings_values.c - the plain values of struct settings: one table, read once; and those that are different under stress. */
#include "mta/smtpd/settings.h"

#include <stddef.h>
#include <string.h>

#include "lib/base/log.h"
#include "lib/service/service.h"

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
	{ "compatibility_level", V_STR, AT(compatibility_level) },
	{ "content_filter", V_STR, AT(content_filter) },
	{ "default_verp_delimiters", V_STR, AT(verp_delimiters) },
	{ "defer_code", V_INT, AT(code_defer) },
	{ "disable_vrfy_command", V_BOOL, AT(disable_vrfy) },
	{ "double_bounce_sender", V_STR, AT(double_bounce) },
	{ "error_notice_recipient", V_STR, AT(error_recipient) },
	{ "invalid_hostname_reject_code", V_INT, AT(code_invalid_hostname) },
	{ "ipc_timeout", V_TIME, AT(ipc_timeout_ms) },
	{ "line_length_limit", V_SIZE, AT(line_limit) },
	{ "mail_name", V_STR, AT(mail_name) },
	{ "mail_version", V_STR, AT(mail_version) },
	{ "message_size_limit", V_SIZE, AT(message_limit) },
	{ "milter_macro_daemon_name", V_STR, AT(milter_daemon_name) },
	{ "milter_macro_v", V_STR, AT(milter_v) },
	{ "multi_recipient_bounce_reject_code", V_INT, AT(code_multi_rcpt_bounce) },
	{ "myhostname", V_STR, AT(myhostname) },
	{ "myorigin", V_STR, AT(myorigin) },
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
	{ "smtpd_dry_run", V_BOOL, AT(dry_run) },
	{ "smtpd_early_checks", V_BOOL, AT(early) },
	{ "smtpd_error_sleep_time", V_TIME, AT(error_sleep_ms) },
	{ "smtpd_forbid_bare_newline_reject_code", V_INT, AT(code_bare_newline) },
	{ "smtpd_forbid_unauth_pipelining", V_BOOL, AT(forbid_pipelining) },
	{ "smtpd_hard_error_limit", V_INT, AT(hard_error_limit) },
	{ "smtpd_helo_required", V_BOOL, AT(helo_required) },
	{ "smtpd_history_flush_threshold", V_INT, AT(history_lines) },
	{ "smtpd_junk_command_limit", V_INT, AT(junk_limit) },
	{ "smtpd_log_access_permit_actions", V_STR, AT(permit_log) },
	{ "smtpd_min_data_rate", V_INT, AT(min_data_rate) },
	{ "smtpd_null_access_lookup_key", V_STR, AT(null_key) },
	{ "smtpd_peername_lookup", V_BOOL, AT(peername_lookup) },
	{ "smtpd_per_request_deadline", V_BOOL, AT(per_request_deadline) },
	{ "smtpd_policy_service_default_action", V_STR, AT(policy_default_action) },
	{ "smtpd_policy_service_max_idle", V_TIME, AT(policy_max_idle_ms) },
	{ "smtpd_policy_service_max_ttl", V_TIME, AT(policy_max_ttl_ms) },
	{ "smtpd_policy_service_new_attributes", V_BOOL, AT(policy_new) },
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
	{ "smtpd_reject_footer", V_RAW, AT(usual.reject_footer) },
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
	{ "verp_delimiter_filter", V_STR, AT(verp_filter) },
};

#define VALUES (sizeof values / sizeof *values)

static void read_value(const struct conf *c, const struct value_row *row, struct settings *to)
{
	void *at = (char *)to + row->offset;

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

void settings_values_load(const struct conf *c)
{
	for (size_t i = 0; i < VALUES; i++)
		read_value(c, &values[i], &cf);
}

/* ---- stress ---- */

/* Both sets of values; rows that are the same in both are never touched again: others may have changed them after they were read. */
static struct {
	struct settings calm, stressed;
	bool differs[VALUES];
	bool on;
} stress;

static size_t size_of(enum value_kind kind)
{
	return kind == V_STR || kind == V_RAW ? sizeof(const char *) : kind == V_BOOL ? sizeof(bool) : sizeof(int64_t);
}

static bool same_value(const struct value_row *row)
{
	const char *a = (const char *)&stress.calm + row->offset, *b = (const char *)&stress.stressed + row->offset;

	if (row->kind == V_STR || row->kind == V_RAW)
		return strcmp(*(const char *const *)(const void *)a, *(const char *const *)(const void *)b) == 0;
	return memcmp(a, b, size_of(row->kind)) == 0;
}

void settings_stress_load(const struct conf *calm)
{
	struct err e = ERR_INIT;
	const char *const setting = "stress=yes";
	const struct conf *stressed = service_conf_with(&setting, 1, &e);

	if (stressed == NULL)
		log_fatal("with stress = yes: %s", e.text);
	for (size_t i = 0; i < VALUES; i++) {
		read_value(calm, &values[i], &stress.calm);
		read_value(stressed, &values[i], &stress.stressed);
		stress.differs[i] = !same_value(&values[i]);
	}
}

bool settings_stress(bool on)
{
	const struct settings *from = on ? &stress.stressed : &stress.calm;

	if (on == stress.on)
		return false;
	stress.on = on;
	for (size_t i = 0; i < VALUES; i++)
		if (stress.differs[i])
			memcpy((char *)&cf + values[i].offset, (const char *)from + values[i].offset, size_of(values[i].kind));
	return true;
}
