/* t/unit/metrics.c - counting in shared memory, by several processes, and what is printed of it. */
#include "lib/base/metrics.h"

#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/metrics_parts.h"
#include "t/unit/tap.h"

static bool printed(enum metric m, const char *line)
{
	struct buf b = { 0 };
	bool found;

	metrics_print(&b, m);
	found = strstr(buf_z(&b), line) != NULL;
	if (!found)
		diag("%s: not in:\n%s", line, buf_z(&b));
	buf_done(&b);
	return found;
}

/* A process of its own that counts and ends without a word. */
static pid_t other_process(int fd, const char *service)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		metrics_open(fd, "smtpd", service);
		metric_count(METRIC_SMTPD_CONNECTIONS, "accepted", NULL, NULL);
		metric_move(METRIC_SMTPD_SESSIONS, 3, NULL);
		metric_move(METRIC_SMTPD_SESSIONS, -1, NULL);
		metric_observe(METRIC_COMMIT_SECONDS, 700, NULL, NULL);
		_exit(0);
	}
	waitpid(pid, &status, 0);
	return pid;
}

static void across_processes(int fd)
{
	struct metric_process all[8];
	pid_t first = other_process(fd, "smtp"), second = other_process(fd, "smtp");

	other_process(fd, "submission");
	ok(printed(METRIC_SMTPD_CONNECTIONS, "\ngatepost_smtpd_connections_total{service=\"smtp\",result=\"accepted\"} 2\n"), "two processes added up");
	ok(printed(METRIC_SMTPD_CONNECTIONS, "{service=\"submission\",result=\"accepted\"} 1\n"), "by service");
	ok(printed(METRIC_SMTPD_CONNECTIONS, "# TYPE gatepost_smtpd_connections_total counter\n"), "its type");
	ok(printed(METRIC_SMTPD_SESSIONS, "gatepost_smtpd_sessions{service=\"smtp\"} 4\n"), "a gauge, too");
	is_int((long long)metrics_processes(all, 8), 4, "processes, we among them");
	metrics_leave(first);
	ok(printed(METRIC_SMTPD_SESSIONS, "gatepost_smtpd_sessions{service=\"smtp\"} 2\n"), "what a dead process held is gone");
	metrics_leave(second);
	ok(printed(METRIC_SMTPD_SESSIONS, "gatepost_smtpd_sessions{service=\"smtp\"} 0\n"), "all of it");
	ok(printed(METRIC_SMTPD_CONNECTIONS, "{service=\"smtp\",result=\"accepted\"} 2\n"), "what it counted is not");
	other_process(fd, "smtp");
	ok(printed(METRIC_SMTPD_CONNECTIONS, "{service=\"smtp\",result=\"accepted\"} 3\n"), "its cells are used again");
	is_int((long long)metrics_processes(all, 8), 3, "by a new process");
}

static void histograms(void)
{
	metric_observe(METRIC_COMMIT_SECONDS, 250, NULL, NULL);
	metric_observe(METRIC_COMMIT_SECONDS, 1500000, NULL, NULL);
	metric_observe(METRIC_COMMIT_SECONDS, UINT64_MAX / 4, NULL, NULL);
	ok(printed(METRIC_COMMIT_SECONDS, "gatepost_queue_commit_seconds_bucket{le=\"0.000250\"} 1\n"), "a limit belongs to its bucket");
	ok(printed(METRIC_COMMIT_SECONDS, "gatepost_queue_commit_seconds_bucket{le=\"0.001000\"} 5\n"), "buckets are cumulative");
	ok(printed(METRIC_COMMIT_SECONDS, "_bucket{le=\"3600\"} 6\n"), "the last limit");
	ok(printed(METRIC_COMMIT_SECONDS, "_bucket{le=\"+Inf\"} 7\n"), "and beyond");
	ok(printed(METRIC_COMMIT_SECONDS, "gatepost_queue_commit_seconds_count 7\n"), "count");
	metric_observe(METRIC_POLICY_SECONDS, 2500, "unix:private/policyd", NULL);
	ok(printed(METRIC_POLICY_SECONDS, "_bucket{server=\"unix:private/policyd\",le=\"0.002500\"} 1\n"), "with a label");
	ok(printed(METRIC_POLICY_SECONDS, "_sum{server=\"unix:private/policyd\"} 0.002500\n"), "sum in seconds");
	metric_observe(METRIC_MESSAGE_SIZE, 5000, NULL, NULL);
	ok(printed(METRIC_MESSAGE_SIZE, "_bucket{le=\"4096\"} 0\n"), "octets below");
	ok(printed(METRIC_MESSAGE_SIZE, "_bucket{le=\"8192\"} 1\n"), "octets above");
}

static void values(void)
{
	char longer[200];

	metric_count(METRIC_MILTER_FAILURES, "a\"b\\c\n", NULL, NULL);
	ok(printed(METRIC_MILTER_FAILURES, "{milter=\"a\\\"b\\\\c?\"} 1\n"), "values are escaped");
	memset(longer, 'x', sizeof longer);
	longer[sizeof longer - 1] = '\0';
	metric_count(METRIC_SMTPD_REFUSALS, longer, longer, longer);
	ok(printed(METRIC_SMTPD_REFUSALS, "gatepost_smtpd_refusals_total{stage=\"xxx"), "and cut");
}

/* As many series as a broken program could make. */
static void too_many(void)
{
	struct buf b = { 0 };

	for (int i = 0; i < 3 * METRIC_SERIES_MAX; i++) {
		char name[16];

		snprintf(name, sizeof name, "m%d", i);
		metric_count(METRIC_MILTER_FAILURES, name, NULL, NULL);
	}
	ok(printed(METRIC_MILTER_FAILURES, "{milter=\"m0\"} 1\n"), "the first are counted");
	metrics_print(&b, METRIC_LOST);
	ok(b.n > 0, "that others are not is told");
	buf_done(&b);
}

/* Whatever a process under a stranger's influence wrote there. */
static void damaged(void)
{
	struct buf b = { 0 };

	for (size_t i = 0; i < 20; i++) {
		struct metric_series *s = &metric_memory->series[i];

		s->metric = i % 2 == 0 ? METRIC_MESSAGES : UINT32_MAX;
		s->cell = UINT32_MAX - (uint32_t)i;
		s->key_size = (uint32_t)i * 100;
		memset(s->key, 'y', sizeof s->key);
	}
	memset(metric_memory->slots[3].command, 'z', sizeof metric_memory->slots[3].command);
	memset(metric_memory->slots[3].service, 'z', sizeof metric_memory->slots[3].service);
	metric_memory->series_count = UINT32_MAX;
	for (int m = 0; m < METRIC_COUNT; m++)
		metrics_print(&b, (enum metric)m);
	metrics_leave(getppid());
	ok(true, "is read without harm");
	metric_count(METRIC_MESSAGES, "queued", NULL, NULL);
	ok(true, "and nothing more can be added");
	buf_done(&b);
}

int main(void)
{
	int fd = metrics_create();

	metric_count(METRIC_MESSAGES, "queued", NULL, NULL);
	ok(true, "without memory nothing happens");
	for (int m = 0; m < METRIC_COUNT; m++)
		ok(metric_rows[m].name != NULL && metric_rows[m].help != NULL, "row %d is filled in", m);
	ok(fd >= 0, "memory is made");
	ok(ftruncate(fd, 0) < 0, "nobody can cut it off");
	ok(metrics_open(fd, "test", "test"), "and used");
	across_processes(fd);
	histograms();
	values();
	damaged();
	ok(metrics_open(-1, "test", "test"), "memory of our own");
	too_many();
	ok(!metrics_open(STDIN_FILENO, "test", "test"), "what is no memory is not used");
	return done_testing();
}
