/* lib/conf/params_milter.c - Mail filters. Rows are sorted by name; see struct param. */
#include "lib/conf/params.h"

const struct param params_milter[] = {
	{ "milter_command_timeout", PARAM_TIME, "30s", 1, PARAM_MAX, "s", "Longest wait for the answer to a command" },
	{ "milter_connect_macros", PARAM_RAW, "j {daemon_name} {daemon_addr} v _", 0, 0, "", "Macros sent at connect" },
	{ "milter_connect_timeout", PARAM_TIME, "30s", 1, PARAM_MAX, "s", "Longest wait for a connection" },
	{ "milter_content_timeout", PARAM_TIME, "300s", 1, PARAM_MAX, "s", "Longest wait for the answer to message content" },
	{ "milter_data_macros", PARAM_RAW, "i", 0, 0, "", "Macros sent at DATA" },
	{ "milter_default_action", PARAM_STR, "tempfail", 0, 0, "", "What happens when a milter fails: accept reject tempfail quarantine" },
	{ "milter_end_of_data_macros", PARAM_RAW, "i", 0, 0, "", "Macros sent at the end of the message" },
	{ "milter_end_of_header_macros", PARAM_RAW, "i", 0, 0, "", "Macros sent at the end of the headers" },
	{ "milter_header_checks", PARAM_STR, "", 0, 0, "", "Tables asked with header fields that milters add" },
	{ "milter_helo_macros", PARAM_RAW, "{tls_version} {cipher} {cipher_bits} {cert_subject} {cert_issuer}", 0, 0, "",
		"Macros sent at HELO" },
	{ "milter_macro_daemon_name", PARAM_STR, "$myhostname", 0, 0, "", "Value of {daemon_name}" },
	{ "milter_macro_defaults", PARAM_STR, "", 0, 0, "", "Values of macros that have none" },
	{ "milter_macro_v", PARAM_STR, "$mail_name $mail_version", 0, 0, "", "Value of v" },
	{ "milter_mail_macros", PARAM_RAW, "i {auth_type} {auth_authen} {auth_author} {mail_addr} {mail_host} {mail_mailer}", 0, 0, "",
		"Macros sent at MAIL" },
	{ "milter_protocol", PARAM_STR, "6", 0, 0, "", "Protocol version: 2, 3, 4, 6" },
	{ "milter_rcpt_macros", PARAM_RAW, "i {rcpt_addr} {rcpt_host} {rcpt_mailer}", 0, 0, "", "Macros sent at RCPT" },
	{ "milter_unknown_command_macros", PARAM_RAW, "", 0, 0, "", "Macros sent at unknown commands" },
	{ "smtpd_milter_maps", PARAM_STR, "", 0, 0, "", "Tables of smtpd_milters by client address" },
	{ "smtpd_milters", PARAM_STR, "", 0, 0, "", "Milters for mail that comes by SMTP" },
};
const size_t params_milter_count = sizeof params_milter / sizeof *params_milter;
