/* mta/qmgr/scan.c - messages found in the directories: active/ and incoming/ at start (whatever a crash left there), incoming/ again when
 * notices were declined or lost, and those buckets of deferred/ that are due. The rest of deferred/ is never looked at.
 */
#include "mta/qmgr/qmgr.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"

#define LOADERS_MAX 8
#define YOUNG_S 3 /* a file in incoming/ is left to its notice for so long */
#define LOCKED_RETRY_MS 10000 /* how soon a locked file in active/ is looked at again, or after queue_run_delay */
#define SWEEP_MS 60000
#define LEAST_WAIT_MS 500 /* between two looks */
#define MOVE_MS 1000 /* between looks for messages that take long */
#define AHEAD_S 60 /* what is due later than we put things off, and this, was put off before the clock was set back */
#define FOUND_MAX 1000000 /* names held in memory at once */

struct found {
	char id[QUEUE_ID_MAX];
	uint32_t bucket; /* index into find.buckets; deferred only */
};

struct find { /* one offloaded look into a directory */
	const char *queue; /* "incoming", "active", or NULL: deferred */
	int64_t now_s, latest_s, flush_us;
	struct found *found;
	size_t count, cap;
	char (*buckets)[9];
	size_t bucket_count, bucket_cap;
	int64_t next_due_s; /* 0: none seen */
	bool young;
	struct err e;
};

/* ---- looking, in the thread pool ---- */

static void add_found(struct find *f, const char *id)
{
	struct found *n;

	if (f->count == f->cap) {
		f->cap = f->cap > 0 ? f->cap * 2 : 64;
		f->found = mem_grow(f->found, f->cap, sizeof *f->found);
	}
	n = &f->found[f->count++];
	memset(n, 0, sizeof *n);
	memcpy(n->id, id, strlen(id) + 1);
	n->bucket = (uint32_t)(f->bucket_count > 0 ? f->bucket_count - 1 : 0);
}

static void note_due(struct find *f, int64_t due_s)
{
	if (f->next_due_s == 0 || due_s < f->next_due_s)
		f->next_due_s = due_s;
}

static int visit_plain(void *ctx, const char *path, const char *id)
{
	struct find *f = ctx;
	struct stat st;

	if (f->count >= FOUND_MAX)
		return 1;
	if (strcmp(f->queue, "incoming") == 0) {
		if (lstat(path, &st) < 0)
			return 0;
		if (st.st_mtime + YOUNG_S > f->now_s && st.st_mtime <= f->now_s + YOUNG_S) {
			f->young = true;
			return 0;
		}
	}
	add_found(f, id);
	return 0;
}

static bool is_due(const struct find *f, int64_t due_s)
{
	return due_s <= f->now_s || due_s > f->latest_s;
}

/* Due is what its time stamp says; a flush takes everything that has not been put back since. */
static int visit_deferred(void *ctx, const char *path, const char *id)
{
	struct find *f = ctx;
	struct stat st;

	if (f->count >= FOUND_MAX)
		return 1;
	if (lstat(path, &st) < 0)
		return 0;
	if (is_due(f, st.st_mtime) || (int64_t)st.st_ctim.tv_sec * 1000000 + st.st_ctim.tv_nsec / 1000 < f->flush_us)
		add_found(f, id);
	else
		note_due(f, st.st_mtime);
	return 0;
}

static int visit_bucket(void *ctx, const char *path, const char *name)
{
	struct find *f = ctx;
	int64_t due_s = queue_bucket_due(name);
	size_t before = f->count;
	int r;

	if (!is_due(f, due_s - QUEUE_BUCKET_S) && due_s <= f->latest_s && f->flush_us == 0) {
		note_due(f, due_s - QUEUE_BUCKET_S);
		return 0;
	}
	if (f->bucket_count == f->bucket_cap) {
		f->bucket_cap = f->bucket_cap > 0 ? f->bucket_cap * 2 : 64;
		f->buckets = mem_grow(f->buckets, f->bucket_cap, sizeof *f->buckets);
	}
	memcpy(f->buckets[f->bucket_count++], name, 9);
	r = queue_visit(path, visit_deferred, f, &f->e);
	if (r == 0 && f->count == before && due_s < f->now_s)
		(void)rmdir(path); /* only when empty; nothing new comes into the past */
	return r < 0 ? -1 : r;
}

static void find_run(void *arg)
{
	struct find *f = arg;

	if (f->queue != NULL)
		(void)queue_visit(f->queue, visit_plain, f, &f->e);
	else
		(void)queue_visit_buckets(visit_bucket, f, &f->e);
}

static void find_files(struct find *f)
{
	f->now_s = clock_wall_us() / 1000000;
	f->latest_s = f->now_s + qmgr.set.max_backoff_ms / 1000 + AHEAD_S;
	offload(find_run, f);
	if (f->e.kind != ERR_NONE)
		log_warn("%s", f->e.text);
}

static void find_done(struct find *f)
{
	mem_free(f->found);
	mem_free(f->buckets);
}

/* ---- taking up what was found ---- */

struct load {
	struct buf path;
	char id[QUEUE_ID_MAX];
	enum source source;
	bool flushed;
};

struct loaders {
	unsigned count;
	struct waitq done;
};

static struct loaders loaders; /* at work now */

static void load_run(void *arg)
{
	struct load *l = arg;

	active_take_file(buf_z(&l->path), l->id, l->source, l->flushed);
	buf_done(&l->path);
	mem_free(l);
	loaders.count--;
	waitq_wake_all(&loaders.done);
}

static void start(struct load *l)
{
	while (loaders.count >= LOADERS_MAX)
		(void)waitq_wait(&loaders.done, deadline_in(1000));
	loaders.count++;
	fiber_start("load", load_run, l);
}

static void start_load(const struct find *f, const struct found *n, enum source source)
{
	struct load *l = mem_alloc(sizeof *l);

	memcpy(l->id, n->id, sizeof l->id);
	l->source = source;
	l->flushed = f->flush_us != 0;
	if (f->queue != NULL)
		buf_addf(&l->path, "%s/%s", f->queue, n->id);
	else
		buf_addf(&l->path, "deferred/%s/%s", f->buckets[n->bucket], n->id);
	start(l);
}

void scan_take(const char *path, const char *id)
{
	struct load *l;

	while (!active_has_room(SOURCE_DEFERRED) && !qmgr.draining)
		(void)waitq_wait(&qmgr.room, deadline_in(1000));
	if (qmgr.draining || map_get(qmgr.messages, str_z(id)) != NULL)
		return;
	l = mem_alloc(sizeof *l);
	(void)snprintf(l->id, sizeof l->id, "%s", id);
	buf_addz(&l->path, path);
	l->source = SOURCE_DEFERRED;
	l->flushed = true;
	start(l);
}

static void scan_incoming(void);

static void take_up(const struct find *f, enum source source)
{
	for (size_t i = 0; i < f->count && !qmgr.draining; i++) {
		while (!active_has_room(source) && !qmgr.draining) {
			if (source == SOURCE_DEFERRED && qmgr.want_incoming && active_has_room(SOURCE_INCOMING))
				scan_incoming();
			transport_warn_of_clog();
			(void)waitq_wait(&qmgr.room, deadline_in(1000));
		}
		if (map_get(qmgr.messages, str_z(f->found[i].id)) == NULL)
			start_load(f, &f->found[i], source);
	}
	while (loaders.count > 0)
		(void)waitq_wait(&loaders.done, deadline_in(1000));
}

static void scan_incoming(void)
{
	struct find f = { .queue = "incoming", .e = ERR_INIT };

	qmgr.want_incoming = false;
	find_files(&f);
	take_up(&f, SOURCE_INCOMING);
	if (f.young || f.count >= FOUND_MAX)
		qmgr.want_incoming = true;
	if (f.count < FOUND_MAX && active_has_room(SOURCE_INCOMING))
		scan_behind(false);
	find_done(&f);
}

void scan_behind(bool behind)
{
	int fd;

	if (behind == qmgr.behind)
		return;
	qmgr.behind = behind;
	if (!behind) {
		(void)unlink(QUEUE_BEHIND);
		return;
	}
	fd = open(QUEUE_BEHIND, O_CREAT | O_WRONLY | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd >= 0)
		close(fd);
	transport_warn_of_clog();
}

static void scan_active(void)
{
	struct find f = { .queue = "active", .e = ERR_INIT };

	qmgr.want_active = false;
	find_files(&f);
	take_up(&f, SOURCE_ACTIVE);
	find_done(&f);
}

static void scan_deferred(void)
{
	struct find f = { .flush_us = qmgr.flush_us, .e = ERR_INIT };

	qmgr.next_due_s = 0;
	find_files(&f);
	if (f.next_due_s != 0 && (qmgr.next_due_s == 0 || f.next_due_s < qmgr.next_due_s))
		qmgr.next_due_s = f.next_due_s;
	take_up(&f, SOURCE_DEFERRED);
	if (f.count < FOUND_MAX && qmgr.flush_us == f.flush_us)
		qmgr.flush_us = 0;
	else
		scan_kick();
	find_done(&f);
}

/* ---- when to look ---- */

static int64_t until_due_ms(void)
{
	int64_t ms = qmgr.next_due_s == 0 ? SWEEP_MS : qmgr.next_due_s * 1000 - clock_wall_us() / 1000;

	return ms < LEAST_WAIT_MS ? LEAST_WAIT_MS : ms > SWEEP_MS ? SWEEP_MS : ms;
}

static int64_t locked_retry_ms(void)
{
	return qmgr.set.run_delay_ms < LOCKED_RETRY_MS ? qmgr.set.run_delay_ms : LOCKED_RETRY_MS;
}

/* Until the next message is due, something is left to do, or somebody asks. */
static void rest(void)
{
	int64_t ms = until_due_ms();

	if (qmgr.want_incoming && ms > YOUNG_S * 1000)
		ms = YOUNG_S * 1000;
	if (qmgr.want_active && ms > locked_retry_ms())
		ms = locked_retry_ms();
	fiber_sleep(LEAST_WAIT_MS / 5); /* a burst of requests is one */
	if (!qmgr.draining) /* the kick for that may have come in the middle of a scan */
		(void)fiber_wait(deadline_in(ms));
}

static bool passed(int64_t *next_ms, int64_t every_ms)
{
	int64_t now = clock_mono_ms();

	if (now < *next_ms)
		return false;
	*next_ms = now + every_ms;
	return true;
}

static bool deferred_due(void)
{
	return qmgr.flush_us != 0 || (qmgr.next_due_s != 0 && qmgr.next_due_s <= clock_wall_us() / 1000000);
}

static void scanner(void *arg)
{
	int64_t active_at = 0, incoming_at = 0, deferred_at = 0, sweep_at = clock_mono_ms() + SWEEP_MS;

	(void)arg; /* there is one scanner */
	while (!qmgr.draining) {
		if (qmgr.want_active && passed(&active_at, locked_retry_ms())) {
			scan_active();
			qmgr.want_incoming = true; /* what was locked may be there as well */
		}
		if (passed(&incoming_at, qmgr.set.run_delay_ms) || (qmgr.want_incoming && active_has_room(SOURCE_INCOMING)))
			scan_incoming();
		if (passed(&deferred_at, qmgr.set.run_delay_ms) || deferred_due())
			scan_deferred();
		if (passed(&sweep_at, SWEEP_MS))
			transport_sweep();
		rest();
	}
	qmgr.scanner = NULL;
}

static void mover(void *arg)
{
	(void)arg; /* there is one */
	while (!qmgr.draining) {
		fiber_sleep(MOVE_MS);
		active_move_slow();
	}
}

void scan_start(void)
{
	waitq_init(&loaders.done);
	qmgr.want_active = qmgr.want_incoming = true;
	(void)unlink(QUEUE_BEHIND); /* a predecessor's */
	qmgr.scanner = fiber_start("scanner", scanner, NULL);
	fiber_start("mover", mover, NULL);
}

void scan_kick(void)
{
	if (qmgr.scanner != NULL)
		fiber_wake(qmgr.scanner);
}

void scan_flush(void)
{
	transport_forget_dead();
	qmgr.want_incoming = true;
	qmgr.flush_us = clock_wall_us();
	scan_kick();
}

struct locate {
	const char *id;
	struct buf path;
	bool found;
};

static void locate_run(void *arg)
{
	struct locate *l = arg;

	l->found = queue_find(l->id, &l->path);
}

void scan_flush_id(const char *id)
{
	struct locate l = { .id = id };

	transport_forget_dead();
	if (qmgr.lock_fd < 0)
		return; /* the predecessor is still at work; its successor starts with a scan */
	offload(locate_run, &l);
	if (l.found && str_starts(buf_str(&l.path), STR("deferred/")))
		active_take_file(buf_z(&l.path), id, SOURCE_DEFERRED, true);
	else if (l.found && str_starts(buf_str(&l.path), STR("incoming/")))
		active_take_file(buf_z(&l.path), id, SOURCE_INCOMING, true);
	buf_done(&l.path);
}
