/* mta/qmgr/retry.c - the end of a round: tell the sender what failed, keep what is to be tried again, remove what is finished. Recipients
 * are finished only after bounce has queued its notification.
 */
#include "mta/qmgr/qmgr.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/mail/addr.h"
#include "lib/mail/dsn.h"
#include "lib/proto/bounce.h"

#define BOUNCE_MS 120000
#define BOUNCE_TRIES 3
#define JUMP_US (60 * 1000000LL) /* a wall clock that leaps further than this is not believed ... */
#define BELIEVE_MS (3600 * 1000) /* ... before it has stood for so long */

/* ---- how old is a message? ---- */

/* Wall clock for ages. A clock that jumps must not expire the whole queue: the new time counts when it has lasted an hour. */
static int64_t trusted_now_us(void)
{
	static struct {
		bool set;
		int64_t offset, other, other_since_ms;
	} clock;
	int64_t mono_ms = clock_mono_ms(), offset = clock_wall_us() - mono_ms * 1000;

	if (!clock.set || (offset - clock.offset < JUMP_US && clock.offset - offset < JUMP_US)) {
		clock.set = true;
		clock.offset = offset;
		clock.other_since_ms = 0;
	} else if (clock.other_since_ms == 0 || offset - clock.other > JUMP_US || clock.other - offset > JUMP_US) {
		clock.other = offset;
		clock.other_since_ms = mono_ms;
	} else if (mono_ms - clock.other_since_ms > BELIEVE_MS) {
		clock.offset = offset;
	}
	return clock.offset + mono_ms * 1000;
}

static int64_t age_ms(const struct message *m)
{
	return (trusted_now_us() - m->m.arrival_us) / 1000;
}

static int64_t lifetime_ms(const struct message *m)
{
	return m->m.sender.n == 0 ? qmgr.set.bounce_lifetime_ms : qmgr.set.lifetime_ms;
}

/* ---- telling the sender ---- */

/* The delay that the sender was warned of is over, and he would like to know. */
static bool delay_cleared(const struct message *m, size_t i)
{
	int notify = m->m.rcpts[i].notify;

	return qmgr.set.confirm_cleared && m->warned && m->outcomes[i].fate == FATE_SENT &&
		(notify == DSN_NOTIFY_NONE || (notify & DSN_NOTIFY_DELAY));
}

static bool wants_success(const struct message *m, size_t i)
{
	const struct outcome *o = &m->outcomes[i];

	if (delay_cleared(m, i))
		return true;
	return o->fate == FATE_SENT && (m->m.rcpts[i].notify & DSN_NOTIFY_SUCCESS) && !o->dsn_passed;
}

static bool has_failed(const struct message *m, size_t i)
{
	return m->outcomes[i].fate == FATE_BOUNCED;
}

static bool is_deferred(const struct message *m, size_t i)
{
	return m->outcomes[i].fate == FATE_DEFERRED;
}

typedef bool which_fn(const struct message *m, size_t rcpt);

static size_t count_which(const struct message *m, which_fn *which)
{
	size_t n = 0;

	for (size_t i = 0; i < m->m.rcpt_count; i++)
		n += which(m, i);
	return n;
}

static int bounce_once(const struct bounce_request *r, struct arena *a, bool *reused, struct err *e)
{
	struct stream *s = pool_get(qmgr.bounce, deadline_in(BOUNCE_MS), reused, e);
	struct str id;
	bool done;

	if (s == NULL) {
		*reused = false;
		return -1;
	}
	if (bounce_send_request(s, r, deadline_in(BOUNCE_MS), e) < 0 ||
		bounce_receive_answer(s, a, &done, &id, deadline_in(BOUNCE_MS), e) < 0) {
		pool_drop(qmgr.bounce, s);
		return -1;
	}
	pool_put(qmgr.bounce, s);
	*reused = false;
	return done ? 0 : err_temp(e, "the notification could not be queued");
}

static bool send_notification(struct message *m, const struct bounce_request *r)
{
	struct err e = ERR_INIT;
	bool reused = true;

	for (int i = 0; i < BOUNCE_TRIES && reused; i++)
		if (bounce_once(r, m->life, &reused, &e) == 0)
			return true;
	log_warn("%s: bounce service failure: %s", m->m.id, e.text);
	return false;
}

/* With variable envelope return paths each recipient has a sender of its own to be told. */
static bool tell_each(struct message *m, const struct bounce_request *all)
{
	bool good = true;

	for (size_t i = 0; i < all->rcpt_count && good; i++) {
		struct bounce_request one = *all;

		one.rcpts = &all->rcpts[i];
		one.rcpt_count = 1;
		one.m.sender = verp_sender(m, &one.rcpts->rcpt);
		good = send_notification(m, &one);
	}
	return good;
}

/* Ask for a notification about the recipients that which() picks. True: it is durably queued, or none was due. */
static bool tell(struct message *m, enum bounce_kind kind, which_fn *which)
{
	struct bounce_request r = { .kind = kind, .m = m->m, .fd = m->fd, .delay_cleared = m->warned && qmgr.set.confirm_cleared };

	r.rcpts = arena_alloc(m->life, count_which(m, which) * sizeof *r.rcpts + 1);
	r.retry_until_us = m->m.arrival_us + lifetime_ms(m) * 1000;
	for (size_t i = 0; i < m->m.rcpt_count; i++) {
		const struct outcome *o = &m->outcomes[i];

		if (which(m, i))
			r.rcpts[r.rcpt_count++] =
				(struct bounce_rcpt){ m->m.rcpts[i], o->code, o->relay, o->text, o->remote_mta, o->action };
	}
	if (r.rcpt_count == 0)
		return true;
	return kind != BOUNCE_REPORT && verp_wanted(m) && qmgr.set.verp_bounces ? tell_each(m, &r) : send_notification(m, &r);
}

static void change_fates(struct message *m, which_fn *which, enum fate fate, bool expired)
{
	for (size_t i = 0; i < m->m.rcpt_count; i++)
		if (which(m, i)) {
			m->outcomes[i].fate = fate;
			m->outcomes[i].expired = expired;
		}
}

static void report_failures(struct message *m)
{
	if (count_which(m, has_failed) > 0)
		change_fates(m, has_failed, tell(m, BOUNCE_FAILURE, has_failed) ? FATE_REPORTED : FATE_DEFERRED, false);
}

static bool was_tried(const struct message *m, size_t i)
{
	return m->outcomes[i].fate != FATE_NONE && m->outcomes[i].fate != FATE_SAME;
}

/* sendmail -bv, whose message has had its purpose then, and -v, which wants to hear of the first attempt alone. */
static void report_attempt(struct message *m)
{
	bool probe = (m->m.flags & QUEUE_PROBE) != 0, told;

	if (!probe && (m->old || !(m->m.flags & QUEUE_TRACE)))
		return;
	told = tell(m, BOUNCE_REPORT, was_tried);
	if (probe)
		change_fates(m, was_tried, told ? FATE_REPORTED : FATE_DEFERRED, false);
}

/* By the operator: a mark on the file. */
static bool forced_to_expire(const struct message *m)
{
	struct stat st;

	return fstat(m->fd, &st) == 0 && (st.st_mode & QUEUE_MODE_EXPIRE) != 0;
}

static void expire(struct message *m)
{
	struct str sender = addr_log(m->life, m->m.sender);
	bool forced;

	if (count_which(m, is_deferred) == 0)
		return;
	forced = forced_to_expire(m);
	if (operator_has(m->fd) || (!forced && age_ms(m) < lifetime_ms(m)))
		return;
	log_info("%s: from=<%.*s>, status=%sexpired, returned to sender", m->m.id, STRF(sender), forced ? "force-" : "");
	if (tell(m, BOUNCE_FAILURE, is_deferred))
		change_fates(m, is_deferred, FATE_REPORTED, true);
}

/* True: a warning went out now. */
static bool warn_of_delay(struct message *m)
{
	if (operator_has(m->fd) || qmgr.set.delay_warning_ms <= 0 || m->warned || m->m.sender.n == 0 || age_ms(m) < qmgr.set.delay_warning_ms)
		return false;
	return tell(m, BOUNCE_DELAY, is_deferred);
}

/* ---- keeping and removing ---- */

static bool finished(const struct message *m, size_t i)
{
	const struct outcome *o = &m->outcomes[i];
	bool to_tell = (m->m.flags & QUEUE_PROBE) || wants_success(m, i);

	return o->fate == FATE_REPORTED || o->fate == FATE_SAME || (o->fate == FATE_SENT && (!to_tell || m->ending));
}

void retry_mark(struct message *m, const uint32_t *rcpts, size_t count)
{
	struct err e = ERR_INIT;

	for (size_t i = 0; i < count; i++) {
		size_t first = i, n = 0;

		while (i < count && rcpts[i] == rcpts[first] + n && finished(m, rcpts[i]) && !m->outcomes[rcpts[i]].marked) {
			m->outcomes[rcpts[i++]].marked = true;
			n++;
		}
		if (n == 0)
			continue;
		i--;
		if (queue_mark_done(m->fd, &m->m.rcpts[rcpts[first]], n, &e) < 0)
			log_warn("%s: %s", m->m.id, e.text); /* at worst a duplicate */
	}
}

static void mark_all(struct message *m)
{
	uint32_t *all = arena_alloc(m->life, m->m.rcpt_count * sizeof *all + 1);

	for (uint32_t i = 0; i < m->m.rcpt_count; i++)
		all[i] = i;
	retry_mark(m, all, m->m.rcpt_count);
}

/* Apply to the message's file, which lies in active/ or, when it is new, in incoming/. `to` NULL: unlink. Returns errno, or 0. */
static int change_name(const struct message *m, const char *to)
{
	static const char *const dirs[] = { "incoming", "active", "incoming" }; /* it may be moving to active/ right now */
	int error = ENOENT;

	for (int i = m->moved ? 1 : 0; i < 3 && error == ENOENT; i++) {
		char from[sizeof "incoming/" + QUEUE_ID_MAX];

		(void)snprintf(from, sizeof from, "%s/%s", dirs[i], m->m.id);
		error = (to == NULL ? unlink(from) : rename(from, to)) < 0 ? errno : 0;
	}
	return error;
}

struct removal { /* one offloaded job */
	struct message *msg;
	struct sites sites;
	int error;
};

static void remove_run(void *arg)
{
	struct removal *r = arg;

	r->error = change_name(r->msg, NULL);
	sites_leave(&r->sites, r->msg->m.id);
}

static bool is_any(const struct message *m, size_t i)
{
	(void)m; /* whichever it is */
	(void)i;
	return true;
}

static void remove_message(struct message *m)
{
	struct removal r = { .msg = m };

	if (m->old)
		sites_of(m, is_any, &r.sites);
	offload(remove_run, &r); /* frees blocks: slow when others sync */
	if (r.error != 0)
		mark_all(m); /* wherever it is now, nothing is left to do */
	if (r.error != 0 && r.error != ENOENT) {
		log_warn("%s: cannot remove the message: %s", m->m.id, strerror(r.error));
		qmgr.want_active = true; /* once more, soon */
		scan_kick();
	} else {
		log_info("%s: removed", m->m.id);
	}
}

static char action_of(const struct outcome *o)
{
	switch (o->fate) {
	case FATE_SENT:
		return 's';
	case FATE_REPORTED:
		return o->expired ? 'x' : 'b';
	case FATE_DEFERRED:
		return 'd';
	default:
		return '\0';
	}
}

struct keep { /* one offloaded job: append history, set the due time, move */
	struct message *msg;
	struct queue_status *history;
	size_t history_count;
	struct sites sites;
	int64_t due_s;
	int error; /* of the move */
	struct err e; /* the first trouble that does not matter */
};

static void collect_history(struct keep *k, bool warned)
{
	struct message *m = k->msg;
	int64_t now = clock_wall_us();

	k->history = arena_alloc(m->life, (m->m.rcpt_count + 1) * sizeof *k->history);
	for (uint32_t i = 0; i < m->m.rcpt_count; i++) {
		const struct outcome *o = &m->outcomes[i];
		char action = action_of(o);

		if (action != '\0')
			k->history[k->history_count++] = (struct queue_status){ i, now, action, o->code, o->relay, o->text };
	}
	if (warned)
		k->history[k->history_count++] = (struct queue_status){ .at_us = now, .action = 'w' };
}

static bool keep_as_wanted(struct keep *k)
{
	char place[OPERATOR_PLACE_MAX];
	const char *what = operator_place(k->msg->fd, k->msg->m.id, place);

	if (what == NULL)
		return false;
	k->error = change_name(k->msg, place);
	if (k->error == 0)
		operator_obeyed(k->msg->fd, k->msg->m.id, what);
	return true;
}

static void keep_run(void *arg)
{
	struct keep *k = arg;
	struct message *m = k->msg;
	struct timespec times[2] = { { k->due_s, 0 }, { k->due_s, 0 } };
	struct buf to = { 0 };

	if (queue_trim_status(m->fd, &m->m, &k->e) == 0)
		(void)queue_append_status(m->fd, k->history, k->history_count, &k->e);
	if (keep_as_wanted(k))
		return;
	k->error = futimens(m->fd, times) < 0 ? errno : ENOENT;
	for (int i = 0; i < 2 && k->error == ENOENT; i++) /* a scan may remove the empty bucket in between */
		k->error = queue_deferred_path(k->due_s, m->m.id, &to, &k->e) < 0 ? EIO : change_name(m, buf_z(&to));
	if (k->error == 0)
		sites_enter(&k->sites, m->m.id, buf_z(&to));
	buf_done(&to);
}

static bool waits_for_transport(const struct message *m, size_t i)
{
	return is_deferred(m, i) && m->outcomes[i].soon;
}

/* Due again when as much time has passed as it already waited, within limits; sooner when it was only a transport that could not take it. */
static int64_t due_s(const struct message *m)
{
	int64_t now_us = clock_wall_us(), wait_ms = (now_us - m->m.arrival_us) / 1000;

	if (wait_ms > qmgr.set.max_backoff_ms)
		wait_ms = qmgr.set.max_backoff_ms;
	if (wait_ms < qmgr.set.min_backoff_ms)
		wait_ms = qmgr.set.min_backoff_ms;
	if (wait_ms > qmgr.set.transport_retry_ms && count_which(m, waits_for_transport) > 0)
		wait_ms = qmgr.set.transport_retry_ms;
	return (now_us / 1000 + wait_ms + 999) / 1000;
}

static void keep_message(struct message *m, bool warned)
{
	struct keep k = { .msg = m, .due_s = due_s(m), .e = ERR_INIT };

	mark_all(m);
	collect_history(&k, warned);
	sites_of(m, is_deferred, &k.sites);
	offload(keep_run, &k);
	if (k.e.kind != ERR_NONE)
		log_warn("%s: %s", m->m.id, k.e.text);
	if (k.error != 0 && k.error != ENOENT) { /* ENOENT: the operator moved it */
		log_warn("%s: cannot move the message to deferred: %s", m->m.id, strerror(k.error));
		qmgr.want_active = true;
	}
	if (qmgr.next_due_s == 0 || k.due_s < qmgr.next_due_s) {
		qmgr.next_due_s = k.due_s;
		scan_kick();
	}
}

void retry_finish(struct message *m)
{
	if (m->m.flags & (QUEUE_PROBE | QUEUE_TRACE))
		report_attempt(m);
	report_failures(m);
	expire(m);
	(void)tell(m, BOUNCE_SUCCESS, wants_success);
	if (count_which(m, is_deferred) == 0)
		remove_message(m);
	else
		keep_message(m, warn_of_delay(m));
}
