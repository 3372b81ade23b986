/* mta/metrics/page.c - the pages: all counters of all processes, and the processes themselves. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/metrics.h"
#include "mta/metrics/metrics.h"

#define PROCESSES_MAX 256
#define MICRO 1000000

/* Octets of a process that are in memory; 0: it is gone. */
static uint64_t resident(pid_t pid)
{
	unsigned long long all, pages = 0;
	char path[40];
	FILE *f;

	snprintf(path, sizeof path, "/proc/%ld/statm", (long)pid);
	f = fopen(path, "re");
	if (f == NULL)
		return 0;
	if (fscanf(f, "%llu %llu", &all, &pages) != 2)
		pages = 0;
	fclose(f);
	return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* ---- by service ---- */

struct group { /* processes of one service */
	const char *command, *service;
	unsigned count;
	uint64_t resident;
	int64_t oldest_us;
};

static size_t make_groups(const struct metric_process *all, size_t count, struct group *groups)
{
	size_t n = 0;

	for (size_t i = 0; i < count; i++) {
		size_t k = 0;

		while (k < n && (strcmp(groups[k].service, all[i].service) != 0 || strcmp(groups[k].command, all[i].command) != 0))
			k++;
		if (k == n)
			groups[n++] = (struct group){ .command = all[i].command, .service = all[i].service, .oldest_us = all[i].started_us };
		groups[k].count++;
		groups[k].resident += resident(all[i].pid);
		if (all[i].started_us < groups[k].oldest_us)
			groups[k].oldest_us = all[i].started_us;
	}
	return n;
}

static void print_group_value(struct buf *out, const char *name, const struct group *g)
{
	buf_addf(out, "%s{command=", name);
	metrics_print_value(out, str_z(g->command));
	buf_addz(out, ",service=");
	metrics_print_value(out, str_z(g->service));
	buf_addz(out, "} ");
}

static void print_processes(struct buf *out)
{
	struct metric_process all[PROCESSES_MAX];
	struct group groups[PROCESSES_MAX];
	size_t n = make_groups(all, metrics_processes(all, PROCESSES_MAX), groups);

	metrics_print_head(out, "gatepost_processes", "gauge", "Processes of each service");
	for (size_t i = 0; i < n; i++) {
		print_group_value(out, "gatepost_processes", &groups[i]);
		buf_addf(out, "%u\n", groups[i].count);
	}
	metrics_print_head(out, "gatepost_process_resident_bytes", "gauge", "Memory in use, pages that processes share counted for each");
	for (size_t i = 0; i < n; i++) {
		print_group_value(out, "gatepost_process_resident_bytes", &groups[i]);
		buf_addf(out, "%" PRIu64 "\n", groups[i].resident);
	}
	metrics_print_head(out, "gatepost_process_start_time_seconds", "gauge", "Start of the oldest process of each service");
	for (size_t i = 0; i < n; i++) {
		print_group_value(out, "gatepost_process_start_time_seconds", &groups[i]);
		buf_addf(out, "%" PRId64 ".%06" PRId64 "\n", groups[i].oldest_us / MICRO, groups[i].oldest_us % MICRO);
	}
}

/* ---- pages ---- */

void page_metrics(struct buf *out)
{
	metrics_print_head(out, "gatepost_build_info", "gauge", "The program");
	buf_addz(out, "gatepost_build_info{version=\"" GATEPOST_VERSION "\"} 1\n");
	print_processes(out);
	queues_print(out);
	for (int m = 0; m < METRIC_COUNT; m++)
		metrics_print(out, (enum metric)m);
}

void page_processes(struct buf *out)
{
	struct metric_process all[PROCESSES_MAX];
	size_t n = metrics_processes(all, PROCESSES_MAX);

	for (size_t i = 0; i < n; i++) {
		buf_addf(out, "%ld ", (long)all[i].pid);
		buf_add_safe(out, str_z(all[i].command));
		buf_addc(out, ' ');
		buf_add_safe(out, str_z(all[i].service));
		buf_addf(out, " %" PRId64 "\n", all[i].started_us / MICRO);
	}
}

bool page_ready(void)
{
	static const char *const wanted[] = { "smtpd", "cleanup", "qmgr", "trivial-rewrite" };
	struct metric_process all[PROCESSES_MAX];
	size_t n = metrics_processes(all, PROCESSES_MAX), found = 0;

	for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++)
		for (size_t k = 0; k < n; k++)
			if (strcmp(all[k].command, wanted[i]) == 0) {
				found++;
				break;
			}
	return found == sizeof wanted / sizeof *wanted;
}
