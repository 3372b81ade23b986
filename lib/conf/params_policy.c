/* lib/conf/params_policy.c - policyd and its memory. Rows are sorted by name; see struct param. */
#include "lib/conf/params.h"

const struct param params_policy[] = {
	{ "dns_timeout", PARAM_TIME, "10s", 1, PARAM_MAX, "s", "Longest wait for one DNS answer" },
	{ "greylist_action", PARAM_RAW, "DEFER_IF_PERMIT 4.2.0 Greylisted, try again in $greylist_wait seconds", 0, 0, "",
		"Action for a triplet that has to wait; knows $greylist_wait" },
	{ "greylist_auto_allow", PARAM_INT, "5", 0, PARAM_MAX, "",
		"Triplets that came back after which a client network passes at once; 0: never" },
	{ "greylist_delay", PARAM_TIME, "300s", 0, PARAM_MAX, "s", "Time a new triplet has to wait" },
	{ "greylist_exempt_clients", PARAM_STR, "$mynetworks", 0, 0, "", "Clients that never wait" },
	{ "greylist_failure_action", PARAM_STR, "DUNNO", 0, 0, "", "Action while the memory is away" },
	{ "greylist_group_by_spf", PARAM_BOOL, "no", 0, 0, "", "Clients with SPF pass count as their sender domain, not as their network" },
	{ "greylist_header", PARAM_BOOL, "no", 0, 0, "", "Add an X-Greylist header to mail that had to wait" },
	{ "greylist_ipv4_prefix", PARAM_INT, "24", 1, 32, "", "Leading bits of an IPv4 client that count" },
	{ "greylist_ipv6_prefix", PARAM_INT, "64", 1, 128, "", "Leading bits of an IPv6 client that count" },
	{ "greylist_lifetime", PARAM_TIME, "35d", 1, PARAM_MAX, "s", "How long a triplet that came back is remembered" },
	{ "greylist_retry_window", PARAM_TIME, "2d", 1, PARAM_MAX, "s", "How long a new triplet may take to come back" },
	{ "policyd_cache_size", PARAM_INT, "100000", 0, PARAM_MAX, "", "Verdicts kept in memory by each worker" },
	{ "policyd_restrictions", PARAM_STR, "check_spf, check_greylist", 0, 0, "",
		"Restrictions policyd applies when a foreign client (Postfix) asks without naming any" },
	{ "policyd_timeout", PARAM_TIME, "30s", 1, PARAM_MAX, "s", "Longest time for one request" },
	{ "rate_action", PARAM_RAW, "450 4.7.1 Rate limit exceeded, try again in $rate_wait seconds", 0, 0, "",
		"Action of check_rate over the limit; knows $rate_wait and $rate_key" },
	{ "spf_exempt_clients", PARAM_STR, "$mynetworks", 0, 0, "", "Clients that are not checked" },
	{ "spf_fail_action", PARAM_RAW,
		"550 5.7.23 SPF check failed: $spf_domain does not let $client_address send its mail"
		"${spf_explanation?; $spf_domain explains: $spf_explanation}",
		0, 0, "", "What SPF fail leads to; knows $client_address $spf_domain $spf_explanation $spf_identity $spf_problem" },
	{ "spf_header", PARAM_BOOL, "yes", 0, 0, "", "Add a Received-SPF header" },
	{ "spf_helo_check", PARAM_BOOL, "yes", 0, 0, "", "Check the HELO name of null senders" },
	{ "spf_permerror_action", PARAM_RAW, "DUNNO", 0, 0, "", "What a broken SPF record leads to" },
	{ "spf_softfail_action", PARAM_RAW, "DUNNO", 0, 0, "", "What SPF softfail leads to" },
	{ "spf_temperror_action", PARAM_RAW, "DEFER_IF_PERMIT 4.4.3 SPF check of $spf_domain: temporary DNS failure", 0, 0, "",
		"What a DNS failure leads to" },
	{ "spf_timeout", PARAM_TIME, "20s", 1, PARAM_MAX, "s", "Longest time for one SPF check" },
};
const size_t params_policy_count = sizeof params_policy / sizeof *params_policy;
