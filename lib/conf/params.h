/* lib/conf/params.h - the declared parameters: one row each, in one static table an area (params_<area>.c), all tables listed in params.c.
 * The parser, "gatepost config" and the manual pages come from these rows. A new parameter is one new row, in name order.
 */
#ifndef GATEPOST_LIB_CONF_PARAMS_H
#define GATEPOST_LIB_CONF_PARAMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/str.h"

enum param_type {
	PARAM_STR, /* text after $name expansion */
	PARAM_RAW, /* text, expanded later by its user (mailbox_command with $recipient and so on) */
	PARAM_INT, /* integer, in unit */
	PARAM_SIZE, /* octets; k, m, g suffixes accepted */
	PARAM_TIME, /* s m h d w suffixes; unit gives the one assumed when there is none */
	PARAM_BOOL /* yes or no */
};

#define PARAM_MAX INT64_MAX /* no upper limit */

struct param {
	const char *name;
	enum param_type type;
	const char *fallback; /* default value, main.cf syntax */
	int64_t min, max; /* INT, SIZE, TIME (in seconds): allowed range; both 0: unchecked */
	const char *unit; /* "s", "h", "d", "bytes", "" */
	const char *doc; /* one line */
};

struct param_area {
	const char *name, *title;
	const struct param *rows;
	const size_t *count;
};

extern const struct param_area conf_areas[];
extern const size_t conf_area_count;
const struct param *conf_param_find(struct str name); /* NULL: not declared */

/* "<service>_<suffix>" parameters: every transport and service has them without being declared. */
struct param_family {
	const char *suffix; /* "destination_concurrency_limit" */
	enum param_type type;
	const char *base; /* parameter that holds when the service's own is not set; NULL: none */
};
/* The family that name belongs to, NULL when none; *service is the part before. */
const struct param_family *conf_family_find(struct str name, struct str *service);
const struct param_family *conf_family(const char *suffix); /* NULL: no such suffix */

/* Names Postfix knows and Gatepost does not (postfix_names.c), sorted. */
extern const char *const conf_postfix_names[];
extern const size_t conf_postfix_name_count;
bool conf_postfix_knows(const char *name); /* is it one of those? */

extern const struct param params_auth[], params_delivery[], params_early[], params_explain[], params_identity[], params_limits[], params_lmtp[], params_milter[],
	params_policy[], params_queue[], params_redis[], params_rewrite[], params_smtp[], params_smtpd[], params_tls[], params_verify[];
extern const size_t params_auth_count, params_delivery_count, params_early_count, params_explain_count, params_identity_count, params_limits_count, params_lmtp_count,
	params_milter_count, params_policy_count, params_queue_count, params_redis_count, params_rewrite_count, params_smtp_count,
	params_smtpd_count, params_tls_count, params_verify_count;

#endif
