/* lib/base/metrics_rows.c - the metrics there are: one row each, in the order of enum metric. */
#include "lib/base/metrics.h"

#define COUNTER METRIC_COUNTER, METRIC_PLAIN
#define GAUGE METRIC_GAUGE, METRIC_PLAIN
#define SECONDS METRIC_HISTOGRAM, METRIC_SECONDS
#define BYTES METRIC_HISTOGRAM, METRIC_BYTES

const struct metric_row metric_rows[METRIC_COUNT] = {
	[METRIC_SMTPD_CONNECTIONS] = { "gatepost_smtpd_connections_total", COUNTER, "service result", "Clients that connected" },
	[METRIC_SMTPD_SESSIONS] = { "gatepost_smtpd_sessions", GAUGE, "service", "SMTP sessions now" },
	[METRIC_SMTPD_SESSION_SECONDS] = { "gatepost_smtpd_session_seconds", SECONDS, "service", "How long sessions lasted" },
	[METRIC_SMTPD_COMMANDS] = { "gatepost_smtpd_commands_total", COUNTER, "service verb result", "SMTP commands" },
	[METRIC_SMTPD_REFUSALS] = { "gatepost_smtpd_refusals_total", COUNTER, "stage code dsn", "Replies 4xx and 5xx to clients" },
	[METRIC_SMTPD_TLS] = { "gatepost_smtpd_tls_handshakes_total", COUNTER, "service version", "TLS handshakes with clients; version \"failed\": none came about" },
	[METRIC_RESTRICTIONS] = { "gatepost_restriction_decisions_total", COUNTER, "restriction list decision", "What smtpd_*_restrictions decided" },
	[METRIC_POLICY_SECONDS] = { "gatepost_policy_request_seconds", SECONDS, "server", "Waiting for policyd and other policy servers" },
	[METRIC_POLICY_FAILURES] = { "gatepost_policy_failures_total", COUNTER, "server", "Questions that a policy server did not answer" },
	[METRIC_CHECK_VERDICTS] = { "gatepost_check_verdicts_total", COUNTER, "check verdict", "What policyd's checks decided; \"dunno\": nothing" },
	[METRIC_CHECK_SECONDS] = { "gatepost_check_seconds", SECONDS, "check", "Duration of policyd's checks" },
	[METRIC_DNS_LISTS_UNUSED] = { "gatepost_dns_lists_unused", GAUGE, "list", "Processes that do without this DNS list: no answers, or it lists everybody" },
	[METRIC_SHADOW] = { "gatepost_shadow_requests_total", COUNTER, "policy did would", "Requests that a shadow policy looked at" },
	[METRIC_MILTER_VERDICTS] = { "gatepost_milter_verdicts_total", COUNTER, "milter verdict", "Last word of each filter on each message it saw" },
	[METRIC_MILTER_SECONDS] = { "gatepost_milter_seconds", SECONDS, "milter", "Waiting for a filter, the whole message" },
	[METRIC_MILTER_FAILURES] = { "gatepost_milter_failures_total", COUNTER, "milter", "Filters that did not answer as they should" },
	[METRIC_MESSAGES] = { "gatepost_messages_total", COUNTER, "result", "Messages that came to cleanup" },
	[METRIC_MESSAGE_SIZE] = { "gatepost_message_size_bytes", BYTES, "", "Size of messages that were queued" },
	[METRIC_COMMIT_SECONDS] = { "gatepost_queue_commit_seconds", SECONDS, "", "Making a message durable: write and fsync" },
	[METRIC_ACTIVE] = { "gatepost_qmgr_active_messages", GAUGE, "", "Messages that are being delivered" },
	[METRIC_DELIVERIES] = { "gatepost_delivery_attempts_total", COUNTER, "service status", "Recipients tried, by transport" },
	[METRIC_DELIVERY_SECONDS] = { "gatepost_delivery_seconds", SECONDS, "service phase", "The parts of delays= in the log" },
	[METRIC_DELIVERY_TLS] = { "gatepost_delivery_tls_total", COUNTER, "service version level", "Sessions with next hops, by TLS version or \"none\"" },
	[METRIC_NOTICES] = { "gatepost_notices_total", COUNTER, "kind", "Notifications sent to senders" },
	[METRIC_DNS_QUERIES] = { "gatepost_dns_queries_total", COUNTER, "type result", "Questions to the DNS" },
	[METRIC_DNS_SECONDS] = { "gatepost_dns_query_seconds", SECONDS, "", "Answers of the DNS, the cache's included" },
	[METRIC_REDIS_COMMANDS] = { "gatepost_redis_commands_total", COUNTER, "result", "Redis commands" },
	[METRIC_REDIS_SECONDS] = { "gatepost_redis_command_seconds", SECONDS, "", "Answers of Redis" },
	[METRIC_REDIS_OPEN] = { "gatepost_redis_breakers_open", GAUGE, "node", "Processes that do not ask this server, because it failed" },
	[METRIC_WORKER_DEATHS] = { "gatepost_worker_deaths_total", COUNTER, "command", "Workers that ended otherwise than asked" },
	[METRIC_RELOADS] = { "gatepost_reloads_total", COUNTER, "result", "Configurations read while running" },
	[METRIC_CERT_EXPIRY] = { "gatepost_tls_certificate_not_after_seconds", GAUGE, "file", "When the SMTP server's certificates end; 0: not used any more" },
	[METRIC_STORY_LOST] = { "gatepost_explain_events_lost_total", COUNTER, "", "Events that nobody could take: stories with holes" },
	[METRIC_LOST] = { "gatepost_metrics_lost_total", COUNTER, "", "Values not counted: too many series" },
};

static const uint64_t seconds[METRIC_BUCKETS] = { 250, 1000, 2500, 5000, 10000, 25000, 50000, 100000, 250000, 1000000, 5000000, 30000000,
	300000000, 3600000000 };
static const uint64_t bytes[METRIC_BUCKETS] = { 1u << 10, 1u << 11, 1u << 12, 1u << 13, 1u << 14, 1u << 15, 1u << 16, 1u << 17, 1u << 18,
	1u << 20, 1u << 22, 1u << 24, 1u << 26, 1u << 28 };

const uint64_t *metric_buckets(enum metric_unit unit)
{
	return unit == METRIC_BYTES ? bytes : seconds;
}
