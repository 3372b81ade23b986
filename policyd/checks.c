/* policyd/checks.c - the registry: every restriction policyd evaluates, sorted by name. */
#include "policyd/checks.h"

#include <stdlib.h>

/* clang-format off */
/* On timeout, DNS failure, Redis away. */
#define NO_TROUBLE { REMEDY_DEFER, REMEDY_NONE, REMEDY_NONE }
#define HOSTS_TROUBLE { REMEDY_DEFER, REMEDY_SKIP, REMEDY_NONE }
#define LIST_TROUBLE { REMEDY_SKIP, REMEDY_SKIP, REMEDY_NONE } /* without Redis there is only one cache less */
#define PERMIT_TROUBLE { REMEDY_DEFER, REMEDY_OWN, REMEDY_NONE } /* what a later restriction refuses is only deferred */

#define ACCESS(name_, needs_, subject_) \
	{ name_, ARG_ONE, needs_, false, subject_, NULL, "policyd_timeout", NO_TROUBLE, access_prepare, access_eval }
#define HOSTS(name_, needs_, subject_, kind_) \
	{ name_, ARG_ONE, needs_, true, (int)(subject_) * 4 + (int)(kind_), NULL, "policyd_timeout", HOSTS_TROUBLE, access_prepare, hosts_eval }
#define DNS_LIST(name_, needs_, variant_, ...) \
	{ name_, ARG_ONE, needs_, true, variant_, "the name asked; TTL of the answer", "rbl_timeout", __VA_ARGS__, rbl_prepare, rbl_eval }
#define REJECT_LIST(name_, needs_, variant_) DNS_LIST(name_, needs_, variant_, LIST_TROUBLE)
#define PERMIT_LIST(name_, needs_, variant_) DNS_LIST(name_, needs_, (variant_) | RBL_PERMIT, PERMIT_TROUBLE)
/* clang-format on */

const struct check checks[] = {
	ACCESS("check_ccert_access", 0, ACCESS_CCERT),
	HOSTS("check_client_a_access", FACT_CLIENT, ACCESS_CLIENT, HOSTS_A),
	ACCESS("check_client_access", FACT_CLIENT, ACCESS_CLIENT),
	HOSTS("check_client_mx_access", FACT_CLIENT, ACCESS_CLIENT, HOSTS_MX),
	HOSTS("check_client_ns_access", FACT_CLIENT, ACCESS_CLIENT, HOSTS_NS),
	ACCESS("check_etrn_access", FACT_ETRN, ACCESS_ETRN),
	{ "check_greylist", ARG_NONE, FACT_CLIENT | FACT_SENDER, false, 0, "the triplet, once it has passed; a minute",
		"redis_timeout_ms", { REMEDY_NONE, REMEDY_NONE, REMEDY_SKIP }, NULL, greylist_eval },
	HOSTS("check_helo_a_access", FACT_HELO, ACCESS_HELO, HOSTS_A),
	ACCESS("check_helo_access", FACT_HELO, ACCESS_HELO),
	HOSTS("check_helo_mx_access", FACT_HELO, ACCESS_HELO, HOSTS_MX),
	HOSTS("check_helo_ns_access", FACT_HELO, ACCESS_HELO, HOSTS_NS),
	{ "check_rate", ARG_ONE, FACT_CLIENT, false, 0, NULL, "redis_timeout_ms", { REMEDY_NONE, REMEDY_NONE, REMEDY_LOCAL }, rate_prepare,
		rate_eval },
	HOSTS("check_recipient_a_access", FACT_RCPT, ACCESS_RCPT, HOSTS_A),
	ACCESS("check_recipient_access", FACT_RCPT, ACCESS_RCPT),
	HOSTS("check_recipient_mx_access", FACT_RCPT, ACCESS_RCPT, HOSTS_MX),
	HOSTS("check_recipient_ns_access", FACT_RCPT, ACCESS_RCPT, HOSTS_NS),
	HOSTS("check_reverse_client_hostname_a_access", FACT_CLIENT, ACCESS_REVERSE_CLIENT, HOSTS_A),
	ACCESS("check_reverse_client_hostname_access", FACT_CLIENT, ACCESS_REVERSE_CLIENT),
	HOSTS("check_reverse_client_hostname_mx_access", FACT_CLIENT, ACCESS_REVERSE_CLIENT, HOSTS_MX),
	HOSTS("check_reverse_client_hostname_ns_access", FACT_CLIENT, ACCESS_REVERSE_CLIENT, HOSTS_NS),
	ACCESS("check_sasl_access", 0, ACCESS_SASL),
	{ "check_score", ARG_ONE, 0, true, 0, NULL, "policyd_timeout", { REMEDY_SKIP, REMEDY_NONE, REMEDY_NONE }, score_prepare,
		score_eval },
	HOSTS("check_sender_a_access", FACT_SENDER, ACCESS_SENDER, HOSTS_A),
	ACCESS("check_sender_access", FACT_SENDER, ACCESS_SENDER),
	HOSTS("check_sender_mx_access", FACT_SENDER, ACCESS_SENDER, HOSTS_MX),
	HOSTS("check_sender_ns_access", FACT_SENDER, ACCESS_SENDER, HOSTS_NS),
	{ "check_shadow", ARG_ONE, 0, false, 0, NULL, "policyd_timeout", { REMEDY_NONE, REMEDY_NONE, REMEDY_NONE }, shadow_prepare,
		shadow_eval },
	{ "check_spf", ARG_NONE, FACT_CLIENT | FACT_SENDER, true, 0, "client, sender, HELO name; least TTL of the records", "spf_timeout",
		{ REMEDY_DEFER, REMEDY_OWN, REMEDY_NONE }, NULL, spf_eval }, /* own: spf_temperror_action */
	PERMIT_LIST("permit_dnswl_client", FACT_CLIENT, RBL_CLIENT),
	PERMIT_LIST("permit_rhswl_client", FACT_CLIENT, RBL_CLIENT_NAME),
	REJECT_LIST("reject_rbl_client", FACT_CLIENT, RBL_CLIENT),
	REJECT_LIST("reject_rhsbl_client", FACT_CLIENT, RBL_CLIENT_NAME),
	REJECT_LIST("reject_rhsbl_helo", FACT_HELO, RBL_HELO),
	REJECT_LIST("reject_rhsbl_recipient", FACT_RCPT, RBL_RCPT),
	REJECT_LIST("reject_rhsbl_reverse_client", FACT_CLIENT, RBL_REVERSE_CLIENT),
	REJECT_LIST("reject_rhsbl_sender", FACT_SENDER, RBL_SENDER),
};

const size_t check_count = sizeof checks / sizeof *checks;

static int compare(const void *key, const void *row)
{
	return str_cmpi(*(const struct str *)key, str_z(((const struct check *)row)->name));
}

const struct check *check_find(struct str name)
{
	return bsearch(&name, checks, check_count, sizeof *checks, compare);
}
