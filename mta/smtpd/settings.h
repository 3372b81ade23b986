/* mta/smtpd/settings.h - what main.cf says to this service, read once before the first session. */
#ifndef GATEPOST_MTA_SMTPD_SETTINGS_H
#define GATEPOST_MTA_SMTPD_SETTINGS_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/conf/conf.h"
#include "lib/milter/milter.h"
#include "lib/net/pool.h"
#include "lib/net/tls.h"
#include "lib/proto/rewrite.h"
#include "lib/service/server_tls.h"
#include "lib/table/table.h"
#include "mta/smtpd/restrict.h"

enum bare_newline { BARE_NORMALIZE, BARE_NOTE, BARE_REJECT };

enum { /* settings.override, from receive_override_options */
	OVERRIDE_NO_MILTERS = 1,
	OVERRIDE_NO_MAPPINGS = 2,
	OVERRIDE_NO_CHECKS = 4,
	OVERRIDE_NO_UNKNOWN_RCPT = 8
};

struct wording { /* what is not offered, and what is said behind refusals */
	unsigned ehlo_discard;
	const char *reject_footer;
	struct tables ehlo_discard_maps, footer_maps;
};

struct settings {
	const char *myhostname, *mail_name, *mail_version, *compatibility_level, *banner;
	const char *proxy_filter, *proxy_ehlo; /* smtpd_proxy_filter */
	int64_t proxy_filter_timeout_ms;
	bool proxy_speed_adjust, policy_new;
	const char *stress, *null_key, *content_filter;
	const char *policy_default_action, *policy_context, *permit_log;
	const char *proxy_protocol, *sasl_path, *sasl_type, *sasl_service, *sasl_options, *sasl_tls_options;
	const char *tls_digest;
	const char *unknown_address_tempfail, *unknown_helo_tempfail, *unverified_rcpt_reason, *unverified_rcpt_tempfail,
		*unverified_sender_reason, *unverified_sender_tempfail;
	const char *milter_daemon_name, *milter_v;
	int64_t timeout_ms, starttls_timeout_ms, error_sleep_ms, proxy_timeout_ms, ipc_timeout_ms;
	int64_t policy_timeout_ms, policy_max_idle_ms, policy_max_ttl_ms, policy_retry_ms;
	int64_t policy_request_limit, policy_try_limit;
	int64_t soft_error_limit, hard_error_limit, junk_limit, rcpt_limit, rcpt_overshoot, min_data_rate;
	int64_t line_limit, message_limit, queue_minfree, sasl_response_limit;
	int64_t conn_count_limit, conn_rate_limit, mail_rate_limit, rcpt_rate_limit, tls_rate_limit, auth_rate_limit, rate_unit_ms,
		tls_loglevel;
	int64_t code_reject, code_defer, code_map_reject, code_map_defer, code_invalid_hostname, code_non_fqdn, code_unknown_client,
		code_unknown_hostname, code_unknown_address, code_multi_rcpt_bounce, code_plaintext, code_relay, code_local_unknown,
		code_relay_unknown, code_valias_unknown, code_vmailbox_unknown, code_bare_newline, code_unverified_rcpt, code_unsure_rcpt,
		code_unverified_sender, code_unsure_sender;
	int64_t early_greet_wait_ms, early_greet_ttl_ms, early_dnsbl_min_ttl_ms, early_dnsbl_max_ttl_ms, early_dnsbl_timeout_ms,
		early_dnsbl_threshold, early_allow_threshold, early_conn_limit;
	const char *early_banner;
	bool early, respectful;
	bool delay_reject, helo_required, strict_envelopes, strict_smtputf8, smtputf8, disable_vrfy, soft_bounce, reply_token, dry_run, port_logging;
	bool peername_lookup, forbid_pipelining, per_request_deadline, tls_wrappermode, tls_auth_only, tls_received, tls_ask_ccert, tls_req_ccert;
	bool tls_by_name; /* there are certificates for names */
	bool reject_unlisted_rcpt, reject_unlisted_sender, relay_first, show_table_name, allow_untrusted_routing;
	unsigned notify;      /* classes of trouble whose sessions are reported: transcript.h */
	int64_t history_lines;
	const char *error_recipient, *double_bounce, *myorigin;
	bool requiretls; /* REQUIRETLS is offered */
	bool sasl_enable, sasl_broken, sasl_header, replace_stray;

	enum tls_level tls_level;
	enum bare_newline bare_newline;
	unsigned override;

	struct matchlist *mynetworks, *trusted_hops, *xclient_hosts, *xforward_hosts, *limit_exempt, *bare_exempt, *verp_clients, *flush_domains;
	const char *verp_delimiters, *verp_filter;
	struct matchlist *backup_networks; /* permit_mx_backup_networks; backup_networks_set: there are some */
	bool backup_networks_set;
	struct matchlist *own_addresses; /* inet_interfaces and proxy_interfaces */
	struct matchlist *sasl_exceptions;
	struct tables relay_clientcerts, sni_maps;
	struct wording usual, screened; /* screened: to whom early checks refused */
	struct tables milter_maps, command_filter, login_maps;
	struct str *forbidden, *noop_verbs;
	size_t forbidden_count, noop_verb_count;
	struct tables forbidden_tables, noop_tables;

	struct rule_list lists[LIST_COUNT];
	struct rule_list maps_rbl;      /* reject_rbl_client for each of maps_rbl_domains */
	struct rule_list local_clients; /* local_header_rewrite_clients */
	struct tables local_client_maps; /* those named in it: any answer will do */
	struct tls_ctx *tls;
	struct milter_settings milter_defaults;
	struct milter_chain milters;
	struct milter_macros milter_macros;
	struct pool *cleanup, *policyd;
	struct rewrite_client *rewrite;
	struct arena *life; /* the process's own */
};

extern struct settings cf; /* filled by settings_load(), read-only afterwards */

/* settings_values.c */
void settings_values_load(const struct conf *c);
/* The values with stress = yes, too, for settings_stress(). Ends the process when they cannot work. */
void settings_stress_load(const struct conf *calm);
/* Let the plain values be those for a service under stress, or the usual ones. Sessions under way go on with them. False: they were already. */
bool settings_stress(bool on);
void settings_load_tls(const struct conf *c); /* settings_tls.c */
void settings_load(const struct conf *c); /* ends the process on a configuration that cannot work */

/* EHLO keywords that can be hidden: bits for settings.ehlo_discard. Unknown words are warned about. */
enum {
	HIDE_8BITMIME = 1 << 0,
	HIDE_AUTH = 1 << 1,
	HIDE_CHUNKING = 1 << 2,
	HIDE_DSN = 1 << 3,
	HIDE_ENHANCED = 1 << 4,
	HIDE_ETRN = 1 << 5,
	HIDE_PIPELINING = 1 << 6,
	HIDE_REQTLS = 1 << 7,
	HIDE_SILENT = 1 << 8,
	HIDE_SIZE = 1 << 9,
	HIDE_SMTPUTF8 = 1 << 10,
	HIDE_STARTTLS = 1 << 11,
	HIDE_VERP = 1 << 12,
	HIDE_VRFY = 1 << 13,
	HIDE_XCLIENT = 1 << 14,
	HIDE_XFORWARD = 1 << 15
};
unsigned ehlo_discard_parse(struct str words);

/* "milter list" text from smtpd_milters or smtpd_milter_maps. */
int settings_milter_chain(struct arena *a, const char *text, struct milter_chain *out, struct err *e);

#endif
