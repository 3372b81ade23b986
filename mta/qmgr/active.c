/* mta/qmgr/active.c - a message's time in memory: taken up from a notice or a file, its recipients assigned, ended when all have a fate.
 * While it is here its file is locked; agents hold the same open file, so the lock outlives this process as long as a delivery runs.
 * A new message stays in incoming/ for the first second: most are gone by then, and a rename is not worth it for them.
 */
#include "mta/qmgr/qmgr.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/fs.h"
#include "lib/base/log.h"
#include "lib/base/metrics.h"
#include "lib/mail/addr.h"

#define WEIGHT_SHARE 20 /* one message takes no more than this part of the recipient limit */
#define WEIGHT_LEAST 10
#define FINISHERS_MAX 4
#define SLOW_US 1000000 /* after so long a new message moves to active/ */
#define MOVE_MAX 256 /* in one go */
#define ABANDONED_S 60 /* an incomplete file that nobody holds open is left for so long */
#define DAMAGED_S 86400 /* and one that is damaged */
#define END_LOOKS 20
#define END_MS 50
#define LOOK_AGAIN_S 10 /* at what could not be taken up from deferred/ */

/* Retries may not crowd out new mail: a fifth of the places is kept for it. */
bool active_has_room(enum source source)
{
	size_t count = map_count(qmgr.messages), limit = qmgr.set.active_limit;

	if (source == SOURCE_DEFERRED)
		limit -= limit / 5;
	return count == 0 || (count < limit && qmgr.weight < qmgr.set.rcpt_limit);
}

static struct message *message_new(struct arena *a, const struct queue_message *qm, int fd, enum source source)
{
	struct message *m = arena_alloc(a, sizeof *m);
	size_t most = qmgr.set.rcpt_limit / WEIGHT_SHARE + WEIGHT_LEAST;

	m->life = a;
	m->m = *qm;
	m->fd = fd;
	m->moved = m->old = source != SOURCE_INCOMING;
	m->active_us = clock_wall_us();
	m->outcomes = arena_alloc(a, (qm->rcpt_count + 1) * sizeof *m->outcomes);
	for (size_t i = 0; i < qm->rcpt_count; i++) {
		if (qm->rcpts[i].done)
			m->outcomes[i] = (struct outcome){ .fate = FATE_SAME, .marked = true };
		else
			m->unsettled++;
	}
	m->weight = qm->rcpt_count < most ? qm->rcpt_count : most;
	qmgr.weight += m->weight;
	list_init(&m->peers);
	list_init(&m->node);
	map_put(qmgr.messages, str_z(m->m.id), m);
	metric_move(METRIC_ACTIVE, 1, NULL);
	return m;
}

static void begin(struct message *m)
{
	struct str sender = addr_log(m->life, m->m.sender);

	log_info("%s: from=<%.*s>, size=%llu, nrcpt=%zu (queue active)", m->m.id, STRF(sender),
		(unsigned long long)(m->m.header_size + m->m.body_size), m->unsettled);
	recipient_assign(m);
}

/* ---- from a notice ---- */

static void decline(struct arena *a, int fd)
{
	close(fd);
	arena_free(a);
}

/* Its file may be gone when a scan was faster than the notice: delivered, deferred, or moved by the operator. */
static bool still_new(const char *id)
{
	char path[sizeof "incoming/" + QUEUE_ID_MAX];

	(void)snprintf(path, sizeof path, "incoming/%s", id);
	return fs_exists(path);
}

void active_take_notice(struct arena *a, const struct queue_message *qm, int fd)
{
	bool known = map_get(qmgr.messages, str_z(qm->id)) != NULL;

	if (qmgr.lock_fd < 0 || qmgr.draining || known || (qm->flags & QUEUE_HOLD) || !still_new(qm->id)) {
		decline(a, fd);
	} else if (!active_has_room(SOURCE_INCOMING) || flock(fd, LOCK_EX | LOCK_NB) < 0) {
		scan_behind(!active_has_room(SOURCE_INCOMING));
		qmgr.want_incoming = true; /* the scan takes it up when there is room */
		decline(a, fd);
	} else {
		begin(message_new(a, qm, fd, SOURCE_INCOMING));
	}
}

/* ---- from a file ---- */

enum taken { TAKEN, TAKEN_GONE, TAKEN_LOCKED, TAKEN_BAD, TAKEN_TROUBLE };

struct take { /* one offloaded job: open, lock, read, move */
	const char *path, *id;
	char active[sizeof "active/" + QUEUE_ID_MAX];
	enum source source;
	bool want_status;
	struct arena *a;
	enum taken result;
	bool begun, warned;
	int fd;
	struct stat st;
	struct queue_message m;
	struct err e;
};

static void look_for_warning(struct take *t)
{
	struct queue_status *st;
	size_t count;

	if (queue_load_status(t->fd, &t->m, t->a, &st, &count, &t->e) < 0)
		return; /* at worst a second warning */
	for (size_t i = 0; i < count; i++)
		t->warned = t->warned || st[i].action == 'w';
}

static enum taken take_open(struct take *t)
{
	t->fd = open(t->path, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (t->fd < 0 && errno == ENOENT)
		return TAKEN_GONE;
	if (t->fd < 0 || fstat(t->fd, &t->st) < 0) {
		(void)err_errno(&t->e, errno, "cannot open %s", t->path);
		return errno == ELOOP ? TAKEN_BAD : TAKEN_TROUBLE;
	}
	if (flock(t->fd, LOCK_EX | LOCK_NB) < 0)
		return TAKEN_LOCKED;
	return TAKEN;
}

/* The operator marked it while somebody else had it. */
static bool take_obey(struct take *t)
{
	char place[OPERATOR_PLACE_MAX];
	const char *what = operator_place(t->fd, t->id, place);

	if (what == NULL || rename(t->path, place) < 0)
		return false;
	operator_obeyed(t->fd, t->id, what);
	return true;
}

static void take_run(void *arg)
{
	struct take *t = arg;

	t->result = take_open(t);
	if (t->result != TAKEN)
		return;
	t->begun = queue_begun(t->fd);
	if (queue_load(t->fd, t->id, t->source != SOURCE_DEFERRED, t->a, &t->m, &t->e) < 0) {
		t->result = t->e.kind == ERR_PERM ? TAKEN_BAD : TAKEN_TROUBLE;
		return;
	}
	if (t->want_status)
		look_for_warning(t);
	if (take_obey(t))
		t->result = TAKEN_GONE;
	else if (t->source == SOURCE_DEFERRED && rename(t->path, t->active) < 0) {
		t->result = errno == ENOENT ? TAKEN_GONE : TAKEN_TROUBLE;
		(void)err_errno(&t->e, errno, "cannot move %s to active", t->path);
	}
}

static void save_corrupt(const struct take *t)
{
	struct str rest = str_z(t->path), queue = str_cut(&rest, '/');
	struct buf to = { 0 };

	log_warn("saving corrupt file \"%s\" from queue \"%.*s\" to queue \"corrupt\"", t->id, STRF(queue));
	buf_addf(&to, "corrupt/%s", t->id);
	if (rename(t->path, buf_z(&to)) < 0)
		log_warn("cannot move %s to corrupt: %s", t->path, strerror(errno));
	buf_done(&to);
}

/* In incoming/ a bad file was being written when its writer died or the machine went down (one that still is being written is locked):
 * nobody was told that it was accepted. One that got as far as a superblock may be more than that; it is saved, not at once, however. */
static void put_aside(const struct take *t)
{
	int64_t age_s = clock_wall_us() / 1000000 - t->st.st_mtime;

	if (t->source != SOURCE_INCOMING) {
		log_warn("%s: %s", t->id, t->e.text);
		save_corrupt(t);
	} else if (t->begun && age_s > DAMAGED_S) {
		save_corrupt(t);
	} else if (!t->begun && age_s > ABANDONED_S) {
		log_info("removing incomplete file %s", t->path);
		(void)unlink(t->path);
	}
}

/* Later, but not as late as the next regular look. */
static void look_again(enum source source)
{
	int64_t then_s = clock_wall_us() / 1000000 + LOOK_AGAIN_S;

	if (source != SOURCE_DEFERRED)
		qmgr.want_active = true;
	else if (qmgr.next_due_s == 0 || then_s < qmgr.next_due_s)
		qmgr.next_due_s = then_s;
}

/* Nothing to deliver came of it. */
static void take_failed(struct take *t)
{
	if (t->result == TAKEN_LOCKED && map_get(qmgr.messages, str_z(t->id)) == NULL) {
		log_info("%s: skipped, still being delivered", t->id);
		look_again(t->source);
	} else if (t->result == TAKEN_TROUBLE) {
		log_warn("%s: %s", t->id, t->e.text);
		look_again(t->source);
	} else if (t->result == TAKEN_BAD) {
		put_aside(t);
	}
	if (t->fd >= 0)
		close(t->fd);
	arena_free(t->a);
}

/* A flush may come while the attempt before it is being put away: its file has the new name already. */
static void await_end(const char *id)
{
	for (int i = 0; i < END_LOOKS; i++) {
		const struct message *m = map_get(qmgr.messages, str_z(id));

		if (m == NULL || !m->ending)
			return;
		fiber_sleep(END_MS);
	}
}

void active_take_file(const char *path, const char *id, enum source source, bool flushed)
{
	struct take t = { .path = path, .id = id, .source = source, .fd = -1, .e = ERR_INIT };
	struct message *m;

	if (flushed)
		await_end(id);
	if (map_get(qmgr.messages, str_z(id)) != NULL)
		return;
	t.a = arena_new("message");
	t.want_status = qmgr.set.delay_warning_ms > 0 && source != SOURCE_INCOMING;
	(void)snprintf(t.active, sizeof t.active, "active/%s", id);
	offload(take_run, &t);
	if (t.result == TAKEN && map_get(qmgr.messages, str_z(id)) != NULL)
		t.result = TAKEN_GONE;
	if (t.result != TAKEN || qmgr.draining) {
		take_failed(&t);
		return;
	}
	m = message_new(t.a, &t.m, t.fd, source);
	m->flushed = flushed;
	m->warned = t.warned;
	begin(m);
}

/* ---- moving ---- */

struct move { /* one offloaded job */
	char ids[MOVE_MAX][QUEUE_ID_MAX];
	size_t count;
};

/* A message that ends meanwhile is looked for under both names. */
static void move_run(void *arg)
{
	struct move *v = arg;

	for (size_t i = 0; i < v->count; i++) {
		char from[sizeof "incoming/" + QUEUE_ID_MAX], to[sizeof "active/" + QUEUE_ID_MAX];

		(void)snprintf(from, sizeof from, "incoming/%s", v->ids[i]);
		(void)snprintf(to, sizeof to, "active/%s", v->ids[i]);
		(void)rename(from, to); /* gone, or a full disk: it stays, which is as good */
	}
}

void active_move_slow(void)
{
	int64_t before_us = clock_wall_us() - SLOW_US;
	struct move v = { .count = 0 };
	struct str id;
	size_t at = 0;
	void *value;

	while (v.count < MOVE_MAX && map_next(qmgr.messages, &at, &id, &value)) {
		struct message *m = value;

		if (m->moved || m->ending || m->active_us > before_us)
			continue;
		m->moved = true;
		memcpy(v.ids[v.count++], m->m.id, QUEUE_ID_MAX);
	}
	if (v.count > 0)
		offload(move_run, &v);
}

/* ---- settling ---- */

void active_settle(struct message *m, size_t rcpt, enum fate fate)
{
	m->outcomes[rcpt].fate = fate;
	m->unsettled--;
}

/* Forget m, close its file. */
static void release(struct message *m)
{
	while (!list_empty(&m->peers)) {
		struct peer *p = LIST_OWNER(m->peers.next, struct peer, of_message);
		struct dest *d = p->dest;

		sched_forget(p);
		dest_free_if_idle(d);
	}
	list_del(&m->node);
	map_del(qmgr.messages, str_z(m->m.id));
	metric_move(METRIC_ACTIVE, -1, NULL);
	qmgr.weight -= m->weight;
	if (m->in_flight == 0 && !m->stray)
		(void)flock(m->fd, LOCK_UN); /* agents that have answered may close theirs later */
	close(m->fd);
	waitq_wake_one(&qmgr.room);
	arena_free(m->life);
	if (qmgr.want_incoming && active_has_room(SOURCE_INCOMING))
		scan_kick();
}

void active_settled(struct message *m)
{
	if (m->in_flight > 0 || m->ending)
		return;
	if (m->unsettled > 0 && !qmgr.draining)
		return;
	m->ending = true;
	if (m->unsettled == 0)
		retry_finish(m);
	else
		for (uint32_t i = 0; i < m->m.rcpt_count; i++)
			retry_mark(m, &i, 1);
	release(m);
}

static void finisher(void *arg)
{
	(void)arg; /* works on what is listed */
	while (!list_empty(&qmgr.finishing)) {
		struct message *m = LIST_OWNER(qmgr.finishing.next, struct message, node);

		list_del(&m->node);
		active_settled(m);
	}
	qmgr.finishers--;
}

void active_finish_later(struct message *m)
{
	if (m->in_flight > 0 || m->ending || m->unsettled > 0 || !list_empty(&m->node))
		return;
	list_add_tail(&qmgr.finishing, &m->node);
	if (qmgr.finishers >= FINISHERS_MAX)
		return;
	qmgr.finishers++;
	fiber_start("finisher", finisher, NULL);
}

void active_drop_idle(void)
{
	struct str id;
	size_t at = 0;
	void *value;

	while (map_next(qmgr.messages, &at, &id, &value)) {
		struct message *m = value;

		if (m->in_flight == 0 && !m->ending && list_empty(&m->node))
			release(m);
	}
}
