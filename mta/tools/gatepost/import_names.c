/* mta/tools/gatepost/import_names.c - import: settings of Postfix that may stand in main.cf, and why nothing comes of them. The same as in
 * doc/postfix-parameters.md (t/006-postfix-parameters.t).
 */
#include "mta/tools/gatepost/import.h"

static const struct {
	const char *why, *names;
} without_effect[] = {
	{ "OpenSSL has its own source of randomness",
		"tls_daemon_random_bytes tls_random_bytes tls_random_exchange_name tls_random_prng_update_period "
		"tls_random_reseed_period tls_random_source" },
	{ "belongs to the installation of Postfix",
		"command_directory html_directory mail_release_date mailq_path manpage_directory meta_directory "
		"newaliases_path openssl_path process_id readme_directory sample_directory sendmail_path shlib_directory" },
	{ "every process opens its tables itself; proxy: is accepted",
		"proxy_read_maps proxy_write_maps" },
	{ "for debugging Postfix",
		"debug_peer_level debug_peer_list debugger_command dont_remove fault_injection_code helpful_warnings" },
	{ "instances are separate configuration directories: gatepost -c DIR",
		"alternate_config_directories multi_instance_directories multi_instance_enable multi_instance_group "
		"multi_instance_name multi_instance_wrapper postmulti_control_commands postmulti_start_commands "
		"postmulti_stop_commands" },
	{ "lists are asked for by policyd",
		"dnsblog_reply_delay" },
	{ "log lines are written by the processes themselves",
		"postlogd_watchdog_timeout" },
	{ "logrotate does it (package)",
		"maillog_file_compressor maillog_file_rotate_suffix" },
	{ "not done yet",
		"daemon_table_open_error_is_fatal delay_logging_resolution_limit dns_ncache_ttl_fix_enable dnssec_probe "
		"known_tcp_ports lmtp_address_verify_target master_service_disable qmgr_fudge_factor "
		"qmgr_message_recipient_minimum queue_file_attribute_count_limit smtp_address_verify_target "
		"smtpd_delay_open_until_valid_rcpt smtpd_dns_reply_filter tcp_windowsize "
		"tls_config_file tls_config_name tls_fast_shutdown_enable" },
	{ "sessions with TLS are kept like others; connection_reuse=no in smtp_tls_policy_maps forbids it",
		"lmtp_tls_connection_reuse smtp_tls_connection_reuse" },
	{ "what came before the TLS handshake always makes it fail",
		"lmtp_tls_block_early_mail_reply smtp_tls_block_early_mail_reply" },
	{ "obsolete: what it is for has gone, or is always so",
		"backwards_bounce_logfile_compatibility lmtp_cname_overrides_servername lmtp_tls_per_site "
		"smtp_cname_overrides_servername smtp_tls_per_site smtpd_tls_dh1024_param_file smtpd_tls_dh512_param_file "
		"sun_mailtool_compatibility tls_dane_digests tls_disable_workarounds tls_export_cipherlist "
		"tls_legacy_public_key_fingerprints tls_low_cipherlist tls_null_cipherlist" },
	{ "queue ids are always long",
		"enable_long_queue_ids" },
	{ "results are kept in memory and in Redis",
		"address_verify_cache_cleanup_interval address_verify_map "
		"address_verify_sender_dependent_default_transport_maps address_verify_sender_dependent_relayhost_maps "
		"address_verify_sender_ttl" },
	{ "services find each other by fixed names below private/ and public/",
		"address_verify_service_name connection_cache_service_name defer_service_name dnsblog_service_name "
		"error_service_name flush_service_name pickup_service_name postlog_service_name proxymap_service_name "
		"proxywrite_service_name queue_service_name showq_service_name tlsmgr_service_name tlsproxy_service_name "
		"trace_service_name" },
	{ "sessions are resumed by tickets that all workers can open",
		"lmtp_tls_session_cache_database smtp_tls_session_cache_database smtpd_tls_always_issue_session_ids "
		"smtpd_tls_session_cache_database tls_session_ticket_cipher" },
	{ "smtpd and smtp speak TLS themselves; there is no proxy process",
		"tlsproxy_client_CAfile tlsproxy_client_CApath tlsproxy_client_cert_file tlsproxy_client_chain_files "
		"tlsproxy_client_dcert_file tlsproxy_client_dkey_file tlsproxy_client_eccert_file tlsproxy_client_eckey_file "
		"tlsproxy_client_enforce_tls tlsproxy_client_fingerprint_digest tlsproxy_client_key_file "
		"tlsproxy_client_loglevel tlsproxy_client_loglevel_parameter tlsproxy_client_per_site "
		"tlsproxy_client_policy_maps tlsproxy_client_scert_verifydepth tlsproxy_client_security_level "
		"tlsproxy_client_use_tls tlsproxy_enforce_tls tlsproxy_tls_CAfile tlsproxy_tls_CApath "
		"tlsproxy_tls_always_issue_session_ids tlsproxy_tls_ask_ccert tlsproxy_tls_ccert_verifydepth "
		"tlsproxy_tls_cert_file tlsproxy_tls_chain_files tlsproxy_tls_ciphers tlsproxy_tls_dcert_file "
		"tlsproxy_tls_dh1024_param_file tlsproxy_tls_dh512_param_file tlsproxy_tls_dkey_file tlsproxy_tls_eccert_file "
		"tlsproxy_tls_eckey_file tlsproxy_tls_eecdh_grade tlsproxy_tls_exclude_ciphers "
		"tlsproxy_tls_fingerprint_digest tlsproxy_tls_key_file tlsproxy_tls_loglevel tlsproxy_tls_mandatory_ciphers "
		"tlsproxy_tls_mandatory_exclude_ciphers tlsproxy_tls_mandatory_protocols tlsproxy_tls_protocols "
		"tlsproxy_tls_req_ccert tlsproxy_tls_security_level tlsproxy_use_tls tlsproxy_watchdog_timeout" },
	{ "smtpd does the early checks itself, in the session; this one has no counterpart",
		"postscreen_bare_newline_action postscreen_bare_newline_enable postscreen_bare_newline_ttl "
		"postscreen_cache_cleanup_interval postscreen_cache_map postscreen_cache_retention_time "
		"postscreen_command_count_limit postscreen_command_filter postscreen_command_time_limit "
		"postscreen_disable_vrfy_command postscreen_enforce_tls postscreen_expansion_filter "
		"postscreen_forbidden_commands postscreen_helo_required postscreen_non_smtp_command_action "
		"postscreen_non_smtp_command_enable postscreen_non_smtp_command_ttl postscreen_pipelining_action "
		"postscreen_pipelining_enable postscreen_pipelining_ttl postscreen_post_queue_limit "
		"postscreen_pre_queue_limit postscreen_tls_security_level postscreen_use_tls postscreen_watchdog_timeout" },
	{ "text files are read directly; lmdb files grow as needed",
		"berkeley_db_create_buffer_size berkeley_db_read_buffer_size lmdb_map_size" },
	{ "the queue belongs to root and mail_owner",
		"authorized_flush_users authorized_mailq_users" },
	{ "the queue is one kind of file in directories by due time",
		"fast_flush_purge_time fast_flush_refresh_time hash_queue_depth hash_queue_names" },
	{ "there is no Cyrus SASL; Dovecot is asked for logins, the client has its own mechanisms",
		"cyrus_sasl_config_path lmtp_sasl_path lmtp_sasl_type send_cyrus_sasl_authzid smtp_sasl_path smtp_sasl_type "
		"smtpd_sasl_local_domain smtpd_sasl_mechanism_filter" },
	{ "there is no QMQP server",
		"qmqpd_authorized_clients qmqpd_client_port_logging qmqpd_error_delay qmqpd_timeout" },
	{ "nothing of a field is discarded: header_size_limit bounds it", "header_address_token_limit" },
	{ "names are converted by IDNA2008 alone, as registries do", "enable_idna2003_compatibility" },
	{ "there is no comsat service",
		"biff" },
	{ "workers serve many clients and are watched by master",
		"application_event_drain_time daemon_timeout fork_attempts fork_delay qmgr_daemon_timeout qmgr_ipc_timeout "
		"trigger_timeout" },
	{ "workers share state without another process",
		"anvil_status_update_time connection_cache_protocol_timeout connection_cache_status_update_time "
		"connection_cache_ttl_limit" },
};

const char *import_without_effect(struct str name)
{
	for (size_t i = 0; i < sizeof without_effect / sizeof *without_effect; i++) {
		struct str rest = str_z(without_effect[i].names), word;

		while ((word = str_word(&rest, " ")).n > 0)
			if (str_eq(word, name))
				return without_effect[i].why;
	}
	return NULL;
}
