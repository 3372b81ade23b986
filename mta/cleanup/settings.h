/* mta/cleanup/settings.h - cleanup's parameters and open tables, read once before the first message. */
#ifndef GATEPOST_MTA_CLEANUP_SETTINGS_H
#define GATEPOST_MTA_CLEANUP_SETTINGS_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/conf/conf.h"
#include "lib/milter/milter.h"
#include "lib/table/table.h"

enum { /* where a message comes from */
	ORIGIN_SENDMAIL = 1,
	ORIGIN_SMTPD = 2,
	ORIGIN_FORWARD = 4,
	ORIGIN_BOUNCE = 8,
	ORIGIN_NOTIFY = 16, /* to the postmaster */
	ORIGIN_ELSEWHERE = 0, /* not in this process, or not in this program */
	ORIGIN_ALL = 31
};

struct settings {
	const char *myhostname, *myorigin, *mail_name, *delimiters;
	int64_t ipc_timeout_ms, flow_delay_ms;
	uint64_t memory_limit, message_limit, header_limit, body_check_limit, line_limit;
	unsigned hop_limit, duplicate_limit;
	/* addresses */
	struct tables canonical, sender_canonical, rcpt_canonical, virtual_alias, sender_bcc, rcpt_bcc;
	unsigned canonical_classes, sender_canonical_classes, rcpt_canonical_classes, masquerade_classes; /* MAP_* */
	struct str *masquerade_domains, *masquerade_exceptions;
	size_t masquerade_domain_count, masquerade_exception_count;
	bool propagate_canonical, propagate_virtual, original_recipient;
	bool append_at_myorigin, append_dot_mydomain;
	unsigned virtual_recursion, virtual_expansion, virtual_length;
	struct matchlist *mydestination;
	const char *always_bcc, *remote_domain, *empty_recipient;
	/* headers and body */
	struct tables header_checks, mime_header_checks, nested_header_checks, body_checks, milter_header_checks;
	struct str *drop_headers;
	size_t drop_header_count;
	unsigned utf8_origins; /* ORIGIN_*: mail in which UTF-8 is looked for */
	bool always_add_missing, force_7bit, mime_input, strict_7bit_headers, strict_8bit_body, strict_encoding, detect_8bit;
	const char *undisclosed;
	unsigned mime_nesting, boundary_length;
	bool reject_chars[256], strip_chars[256], any_reject, any_strip;
	/* milters */
	struct milter_chain milters;
	struct milter_macros macros;
	int64_t milter_time_ms; /* for all of them, from the end of the message */
	const char *milter_daemon_name, *milter_v;
};

extern const struct settings *const set; /* read-only after settings_load() */

void settings_load(const struct conf *c); /* problems end the process */
/* "virtual_alias_maps (/etc/gatepost/main.cf:12)": which tables these of `set` are, for stories. */
const char *settings_rule(const struct tables *t);

#endif
