/* lib/base/metrics.h - what is counted, for Prometheus and for `gatepost status`.
 *
 * metric_rows[] says which metrics there are. A metric with its label values is a series: it comes into being when it is first counted, in
 * memory that all processes of an instance share (master makes it and hands it to every worker). Each process counts in cells of its own, so
 * counting costs one uncontended addition; whoever reads adds up the cells of all. Nothing here fails: when there is no room for another
 * series it is not counted, which is counted. Label values come from the program and its configuration, never from mail or clients.
 * Not for other threads.
 */
#ifndef GATEPOST_LIB_BASE_METRICS_H
#define GATEPOST_LIB_BASE_METRICS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/base/str.h"

enum metric { /* the rows of metric_rows[], same order */
	METRIC_SMTPD_CONNECTIONS,
	METRIC_SMTPD_SESSIONS,
	METRIC_SMTPD_SESSION_SECONDS,
	METRIC_SMTPD_COMMANDS,
	METRIC_SMTPD_REFUSALS,
	METRIC_SMTPD_TLS,
	METRIC_RESTRICTIONS,
	METRIC_POLICY_SECONDS,
	METRIC_POLICY_FAILURES,
	METRIC_CHECK_VERDICTS,
	METRIC_CHECK_SECONDS,
	METRIC_DNS_LISTS_UNUSED,
	METRIC_SHADOW,
	METRIC_MILTER_VERDICTS,
	METRIC_MILTER_SECONDS,
	METRIC_MILTER_FAILURES,
	METRIC_MESSAGES,
	METRIC_MESSAGE_SIZE,
	METRIC_COMMIT_SECONDS,
	METRIC_ACTIVE,
	METRIC_DELIVERIES,
	METRIC_DELIVERY_SECONDS,
	METRIC_DELIVERY_TLS,
	METRIC_NOTICES,
	METRIC_DNS_QUERIES,
	METRIC_DNS_SECONDS,
	METRIC_REDIS_COMMANDS,
	METRIC_REDIS_SECONDS,
	METRIC_REDIS_OPEN,
	METRIC_WORKER_DEATHS,
	METRIC_RELOADS,
	METRIC_CERT_EXPIRY,
	METRIC_STORY_LOST,
	METRIC_LOST,
	METRIC_COUNT
};

enum metric_type { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM };
enum metric_unit { METRIC_PLAIN, METRIC_SECONDS, METRIC_BYTES }; /* seconds are counted in microseconds */

struct metric_row {
	const char *name;
	enum metric_type type;
	enum metric_unit unit;
	const char *labels; /* names, separated by blanks; at most METRIC_LABELS_MAX */
	const char *help;
};

#define METRIC_LABELS_MAX 3
#define METRIC_BUCKETS 14 /* upper limits of a histogram, +Inf not counted */

extern const struct metric_row metric_rows[METRIC_COUNT];
/* Upper limits in what is counted: microseconds or octets. */
const uint64_t *metric_buckets(enum metric_unit unit);

/* ---- counting; without metrics_open() nothing happens ---- */

/* Label values in the row's order; NULL for those it has not. A label "service" is filled in by the process itself: it has no argument. */
void metric_count(enum metric m, const char *a, const char *b, const char *c); /* one more */
void metric_move(enum metric m, int64_t by, const char *a);                    /* a gauge: all processes' values are added up */
void metric_set(enum metric m, int64_t value, const char *a);                   /* a gauge that one process alone has */
void metric_observe(enum metric m, uint64_t value, const char *a, const char *b);

/* ---- the memory ---- */

/* New memory for an instance; its descriptor, or -1 with errno. */
int metrics_create(void);
/* Count there from now on, as this service. fd -1: in memory of our own. False: fd cannot be mapped; memory of our own is used. */
bool metrics_open(int fd, const char *command, const char *service);
/* The process is no more: what it held is 0, its cells are free for another one. */
void metrics_leave(pid_t pid);

/* ---- reading ---- */

struct metric_process {
	pid_t pid;
	char command[24], service[40];
	int64_t started_us; /* wall clock */
};

/* Processes that count there; at most max of them are filled in. Returns how many. */
size_t metrics_processes(struct metric_process *out, size_t max);
/* All series of one metric in the text format of Prometheus, with HELP and TYPE; nothing when there is none. */
void metrics_print(struct buf *out, enum metric m);
/* HELP and TYPE lines, for metrics that are not in the table. */
void metrics_print_head(struct buf *out, const char *name, const char *type, const char *help);
/* A label's value, escaped, with its quotes. */
void metrics_print_value(struct buf *out, struct str value);

#endif
