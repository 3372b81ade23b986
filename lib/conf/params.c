/* lib/conf/params.c - the list of all parameter tables, the "<service>_..." families, and how to find a row. */
#include "lib/conf/params.h"

#include <stdlib.h>

const struct param_area conf_areas[] = {
	{ "identity", "This host", params_identity, &params_identity_count },
	{ "limits", "Messages and notifications", params_limits, &params_limits_count },
	{ "smtpd", "SMTP server", params_smtpd, &params_smtpd_count },
	{ "early", "Early checks of the SMTP server", params_early, &params_early_count },
	{ "verify", "Address verification", params_verify, &params_verify_count },
	{ "policy", "Policy", params_policy, &params_policy_count },
	{ "explain", "What is kept for gatepost explain", params_explain, &params_explain_count },
	{ "redis", "Redis", params_redis, &params_redis_count },
	{ "milter", "Milters", params_milter, &params_milter_count },
	{ "auth", "DKIM, DMARC and ARC milters", params_auth, &params_auth_count },
	{ "rewrite", "Addresses and routing", params_rewrite, &params_rewrite_count },
	{ "queue", "Queue and scheduling", params_queue, &params_queue_count },
	{ "smtp", "SMTP client", params_smtp, &params_smtp_count },
	{ "lmtp", "LMTP client", params_lmtp, &params_lmtp_count },
	{ "delivery", "Final delivery", params_delivery, &params_delivery_count },
	{ "tls", "TLS", params_tls, &params_tls_count },
};
const size_t conf_area_count = sizeof conf_areas / sizeof *conf_areas;

static const struct param_family families[] = {
	{ "delivery_slot_cost", PARAM_INT, "default_delivery_slot_cost" },
	{ "delivery_slot_discount", PARAM_INT, "default_delivery_slot_discount" },
	{ "delivery_slot_loan", PARAM_INT, "default_delivery_slot_loan" },
	{ "delivery_status_filter", PARAM_STR, "default_delivery_status_filter" },
	{ "destination_concurrency_failed_cohort_limit", PARAM_INT, "default_destination_concurrency_failed_cohort_limit" },
	{ "destination_concurrency_limit", PARAM_INT, "default_destination_concurrency_limit" },
	{ "destination_concurrency_negative_feedback", PARAM_STR, "default_destination_concurrency_negative_feedback" },
	{ "destination_concurrency_positive_feedback", PARAM_STR, "default_destination_concurrency_positive_feedback" },
	{ "destination_rate_delay", PARAM_TIME, "default_destination_rate_delay" },
	{ "destination_recipient_limit", PARAM_INT, "default_destination_recipient_limit" },
	{ "extra_recipient_limit", PARAM_INT, "default_extra_recipient_limit" },
	{ "initial_destination_concurrency", PARAM_INT, "initial_destination_concurrency" },
	{ "minimum_delivery_slots", PARAM_INT, "default_minimum_delivery_slots" },
	{ "recipient_limit", PARAM_INT, "default_recipient_limit" },
	{ "recipient_refill_delay", PARAM_TIME, "default_recipient_refill_delay" },
	{ "recipient_refill_limit", PARAM_INT, "default_recipient_refill_limit" },
	{ "time_limit", PARAM_TIME, "command_time_limit" },
	{ "transport_rate_delay", PARAM_TIME, "default_transport_rate_delay" },
	{ "workers", PARAM_INT, NULL },
};

static int row_compare(const void *key, const void *row)
{
	const struct str *name = key;

	return str_cmp(*name, str_z(((const struct param *)row)->name));
}

const struct param *conf_param_find(struct str name)
{
	for (size_t i = 0; i < conf_area_count; i++) {
		const struct param *p = bsearch(&name, conf_areas[i].rows, *conf_areas[i].count, sizeof *p, row_compare);

		if (p != NULL)
			return p;
	}
	return NULL;
}

const struct param_family *conf_family(const char *suffix)
{
	for (size_t i = 0; i < sizeof families / sizeof *families; i++)
		if (str_eqz(str_z(suffix), families[i].suffix))
			return &families[i];
	return NULL;
}

/* The longest suffix wins: "x_destination_recipient_limit" is not the recipient_limit of "x_destination". */
const struct param_family *conf_family_find(struct str name, struct str *service)
{
	const struct param_family *best = NULL;
	size_t best_size = 0;

	for (size_t i = 0; i < sizeof families / sizeof *families; i++) {
		struct str suffix = str_z(families[i].suffix);

		if (name.n > suffix.n + 1 && str_ends(name, suffix) && name.p[name.n - suffix.n - 1] == '_' && suffix.n > best_size) {
			best = &families[i];
			best_size = suffix.n;
		}
	}
	if (best != NULL)
		*service = str_sub(name, 0, name.n - best_size - 1);
	return best;
}
