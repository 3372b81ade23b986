/* policyd/checks.c - the registry: every restriction policyd evaluates, sorted by name. */
#include "policyd/checks.h"

#include <stdlib.h>

/* clang-format off */
#define ACCESS(name_, needs_, subject_) { name_, ARG_ONE, needs_, false, subject_, access_prepare, access_eval }
#define HOSTS(name_, needs_, subject_, kind_) \
	{ name_, ARG_ONE, needs_, true, (int)(subject_) * 4 + (int)(kind_), access_prepare, hosts_eval }
#define RBL(name_, needs_, variant_) { name_, ARG_ONE, needs_, true, variant_, rbl_prepare, rbl_eval }
/* clang-format on */

static const struct check checks[] = {
	ACCESS("check_ccert_access", 0, ACCESS_CCERT),
	HOSTS("check_client_a_access", FACT_CLIENT, ACCESS_CLIENT, HOSTS_A),
	ACCESS("check_client_access", FACT_CLIENT, ACCESS_CLIENT),
	HOSTS("check_client_mx_access", FACT_CLIENT, ACCESS_CLIENT, HOSTS_MX),
	HOSTS("check_client_ns_access", FACT_CLIENT, ACCESS_CLIENT, HOSTS_NS),
	ACCESS("check_etrn_access", FACT_ETRN, ACCESS_ETRN),
	{ "check_greylist", ARG_NONE, FACT_CLIENT | FACT_SENDER | FACT_RCPT, false, 0, NULL, greylist_eval },
	HOSTS("check_helo_a_access", FACT_HELO, ACCESS_HELO, HOSTS_A),
	ACCESS("check_helo_access", FACT_HELO, ACCESS_HELO),
	HOSTS("check_helo_mx_access", FACT_HELO, ACCESS_HELO, HOSTS_MX),
	HOSTS("check_helo_ns_access", FACT_HELO, ACCESS_HELO, HOSTS_NS),
	{ "check_rate", ARG_ONE, FACT_CLIENT, false, 0, rate_prepare, rate_eval },
	HOSTS("check_recipient_a_access", FACT_RCPT, ACCESS_RCPT, HOSTS_A),
	ACCESS("check_recipient_access", FACT_RCPT, ACCESS_RCPT),
	HOSTS("check_recipient_mx_access", FACT_RCPT, ACCESS_RCPT, HOSTS_MX),
	HOSTS("check_recipient_ns_access", FACT_RCPT, ACCESS_RCPT, HOSTS_NS),
	HOSTS("check_reverse_client_hostname_a_access", FACT_CLIENT, ACCESS_REVERSE_CLIENT, HOSTS_A),
	ACCESS("check_reverse_client_hostname_access", FACT_CLIENT, ACCESS_REVERSE_CLIENT),
	HOSTS("check_reverse_client_hostname_mx_access", FACT_CLIENT, ACCESS_REVERSE_CLIENT, HOSTS_MX),
	HOSTS("check_reverse_client_hostname_ns_access", FACT_CLIENT, ACCESS_REVERSE_CLIENT, HOSTS_NS),
	ACCESS("check_sasl_access", 0, ACCESS_SASL),
	HOSTS("check_sender_a_access", FACT_SENDER, ACCESS_SENDER, HOSTS_A),
	ACCESS("check_sender_access", FACT_SENDER, ACCESS_SENDER),
	HOSTS("check_sender_mx_access", FACT_SENDER, ACCESS_SENDER, HOSTS_MX),
	HOSTS("check_sender_ns_access", FACT_SENDER, ACCESS_SENDER, HOSTS_NS),
	{ "check_spf", ARG_NONE, FACT_CLIENT | FACT_SENDER, true, 0, NULL, spf_eval },
	RBL("permit_dnswl_client", FACT_CLIENT, RBL_CLIENT | RBL_PERMIT),
	RBL("permit_rhswl_client", FACT_CLIENT, RBL_CLIENT_NAME | RBL_PERMIT),
	RBL("reject_rbl_client", FACT_CLIENT, RBL_CLIENT),
	RBL("reject_rhsbl_client", FACT_CLIENT, RBL_CLIENT_NAME),
	RBL("reject_rhsbl_helo", FACT_HELO, RBL_HELO),
	RBL("reject_rhsbl_recipient", FACT_RCPT, RBL_RCPT),
	RBL("reject_rhsbl_reverse_client", FACT_CLIENT, RBL_REVERSE_CLIENT),
	RBL("reject_rhsbl_sender", FACT_SENDER, RBL_SENDER),
};

static int compare(const void *key, const void *row)
{
	return str_cmpi(*(const struct str *)key, str_z(((const struct check *)row)->name));
}

const struct check *check_find(struct str name)
{
	return bsearch(&name, checks, sizeof checks / sizeof *checks, sizeof *checks, compare);
}
