/* lib/conf/params_auth.c - our own milters: DKIM, DMARC, ARC. Rows are sorted by name; see struct param. */
#include "lib/conf/params.h"

const struct param params_auth[] = {
	{ "arc_dns_timeout", PARAM_TIME, "5s", 1, 300, "s", "Longest wait for the keys of a chain" },
	{ "arc_internal_hosts", PARAM_STR, "$mynetworks", 0, 0, "",
		"Clients whose mail is neither verified nor sealed; the same goes for authenticated ones" },
	{ "arc_mode", PARAM_STR, "verify", 0, 0, "", "verify, or seal (which verifies as well)" },
	{ "arc_seal", PARAM_STR, "", 0, 0, "", "\"domain:selector:keyfile\" to seal with" },
	{ "arc_sign_headers", PARAM_STR, "$dkim_sign_headers, DKIM-Signature", 0, 0, "", "Header fields in ARC-Message-Signature" },
	{ "arc_socket", PARAM_STR, "inet:127.0.0.1:8894", 0, 0, "", "Where the filter listens: inet:host:port or unix:path" },
	{ "auth_milters", PARAM_STR, "dkim, dmarc, arc", 0, 0, "",
		"Our own milters in the order in which the MTA asks them; the first removes results forged in our name" },
	{ "authserv_id", PARAM_STR, "$myhostname", 0, 0, "",
		"Name under which results are reported (RFC 8601); other fields that claim it are removed" },
	{ "dkim_canonicalization", PARAM_STR, "relaxed/simple", 0, 0, "", "Of header and body when signing: relaxed or simple" },
	{ "dkim_dns_timeout", PARAM_TIME, "5s", 1, 300, "s", "Longest wait for the keys of a message" },
	{ "dkim_expiry", PARAM_TIME, "0", 0, PARAM_MAX, "s", "After this time our signatures are not valid any more; 0: they stay" },
	{ "dkim_internal_hosts", PARAM_STR, "$mynetworks", 0, 0, "",
		"Clients whose mail is signed, besides authenticated ones; others are verified" },
	{ "dkim_max_signatures", PARAM_INT, "10", 1, 100, "", "Signatures of one message that are looked at" },
	{ "dkim_min_key_bits", PARAM_INT, "1024", 512, 8192, "", "RSA keys with fewer bits do not count" },
	{ "dkim_mode", PARAM_STR, "verify", 0, 0, "", "verify, sign, or both" },
	{ "dkim_on_fail", PARAM_STR, "accept", 0, 0, "", "Mail with signatures of which none is good: accept, tempfail, or reject" },
	{ "dkim_on_temperror", PARAM_STR, "accept", 0, 0, "", "Mail whose keys cannot be looked up now: accept or tempfail" },
	{ "dkim_oversign_headers", PARAM_STR, "From", 0, 0, "", "Fields signed once more than they occur, so that none can be added" },
	{ "dkim_sign_headers", PARAM_STR,
		"From, Reply-To, Subject, Date, To, Cc, Message-ID, In-Reply-To, References, MIME-Version, Content-Type, "
		"Content-Transfer-Encoding, Content-ID, Content-Description, Resent-Date, Resent-From, Resent-To, Resent-Cc, "
		"Resent-Message-ID, "
		"List-Id, List-Help, List-Unsubscribe, List-Unsubscribe-Post, List-Subscribe, List-Post, List-Owner, List-Archive",
		0, 0, "", "Header fields that are signed when the message has them" },
	{ "dkim_sign_table", PARAM_STR, "", 0, 0, "",
		"Tables from the From address, or its domain, to \"domain:selector:keyfile\", several separated by comma" },
	{ "dkim_socket", PARAM_STR, "inet:127.0.0.1:8891", 0, 0, "", "Where the filter listens: inet:host:port or unix:path" },
	{ "dmarc_dns_timeout", PARAM_TIME, "5s", 1, 300, "s", "Longest wait for a DMARC record" },
	{ "dmarc_internal_hosts", PARAM_STR, "$mynetworks", 0, 0, "",
		"Clients whose mail is not judged; the same goes for authenticated ones" },
	{ "dmarc_on_bad_from", PARAM_STR, "accept", 0, 0, "",
		"Mail whose From has no domain, or too many: accept, quarantine, tempfail or reject" },
	{ "dmarc_on_quarantine", PARAM_STR, "accept", 0, 0, "",
		"Mail that its author's domain wants to be quarantined: accept (reported only), quarantine (hold queue), tempfail or "
		"reject" },
	{ "dmarc_on_reject", PARAM_STR, "reject", 0, 0, "",
		"Mail that its author's domain wants to be rejected: accept (reported only), quarantine (hold queue), tempfail or reject" },
	{ "dmarc_on_temperror", PARAM_STR, "accept", 0, 0, "", "Mail that cannot be judged now: accept, quarantine or tempfail" },
	{ "dmarc_org_domain", PARAM_STR, "psl", 0, 0, "",
		"How records and organizational domains are found: psl (Public Suffix List) or treewalk (RFC 9989)" },
	{ "dmarc_psl_file", PARAM_STR, "", 0, 0, "", "Public Suffix List to use; empty: the system's" },
	{ "dmarc_reports", PARAM_BOOL, "no", 0, 0, "", "Count mail in Redis for aggregate reports (gatepost dmarc report)" },
	{ "dmarc_socket", PARAM_STR, "inet:127.0.0.1:8893", 0, 0, "", "Where the filter listens: inet:host:port or unix:path" },
	{ "dmarc_spf_source", PARAM_STR, "unix:private/policyd", 0, 0, "",
		"Where SPF results come from: policyd's socket, or header (the first Received-SPF, which policyd must always have put "
		"there)" },
	{ "dmarc_trusted_sealers", PARAM_STR, "", 0, 0, "",
		"Domains whose ARC seals are believed: mail that passed DMARC with them is not refused" },
};
const size_t params_auth_count = sizeof params_auth / sizeof *params_auth;
