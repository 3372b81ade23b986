/* mta/explain/ring.c - the newest events in files: a directory of segments, of which the oldest goes when they are too many. The name of a
 * segment is the time when it was begun, so names sort by age. A thread writes; what cannot be written is lost, and said once.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/fs.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/metrics.h"
#include "lib/net/fiber.h"
#include "mta/explain/explain.h"

#define SEGMENTS 16 /* that share explain_ring_size */
#define SEGMENT_LEAST (64 * 1024)
#define PENDING_MAX (8 * 1024 * 1024)
#define GATHER_MS 50 /* lines of many senders become one write */
#define NAME_FORMAT "%s/%016" PRIx64 ".jsonl"

static struct {
	char *dir;
	size_t size, segment_size; /* 0: no ring */
	struct buf pending, writing;
	struct waitq more;
	bool stopping, stopped;
	uint64_t segment; /* being written */
	size_t written; /* to it */
	int fd;
	bool complained;
} ring = { .fd = -1 };

bool ring_used(void)
{
	return ring.size > 0;
}

void ring_init(const struct conf *c)
{
	struct buf dir = { 0 };

	ring.size = (size_t)conf_size(c, "explain_ring_size");
	ring.segment_size = ring.size / SEGMENTS > SEGMENT_LEAST ? ring.size / SEGMENTS : SEGMENT_LEAST;
	buf_addf(&dir, "%s/explain", conf_str(c, "data_directory"));
	ring.dir = mem_strdup(buf_z(&dir));
	buf_done(&dir);
	waitq_init(&ring.more);
}

/* ---- segments ---- */

static bool segment_of(const char *name, uint64_t *out)
{
	char *end;

	if (strlen(name) != sizeof "0123456789abcdef.jsonl" - 1)
		return false;
	*out = strtoull(name, &end, 16);
	return end == name + 16 && strcmp(end, ".jsonl") == 0;
}

struct segments {
	uint64_t all[4 * SEGMENTS];
	size_t count;
};

static int by_age(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* Oldest first; of very many, some. */
static void list_segments(struct segments *s)
{
	DIR *d = opendir(ring.dir);
	struct dirent *e;

	s->count = 0;
	while (d != NULL && s->count < 4 * SEGMENTS && (e = readdir(d)) != NULL)
		s->count += segment_of(e->d_name, &s->all[s->count]);
	if (d != NULL)
		closedir(d);
	qsort(s->all, s->count, sizeof *s->all, by_age);
}

static int open_segment(uint64_t segment, int flags)
{
	struct buf path = { 0 };
	int fd;

	buf_addf(&path, NAME_FORMAT, ring.dir, segment);
	fd = open(buf_z(&path), flags | O_CLOEXEC | O_NOFOLLOW, 0600);
	buf_done(&path);
	return fd;
}

static void remove_oldest(void)
{
	struct segments s;
	struct buf path = { 0 };

	list_segments(&s);
	for (size_t i = 0; i + SEGMENTS < s.count; i++) {
		buf_clear(&path);
		buf_addf(&path, NAME_FORMAT, ring.dir, s.all[i]);
		(void)unlink(buf_z(&path)); /* tried again with the next one */
	}
	buf_done(&path);
}

/* ---- writing ---- */

static bool begin_segment(void)
{
	if (ring.fd >= 0)
		close(ring.fd);
	if (mkdir(ring.dir, 0700) < 0 && errno != EEXIST)
		return false;
	ring.segment = (uint64_t)clock_wall_us();
	ring.written = 0;
	ring.fd = open_segment(ring.segment, O_WRONLY | O_CREAT | O_APPEND);
	remove_oldest();
	return ring.fd >= 0;
}

struct writing { /* one offloaded job */
	int error; /* 0: done */
};

static void write_run(void *arg)
{
	struct writing *w = arg;
	size_t at = 0;

	errno = 0;
	if ((ring.fd < 0 || ring.written >= ring.segment_size) && !begin_segment()) {
		w->error = errno != 0 ? errno : EIO;
		return;
	}
	while (at < ring.writing.n) {
		ssize_t n = write(ring.fd, ring.writing.p + at, ring.writing.n - at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			w->error = errno != 0 ? errno : EIO;
			return;
		}
		at += (size_t)n;
		ring.written += (size_t)n;
	}
}

static void write_pending(void)
{
	struct buf swap = ring.writing;
	struct writing w = { 0 };

	ring.writing = ring.pending;
	ring.pending = swap;
	offload(write_run, &w);
	if (w.error != 0 && !ring.complained)
		log_warn("%s: cannot keep events: %s", ring.dir, strerror(w.error));
	ring.complained = w.error != 0;
	buf_clear(&ring.writing);
	share_wake();
}

static void writer(void *arg)
{
	(void)arg; /* there is one ring */
	while (!ring.stopping || ring.pending.n > 0) {
		if (ring.pending.n == 0) {
			(void)waitq_wait(&ring.more, DEADLINE_NEVER);
			if (!ring.stopping)
				fiber_sleep(GATHER_MS);
		}
		if (ring.pending.n > 0)
			write_pending();
	}
	ring.stopped = true;
	waitq_wake_all(&ring.more);
}

void ring_start(void)
{
	if (!ring_used()) {
		ring.stopped = true;
		return;
	}
	if (mkdir(ring.dir, 0700) < 0 && errno != EEXIST) /* who asks at once finds nothing, rather than no place */
		log_warn("%s: cannot keep events: %s", ring.dir, strerror(errno));
	fiber_start("explain ring", writer, NULL);
}

void ring_add(struct str lines)
{
	if (!ring_used())
		return;
	if (ring.pending.n + lines.n > PENDING_MAX) {
		metric_count(METRIC_STORY_LOST, NULL, NULL, NULL);
		return;
	}
	buf_add(&ring.pending, lines);
	waitq_wake_all(&ring.more);
}

void ring_stop(void)
{
	ring.stopping = true;
	while (!ring.stopped) {
		waitq_wake_all(&ring.more);
		fiber_sleep(1);
	}
}

/* ---- reading ---- */

/* The segment behind this one, 0: there is none. *gone: this one is no more. */
static uint64_t next_segment(uint64_t segment, bool *gone)
{
	struct segments s;

	list_segments(&s);
	*gone = true;
	for (size_t i = 0; i < s.count; i++) {
		*gone = *gone && s.all[i] != segment;
		if (s.all[i] > segment)
			return s.all[i];
	}
	return 0;
}

/* Whole lines of one segment; 0: no more for now. */
static int read_lines(struct ring_place *p, size_t max, struct buf *out, struct err *e)
{
	int fd = open_segment(p->segment, O_RDONLY);
	const char *end;
	ssize_t n;

	if (fd < 0)
		return errno == ENOENT ? 0 : err_errno(e, errno, "cannot read events");
	n = pread(fd, buf_reserve(out, max), max, p->at);
	close(fd);
	if (n < 0)
		return err_errno(e, errno, "cannot read events");
	end = n == 0 ? NULL : memrchr(out->p + out->n, '\n', (size_t)n);
	if (end == NULL)
		return 0;
	n = end - (out->p + out->n) + 1;
	out->n += (size_t)n;
	p->at += n;
	return 1;
}

int ring_read(struct ring_place *p, size_t max, struct buf *out, struct err *e)
{
	for (int i = 0; i <= 4 * SEGMENTS; i++) {
		int rc = p->segment == 0 ? 0 : read_lines(p, max, out, e);
		uint64_t next;
		bool gone;

		if (rc != 0)
			return rc;
		next = next_segment(p->segment, &gone);
		if (next == 0)
			return 0;
		*p = (struct ring_place){ .segment = next };
	}
	return 0;
}
