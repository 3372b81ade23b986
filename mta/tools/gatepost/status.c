/* mta/tools/gatepost/status.c - status: does it run, what has it done, and does what it needs answer. */
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sysexits.h>

#include "lib/base/clock.h"
#include "lib/queue/queue.h"
#include "mta/tools/gatepost/scrape.h"

#define MIB (1024.0 * 1024.0)
#define DAY_S 86400.0

static const char *const queues[] = { "maildrop", "incoming", "active", "deferred", "hold", "corrupt" };

static int count_one(void *ctx, const char *path, const char *id)
{
	size_t *count = ctx;

	(void)path; /* only how many */
	(void)id;
	++*count;
	return 0;
}

/* -1: not ours to see. */
static long count_queue(const char *queue)
{
	struct err e = ERR_INIT;
	size_t count = 0;

	return queue_visit(queue, count_one, &count, &e) < 0 ? -1 : (long)count;
}

static void print_counts(bool json)
{
	for (size_t i = 0; i < sizeof queues / sizeof *queues; i++) {
		long n = count_queue(queues[i]);

		if (n >= 0)
			printf(json ? ", \"%s\": %ld" : "%-9s %ld\n", queues[i], n);
	}
}

/* ---- what was counted ---- */

/* One line, or one object: a metric by the values of one label. */
static const struct table {
	const char *title, *json, *metric, *label;
} tables[] = {
	{ "messages", "messages", "gatepost_messages_total", "result" },
	{ "refusals", "refusals", "gatepost_smtpd_refusals_total", "stage" },
	{ "decided", "restrictions", "gatepost_restriction_decisions_total", "decision" },
	{ "delivered", "deliveries", "gatepost_delivery_attempts_total", "status" },
	{ "Redis", "redis", "gatepost_redis_commands_total", "result" },
	{ "DNS", "dns", "gatepost_dns_queries_total", "result" },
	{ "deaths", "deaths", "gatepost_worker_deaths_total", "command" },
};

static void print_table(const struct scrape *s, const struct table *t, bool json)
{
	struct str *values;
	size_t n = scrape_values(s, t->metric, t->label, &values);

	if (json)
		printf(", \"%s\": {", t->json);
	else if (n > 0)
		printf("%-9s", t->title);
	for (size_t i = 0; i < n; i++) {
		double sum = scrape_sum(s, t->metric, t->label, arena_z(s->a, values[i]));

		printf(json ? "%s\"%.*s\": %.0f" : "%s%.*s %.0f", i > 0 ? ", " : json ? "" : " ", STRF(values[i]), sum);
	}
	printf("%s", json ? "}" : n > 0 ? "\n" : "");
}

static void print_sessions(const struct scrape *s, bool json)
{
	printf(json ? ", \"sessions\": {\"now\": %.0f, \"all\": %.0f}" : "sessions  %.0f now, %.0f since the start\n",
		scrape_sum(s, "gatepost_smtpd_sessions", NULL, NULL),
		scrape_sum(s, "gatepost_smtpd_connections_total", "result", "all"));
}

static void print_processes(const struct scrape *s, bool json)
{
	const char *comma = "";

	printf(json ? ", \"processes\": [" : "processes\n");
	for (size_t i = 0; i < s->count; i++) {
		const struct sample *p = &s->samples[i];
		struct str command, service;
		double memory;

		if (!str_eqz(p->name, "gatepost_processes"))
			continue;
		command = scrape_label(p, "command");
		service = scrape_label(p, "service");
		memory = 0;
		for (size_t k = 0; k < s->count; k++)
			if (str_eqz(s->samples[k].name, "gatepost_process_resident_bytes") && str_eq(s->samples[k].labels, p->labels))
				memory = s->samples[k].value;
		if (json)
			printf("%s{\"command\": \"%.*s\", \"service\": \"%.*s\", \"count\": %.0f, \"resident_bytes\": %.0f}", comma,
				STRF(command), STRF(service), p->value, memory);
		else
			printf("  %-16.*s %-24.*s %3.0f %8.1f MiB\n", STRF(command), STRF(service), p->value, memory / MIB);
		comma = ", ";
	}
	printf("%s", json ? "]" : "");
}

/* ---- what it needs ---- */

/* Who is asked and how long that takes. */
static const struct peers {
	const char *title, *json, *seconds, *label, *failures;
} peers[] = {
	{ "policy", "policy", "gatepost_policy_request_seconds", "server", "gatepost_policy_failures_total" },
	{ "milter", "milters", "gatepost_milter_seconds", "milter", "gatepost_milter_failures_total" },
	{ "check", "checks", "gatepost_check_seconds", "check", NULL },
};

static void print_peer(const struct scrape *s, const struct peers *p, struct str who, bool json, bool first)
{
	const char *name = arena_z(s->a, who);
	double count = scrape_sum(s, arena_printf(s->a, "%s_count", p->seconds).p, p->label, name);
	double half = scrape_quantile(s, p->seconds, p->label, name, 0.5), most = scrape_quantile(s, p->seconds, p->label, name, 0.95);
	double failed = p->failures == NULL ? 0 : scrape_sum(s, p->failures, p->label, name);

	half = half < 0 ? 0 : half * 1000;
	most = most < 0 ? 0 : most * 1000;
	if (json)
		printf("%s{\"name\": \"%s\", \"count\": %.0f, \"failed\": %.0f, \"p50_ms\": %.3f, \"p95_ms\": %.3f}", first ? "" : ", ", name, count,
			failed, half, most);
	else
		printf("%-9s %s: %.0f asked, %.0f failed, half within %.1f ms, 95%% within %.1f ms\n", p->title, name, count, failed, half, most);
}

static void print_peers(const struct scrape *s, const struct peers *p, bool json)
{
	struct str *asked, *failed;
	size_t n = scrape_values(s, arena_printf(s->a, "%s_count", p->seconds).p, p->label, &asked);
	size_t m = p->failures == NULL ? 0 : scrape_values(s, p->failures, p->label, &failed), printed = 0;

	if (json)
		printf(", \"%s\": [", p->json);
	for (size_t i = 0; i < n; i++)
		print_peer(s, p, asked[i], json, printed++ == 0);
	for (size_t i = 0; i < m; i++) { /* those that never answered */
		size_t k = 0;

		while (k < n && !str_eq(asked[k], failed[i]))
			k++;
		if (k == n)
			print_peer(s, p, failed[i], json, printed++ == 0);
	}
	if (json)
		printf("]");
}

static void print_redis_away(const struct scrape *s, bool json)
{
	const char *comma = "";

	if (json)
		printf(", \"redis_away\": [");
	for (size_t i = 0; i < s->count; i++) {
		const struct sample *p = &s->samples[i];
		struct str node = scrape_label(p, "node");

		if (!str_eqz(p->name, "gatepost_redis_breakers_open") || p->value <= 0)
			continue;
		printf(json ? "%s\"%.*s\"" : "%sRedis     %.*s does not answer\n", comma, STRF(node));
		comma = json ? ", " : "";
	}
	printf("%s", json ? "]" : "");
}

static void print_certificates(const struct scrape *s, bool json)
{
	double now = (double)clock_wall_us() / 1e6;
	const char *comma = "";

	if (json)
		printf(", \"certificates\": [");
	for (size_t i = 0; i < s->count; i++) {
		const struct sample *p = &s->samples[i];
		struct str file = scrape_label(p, "file");

		if (!str_eqz(p->name, "gatepost_tls_certificate_not_after_seconds") || p->value <= 0)
			continue;
		if (json)
			printf("%s{\"file\": \"%.*s\", \"not_after\": %.0f, \"days_left\": %.1f}", comma, STRF(file), p->value,
				(p->value - now) / DAY_S);
		else
			printf("cert      %.*s: %.1f days left\n", STRF(file), (p->value - now) / DAY_S);
		comma = ", ";
	}
	printf("%s", json ? "]" : "");
}

static void print_counters(bool json)
{
	struct arena *a = arena_new("status");
	struct scrape s;

	if (scrape_read(a, &s)) {
		print_sessions(&s, json);
		for (size_t i = 0; i < sizeof tables / sizeof *tables; i++)
			print_table(&s, &tables[i], json);
		for (size_t i = 0; i < sizeof peers / sizeof *peers; i++)
			print_peers(&s, &peers[i], json);
		print_redis_away(&s, json);
		print_certificates(&s, json);
		print_processes(&s, json);
	} else if (!json) {
		printf("(only root and the mail system's own account are told more)\n");
	}
	arena_free(a);
}

/* For health checks: nothing is printed. */
static int ready(void)
{
	struct arena *a = arena_new("status");
	struct str body;
	bool yes = scrape_get(a, "/readyz", &body);

	arena_free(a);
	return yes ? EX_OK : 1;
}

int verb_status(struct tool *t, int argc, char **argv)
{
	static const struct option longs[] = { { "json", no_argument, NULL, 'j' }, { "ready", no_argument, NULL, 'r' }, { NULL, 0, NULL, 0 } };
	bool json = false, only_ready = false;
	pid_t pid;
	int option;

	while ((option = getopt_long(argc, argv, "jr", longs, NULL)) != -1) {
		if (option == '?')
			return EX_USAGE;
		json |= option == 'j';
		only_ready |= option == 'r';
	}
	pid = running_master(t);
	tool_enter_queue(t);
	if (only_ready)
		return pid != 0 ? ready() : 1;
	if (json)
		printf("{\"running\": %s, \"pid\": %ld, \"version\": \"%s\"", pid != 0 ? "true" : "false", (long)pid, GATEPOST_VERSION);
	else if (pid != 0)
		printf("running, process %ld\n", (long)pid);
	else
		printf("not running\n");
	print_counts(json);
	if (pid != 0)
		print_counters(json);
	if (json)
		printf("}\n");
	return pid != 0 ? EX_OK : 1;
}
