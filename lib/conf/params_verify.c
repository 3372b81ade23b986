/* lib/conf/params_verify.c - address verification. Rows are sorted by name; see struct param. */
#include "lib/conf/params.h"

const struct param params_verify[] = {
	{ "address_verify_cache_cleanup_interval", PARAM_TIME, "12h", 0, PARAM_MAX, "s", "Accepted; entries go when they expire" },
	{ "address_verify_default_transport", PARAM_STR, "$default_transport", 0, 0, "", "Transport of probes to other domains" },
	{ "address_verify_local_transport", PARAM_STR, "$local_transport", 0, 0, "", "Transport of probes to local users" },
	{ "address_verify_map", PARAM_STR, "btree:$data_directory/verify_cache", 0, 0, "",
		"Accepted; what is known is kept in Redis where redis_server is set, and in memory" },
	{ "address_verify_negative_cache", PARAM_BOOL, "yes", 0, 0, "", "Remember addresses that are not deliverable" },
	{ "address_verify_negative_expire_time", PARAM_TIME, "3d", 1, PARAM_MAX, "s", "How long that is remembered" },
	{ "address_verify_negative_refresh_time", PARAM_TIME, "3h", 1, PARAM_MAX, "s", "Age at which it is probed again" },
	{ "address_verify_pending_request_limit", PARAM_INT, "5000", 1, PARAM_MAX, "", "Probes at once, for each worker" },
	{ "address_verify_poll_count", PARAM_INT, "${stress?{1}:{3}}", 1, PARAM_MAX, "",
		"Times address_verify_poll_delay a client waits for a probe" },
	{ "address_verify_poll_delay", PARAM_TIME, "3s", 1, PARAM_MAX, "s", "See address_verify_poll_count" },
	{ "address_verify_positive_expire_time", PARAM_TIME, "31d", 1, PARAM_MAX, "s", "How long a deliverable address is remembered" },
	{ "address_verify_positive_refresh_time", PARAM_TIME, "7d", 1, PARAM_MAX, "s", "Age at which it is probed again" },
	{ "address_verify_relay_transport", PARAM_STR, "$relay_transport", 0, 0, "", "Transport of probes to relay domains" },
	{ "address_verify_relayhost", PARAM_STR, "$relayhost", 0, 0, "", "Next hop of probes to other domains" },
	{ "address_verify_sender", PARAM_STR, "$double_bounce_sender", 0, 0, "", "Sender of probes; empty or <>: the null sender" },
	{ "address_verify_sender_ttl", PARAM_TIME, "0s", 0, PARAM_MAX, "s", "Accepted; the sender of probes does not change" },
	{ "address_verify_transport_maps", PARAM_STR, "$transport_maps", 0, 0, "", "Tables of transport:nexthop of probes" },
	{ "address_verify_virtual_transport", PARAM_STR, "$virtual_transport", 0, 0, "", "Transport of probes to virtual mailboxes" },
	{ "unverified_recipient_defer_code", PARAM_INT, "450", 400, 499, "", "Reply code while a recipient's probe is undecided" },
	{ "unverified_recipient_reject_code", PARAM_INT, "450", 400, 599, "", "Reply code for recipients that a probe was refused for" },
	{ "unverified_recipient_reject_reason", PARAM_STR, "", 0, 0, "", "What the client is told instead of the probe's reply" },
	{ "unverified_recipient_tempfail_action", PARAM_STR, "$reject_tempfail_action", 0, 0, "", "What an undecided probe leads to" },
	{ "unverified_sender_defer_code", PARAM_INT, "450", 400, 499, "", "Reply code while a sender's probe is undecided" },
	{ "unverified_sender_reject_code", PARAM_INT, "450", 400, 599, "", "Reply code for senders that a probe was refused for" },
	{ "unverified_sender_reject_reason", PARAM_STR, "", 0, 0, "", "What the client is told instead of the probe's reply" },
	{ "unverified_sender_tempfail_action", PARAM_STR, "$reject_tempfail_action", 0, 0, "", "What an undecided probe leads to" },
};
const size_t params_verify_count = sizeof params_verify / sizeof *params_verify;
