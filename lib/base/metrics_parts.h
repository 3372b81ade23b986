/* lib/base/metrics_parts.h - the shared memory of the counters, as both who counts and who reads know it.
 * Entries are appended and never change once they are ready, so that nobody needs a lock: a process killed in between leaves a hole, two
 * that make the same series at once leave it twice, and readers add both up. Readers trust nothing in it.
 */
#ifndef GATEPOST_LIB_BASE_METRICS_PARTS_H
#define GATEPOST_LIB_BASE_METRICS_PARTS_H

#include <stdatomic.h>

#include "lib/base/metrics.h"

#define METRIC_SERIES_MAX 1024
#define METRIC_CELLS_MAX 8192 /* of one process */
#define METRIC_SLOTS 128      /* processes; later ones share the last slot */
#define METRIC_KEY_MAX 104    /* label values, a NUL behind each */

#define METRIC_HISTOGRAM_CELLS (METRIC_BUCKETS + 2) /* buckets, +Inf, sum */

struct metric_series {
	_Atomic uint32_t ready;
	uint32_t metric, cell;
	uint32_t key_size;
	char key[METRIC_KEY_MAX];
};

struct metric_slot {
	_Atomic int32_t pid; /* 0: free */
	char command[24], service[40];
	int64_t started_us;
};

struct metric_memory {
	_Atomic uint32_t series_count, cell_count;
	struct metric_series series[METRIC_SERIES_MAX];
	struct metric_slot slots[METRIC_SLOTS];
	_Atomic uint64_t cells[METRIC_SLOTS][METRIC_CELLS_MAX]; /* touched as series appear: the rest costs address space only */
};

extern struct metric_memory *metric_memory; /* NULL before metrics_open() */
/* Cells of a metric. */
uint32_t metric_cells(enum metric m);
uint32_t metric_series_count(void);

#endif
