/* lib/conf/params_auth.c - our own milters: DKIM, DMARC, ARC. Rows are sorted by name; see struct param. */
#include "lib/conf/params.h"

const struct param params_auth[] = {
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
};
const size_t params_auth_count = sizeof params_auth / sizeof *params_auth;
