/* mta/tools/gatepost/top.c - top: what goes on now, once every few seconds: rates, queues, waiting times, processes. */
#include <getopt.h>
#include <poll.h>
#include <stdlib.h>
#include <sysexits.h>
#include <time.h>

#include "lib/base/clock.h"
#include "mta/tools/gatepost/scrape.h"

#define EVERY_S 2
#define PROCESSES_MAX 256
#define PROCESSES_SHOWN 12
#define MICRO 1e6

struct process {
	long pid;
	struct str command, service;
	double cpu_s; /* used so far */
	double share; /* of one core since the last look */
};

struct look { /* at one moment */
	struct arena *a;
	int64_t at_us;
	struct scrape counters;
	struct process processes[PROCESSES_MAX];
	size_t process_count;
};

/* ---- looking ---- */

/* User and system time, fields 14 and 15 of proc(5)'s stat, behind the name in parentheses. */
static double cpu_of(long pid)
{
	char path[40], line[1024];
	unsigned long long user = 0, kernel = 0;
	const char *behind;
	FILE *f;

	snprintf(path, sizeof path, "/proc/%ld/stat", pid);
	f = fopen(path, "re");
	if (f == NULL)
		return 0;
	if (fgets(line, sizeof line, f) == NULL)
		line[0] = '\0';
	fclose(f);
	behind = strrchr(line, ')');
	if (behind == NULL || sscanf(behind + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu", &user, &kernel) != 2)
		return 0;
	return (double)(user + kernel) / (double)sysconf(_SC_CLK_TCK);
}

static void read_processes(struct look *l)
{
	struct str body;

	if (!scrape_get(l->a, "/processes", &body))
		return;
	while (body.n > 0 && l->process_count < PROCESSES_MAX) {
		struct str line = str_cut(&body, '\n'), word = str_word(&line, " ");
		struct process *p = &l->processes[l->process_count];
		uint64_t pid;

		if (!str_to_u64(word, INT32_MAX, &pid))
			continue;
		*p = (struct process){ .pid = (long)pid, .command = str_word(&line, " "), .service = str_word(&line, " "), .cpu_s = cpu_of((long)pid) };
		l->process_count++;
	}
}

/* NULL: nobody answers. */
static struct look *look_at(void)
{
	struct arena *a = arena_new("top");
	struct look *l = arena_alloc(a, sizeof *l);

	l->a = a;
	l->at_us = clock_mono_us();
	if (!scrape_read(a, &l->counters)) {
		arena_free(a);
		return NULL;
	}
	read_processes(l);
	return l;
}

/* ---- showing ---- */

static double rate(const struct look *before, const struct look *now, const char *metric, const char *label, const char *value)
{
	double more = scrape_sum(&now->counters, metric, label, value) - scrape_sum(&before->counters, metric, label, value);

	return more < 0 ? 0 : more / ((double)(now->at_us - before->at_us) / MICRO);
}

static const struct line { /* "title  rate word, rate word ..." */
	const char *title, *metric, *label;
	struct {
		const char *value, *word;
	} parts[5];
} lines[] = {
	{ "sessions/s", "gatepost_smtpd_connections_total", "result", { { "all", "new" }, { "limited", "over a limit" } } },
	{ "messages/s", "gatepost_messages_total", "result",
		{ { "queued", "queued" }, { "held", "held" }, { "rejected", "rejected" }, { "deferred", "deferred" }, { "discarded", "discarded" } } },
	{ "refusals/s", "gatepost_smtpd_refusals_total", "stage",
		{ { "CONNECT", "CONNECT" }, { "MAIL", "MAIL" }, { "RCPT", "RCPT" }, { "DATA", "DATA" }, { "END-OF-MESSAGE", "END-OF-MESSAGE" } } },
	{ "delivered/s", "gatepost_delivery_attempts_total", "status", { { "sent", "sent" }, { "deferred", "deferred" }, { "bounced", "bounced" } } },
	{ "Redis/s", "gatepost_redis_commands_total", "result", { { "done", "done" }, { "failed", "failed" } } },
	{ "DNS/s", "gatepost_dns_queries_total", "result", { { "found", "found" }, { "nxdomain", "none" }, { "failed", "failed" } } },
};

static void show_line(const struct look *before, const struct look *now, const struct line *l)
{
	printf("%-12s", l->title);
	for (size_t i = 0; i < sizeof l->parts / sizeof *l->parts && l->parts[i].value != NULL; i++)
		printf("%s %.1f %s", i > 0 ? "," : "", rate(before, now, l->metric, l->label, l->parts[i].value), l->parts[i].word);
	printf("\n");
}

static void show_queues(const struct look *now)
{
	const char *comma = "";

	printf("%-12s", "queues");
	for (size_t i = 0; i < now->counters.count; i++) {
		const struct sample *s = &now->counters.samples[i];
		struct str queue;

		if (!str_eqz(s->name, "gatepost_queue_messages"))
			continue;
		queue = scrape_label(s, "queue");
		printf("%s %.*s %.0f", comma, STRF(queue), s->value);
		comma = ",";
	}
	printf("\n");
}

static const struct wait {
	const char *title, *metric, *label;
} waits[] = {
	{ "milter", "gatepost_milter_seconds", "milter" },
	{ "policy", "gatepost_policy_request_seconds", "server" },
	{ "check", "gatepost_check_seconds", "check" },
	{ "fsync", "gatepost_queue_commit_seconds", NULL },
};

static void show_wait(const struct look *before, const struct look *now, const struct wait *w, const char *value)
{
	const char *count = arena_printf(now->a, "%s_count", w->metric).p, *sum = arena_printf(now->a, "%s_sum", w->metric).p;
	double per_s = rate(before, now, count, w->label, value), spent = rate(before, now, sum, w->label, value);

	if (per_s > 0)
		printf("%-12s %-32s %8.1f/s %9.2f ms each\n", w->title, value != NULL ? value : "", per_s, spent / per_s * 1000);
}

static void show_waits(const struct look *before, const struct look *now)
{
	for (size_t i = 0; i < sizeof waits / sizeof *waits; i++) {
		const char *count = arena_printf(now->a, "%s_count", waits[i].metric).p;
		struct str *values;
		size_t n = waits[i].label == NULL ? 0 : scrape_values(&now->counters, count, waits[i].label, &values);

		if (waits[i].label == NULL)
			show_wait(before, now, &waits[i], NULL);
		for (size_t k = 0; k < n; k++)
			show_wait(before, now, &waits[i], arena_z(now->a, values[k]));
	}
}

static int by_share(const void *a, const void *b)
{
	const struct process *x = a, *y = b;

	return x->share < y->share ? 1 : x->share > y->share ? -1 : x->pid < y->pid ? -1 : x->pid > y->pid;
}

/* What each process used since the last look; the busiest first. */
static void share_out(const struct look *before, struct look *now)
{
	double seconds = (double)(now->at_us - before->at_us) / MICRO;

	for (size_t i = 0; i < now->process_count; i++)
		for (size_t k = 0; k < before->process_count; k++)
			if (now->processes[i].pid == before->processes[k].pid)
				now->processes[i].share = (now->processes[i].cpu_s - before->processes[k].cpu_s) / seconds;
	qsort(now->processes, now->process_count, sizeof *now->processes, by_share);
}

static void show_processes(const struct look *now)
{
	printf("\n%8s %6s  %-16s %s\n", "process", "CPU %", "program", "service");
	for (size_t i = 0; i < now->process_count && i < PROCESSES_SHOWN; i++) {
		const struct process *p = &now->processes[i];

		printf("%8ld %6.1f  %-16.*s %.*s\n", p->pid, p->share * 100, STRF(p->command), STRF(p->service));
	}
}

static void show(const struct look *before, const struct look *now, bool screen)
{
	time_t t = time(NULL);
	struct tm tm;
	char clock[16];

	localtime_r(&t, &tm);
	strftime(clock, sizeof clock, "%H:%M:%S", &tm);
	if (screen)
		printf("\033[H\033[2J");
	printf("%s  %.0f sessions, %.0f messages being delivered\n", clock, scrape_sum(&now->counters, "gatepost_smtpd_sessions", NULL, NULL),
		scrape_sum(&now->counters, "gatepost_qmgr_active_messages", NULL, NULL));
	for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
		show_line(before, now, &lines[i]);
	show_queues(now);
	show_waits(before, now);
	show_processes(now);
	fflush(stdout);
}

/* The same numbers in one object, for programs. */
static void show_json(const struct look *before, const struct look *now)
{
	printf("{\"time\": %lld, \"seconds\": %.3f, \"sessions\": %.0f, \"active\": %.0f", (long long)time(NULL),
		(double)(now->at_us - before->at_us) / MICRO, scrape_sum(&now->counters, "gatepost_smtpd_sessions", NULL, NULL),
		scrape_sum(&now->counters, "gatepost_qmgr_active_messages", NULL, NULL));
	for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
		const struct line *l = &lines[i];

		printf(", \"%s\": {", l->title);
		for (size_t k = 0; k < sizeof l->parts / sizeof *l->parts && l->parts[k].value != NULL; k++)
			printf("%s\"%s\": %.3f", k > 0 ? ", " : "", l->parts[k].value, rate(before, now, l->metric, l->label, l->parts[k].value));
		printf("}");
	}
	printf(", \"processes\": [");
	for (size_t i = 0; i < now->process_count; i++)
		printf("%s{\"pid\": %ld, \"command\": \"%.*s\", \"service\": \"%.*s\", \"cpu\": %.3f}", i > 0 ? ", " : "",
			now->processes[i].pid, STRF(now->processes[i].command), STRF(now->processes[i].service), now->processes[i].share);
	printf("]}\n");
	fflush(stdout);
}

/* True: the user wants no more ("q"). */
static bool wait_or_quit(int64_t seconds, bool keys)
{
	struct pollfd key = { .fd = keys ? STDIN_FILENO : -1, .events = POLLIN };
	char c;

	if (poll(&key, 1, (int)(seconds * 1000)) <= 0)
		return false;
	return read(STDIN_FILENO, &c, 1) <= 0 || c == 'q';
}

static bool number(const char *text, uint64_t max, uint64_t *out)
{
	return str_to_u64(str_z(text), max, out) && *out > 0;
}

int verb_top(struct tool *t, int argc, char **argv)
{
	static const struct option longs[] = { { "json", no_argument, NULL, 'j' }, { NULL, 0, NULL, 0 } };
	uint64_t every = EVERY_S, count = 0;
	bool screen = isatty(STDOUT_FILENO), keys = isatty(STDIN_FILENO), json = false;
	struct look *before, *now;
	int option;

	while ((option = getopt_long(argc, argv, "d:jn:", longs, NULL)) != -1) {
		json |= option == 'j';
		if (option == '?' || (option != 'j' && !number(optarg, 3600, option == 'd' ? &every : &count))) {
			tool_complain("usage: top [-d SECONDS] [-n HOW_OFTEN] [--json]");
			return EX_USAGE;
		}
	}
	tool_enter_queue(t);
	before = look_at();
	for (uint64_t i = 0; before != NULL && (count == 0 || i < count); i++) {
		if (wait_or_quit((int64_t)every, keys))
			break;
		now = look_at();
		if (now != NULL)
			share_out(before, now);
		if (now != NULL && json)
			show_json(before, now);
		else if (now != NULL)
			show(before, now, screen);
		arena_free(before->a);
		before = now;
	}
	if (before == NULL) {
		tool_complain("nobody answers: is it running, and may you ask? (only root and %s may)", conf_str(t->conf, "mail_owner"));
		return EX_UNAVAILABLE;
	}
	arena_free(before->a);
	return EX_OK;
}
