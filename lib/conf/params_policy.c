/* lib/conf/params_policy.c - policyd and its memory. Rows are sorted by name; see struct param. */
#include "lib/conf/params.h"

const struct param params_policy[] = {
	{ "dns_timeout", PARAM_TIME, "10s", 1, PARAM_MAX, "s", "Longest wait for one DNS answer" },
	{ "greylist_action", PARAM_STR, "DEFER_IF_PERMIT 4.2.0 Greylisted, try again later", 0, 0, "", "Text of a first refusal" },
	{ "greylist_delay", PARAM_TIME, "300s", 0, PARAM_MAX, "s", "Time a new triplet has to wait" },
	{ "greylist_fail_open", PARAM_BOOL, "yes", 0, 0, "", "Let mail pass while the memory is away" },
	{ "greylist_ipv4_prefix", PARAM_INT, "24", 1, 32, "", "Leading bits of an IPv4 client that count" },
	{ "greylist_ipv6_prefix", PARAM_INT, "64", 1, 128, "", "Leading bits of an IPv6 client that count" },
	{ "greylist_lifetime", PARAM_TIME, "35d", 1, PARAM_MAX, "s", "How long a triplet that came back is remembered" },
	{ "greylist_retry_window", PARAM_TIME, "2d", 1, PARAM_MAX, "s", "How long a new triplet may take to come back" },
	{ "policyd_cache_size", PARAM_INT, "100000", 0, PARAM_MAX, "", "Verdicts kept in memory by each worker" },
	{ "policyd_restrictions", PARAM_STR, "", 0, 0, "",
		"Restrictions policyd applies when a foreign client (Postfix) asks without naming any" },
	{ "policyd_timeout", PARAM_TIME, "30s", 1, PARAM_MAX, "s", "Longest time for one request" },
	{ "redis_breaker_failures", PARAM_INT, "3", 1, PARAM_MAX, "", "Failures in a row after which Redis is left alone" },
	{ "redis_breaker_time", PARAM_TIME, "10s", 1, PARAM_MAX, "s", "How long Redis is left alone" },
	{ "redis_database", PARAM_INT, "0", 0, PARAM_MAX, "", "Database number" },
	{ "redis_key_prefix", PARAM_STR, "gp:", 0, 0, "", "Begins every key" },
	{ "redis_password", PARAM_STR, "", 0, 0, "", "Password; empty: none" },
	{ "redis_server", PARAM_STR, "", 0, 0, "", "Redis: \"inet:host:port\" or \"unix:/path\"; empty: no shared memory" },
	{ "redis_timeout", PARAM_TIME, "1s", 1, PARAM_MAX, "s", "Longest wait for one command" },
	{ "redis_user", PARAM_STR, "", 0, 0, "", "User name; empty: the default user" },
	{ "spf_exempt_clients", PARAM_STR, "$mynetworks", 0, 0, "", "Clients that are not checked" },
	{ "spf_fail_action", PARAM_STR, "REJECT 5.7.23 SPF check failed", 0, 0, "", "What SPF fail leads to" },
	{ "spf_helo_check", PARAM_BOOL, "yes", 0, 0, "", "Check the HELO name of null senders" },
	{ "spf_permerror_action", PARAM_STR, "DUNNO", 0, 0, "", "What a broken SPF record leads to" },
	{ "spf_softfail_action", PARAM_STR, "DUNNO", 0, 0, "", "What SPF softfail leads to" },
	{ "spf_temperror_action", PARAM_STR, "DEFER_IF_PERMIT 4.4.3 SPF check: temporary DNS failure", 0, 0, "",
		"What a DNS failure leads to" },
	{ "spf_timeout", PARAM_TIME, "20s", 1, PARAM_MAX, "s", "Longest time for one SPF check" },
};
const size_t params_policy_count = sizeof params_policy / sizeof *params_policy;
