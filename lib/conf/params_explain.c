/* lib/conf/params_explain.c - what is kept of sessions and messages, for "gatepost explain". */
#include "lib/conf/params.h"

const struct param params_explain[] = {
	{ "explain_redis_size", PARAM_SIZE, "134217728", 0, PARAM_MAX, "bytes",
		"About how much of Redis the events of all hosts may take; 0: they are not shared" },
	{ "explain_ring_size", PARAM_SIZE, "67108864", 0, PARAM_MAX, "bytes",
		"How much of data_directory the newest events of this host take; 0: nothing is kept or shared" },
	{ "explain_time_to_live", PARAM_TIME, "3d", 0, PARAM_MAX, "s", "How long events stay in Redis" },
	{ "log_session_id", PARAM_BOOL, "no", 0, 0, "",
		"Log lines of an SMTP session begin with its id, \"[ID 0 sid.SESSION]\": a tag that readers of mail logs know and skip" },
	{ "smtpd_dry_run", PARAM_BOOL, "no", 0, 0, "",
		"Sessions are for show: policyd leaves no mark, and no message is queued (gatepost try)" },
	{ "smtpd_reply_token", PARAM_BOOL, "no", 0, 0, "",
		"Replies 4xx and 5xx end in the session's id, \"[...]\", for who asks gatepost explain" },
};
const size_t params_explain_count = sizeof params_explain / sizeof *params_explain;
