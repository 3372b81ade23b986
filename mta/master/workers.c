/* mta/master/workers.c - the life and death of worker processes.
 * A worker that dies is replaced: at once the first time, then after pauses that double up to service_throttle_time; a minute of life
 * makes good for earlier deaths. After a reload the new workers start beside the old ones, which are told to leave when all new ones of the
 * service are ready, so somebody listens at any time.
 */
#include "mta/master/master.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/metrics.h"

#define LIFE_LONG_ENOUGH_MS 60000
#define PAUSE_MS 1000    /* the first one */
#define FORK_RETRY_MS 1000

/* ---- all of them ---- */

void workers_visit(const struct master *m, void (*fn)(void *ctx, struct worker *w), void *ctx)
{
	for (const struct list *i = m->generations.next; i != &m->generations; i = i->next) {
		const struct generation *g = LIST_OWNER(i, struct generation, all);

		for (size_t k = 0; k < g->service_count; k++) {
			for (size_t n = 0; n < g->services[k].worker_count; n++) {
				if (g->services[k].workers[n].pid != 0)
					fn(ctx, &g->services[k].workers[n]);
			}
		}
	}
}

struct count {
	bool front;
	size_t n;
};

static void count_one(void *ctx, struct worker *w)
{
	struct count *c = ctx;

	c->n += !c->front || w->service->front;
}

size_t workers_alive(const struct master *m, bool front)
{
	struct count c = { front, 0 };

	workers_visit(m, count_one, &c);
	return c.n;
}

static void signal_one(void *ctx, struct worker *w)
{
	kill(w->pid, *(int *)ctx);
}

void workers_signal(struct master *m, int signum)
{
	workers_visit(m, signal_one, &signum);
}

struct search {
	pid_t pid;
	struct worker *found;
};

static void match_pid(void *ctx, struct worker *w)
{
	struct search *s = ctx;

	if (w->pid == s->pid)
		s->found = w;
}

/* ---- start ---- */

static void start(const struct master *m, struct worker *w)
{
	struct err e = ERR_INIT;

	w->start_at = DEADLINE_NEVER;
	if (spawn_worker(m, w, &e) == 0)
		return;
	log_warn("service %s: %s: trying again", w->service->row->name, e.text);
	w->start_at = deadline_in(FORK_RETRY_MS);
}

/* Slots without a process in the generation that counts, and when they may get one. */
static void visit_empty(const struct master *m, void (*fn)(const struct master *m, void *ctx, struct worker *w), void *ctx)
{
	struct generation *g = m->current;

	for (size_t k = 0; g != NULL && k < g->service_count; k++) {
		for (size_t n = 0; n < g->services[k].worker_count; n++) {
			if (g->services[k].workers[n].pid == 0)
				fn(m, ctx, &g->services[k].workers[n]);
		}
	}
}

static void start_if_due(const struct master *m, void *ctx, struct worker *w)
{
	if (w->start_at <= *(int64_t *)ctx)
		start(m, w);
}

void workers_start_due(struct master *m)
{
	int64_t now = clock_mono_ms();

	if (!m->stopping)
		visit_empty(m, start_if_due, &now);
}

static void take_earlier(const struct master *m, void *ctx, struct worker *w)
{
	(void)m; /* only looking */
	*(int64_t *)ctx = deadline_min(*(int64_t *)ctx, w->start_at);
}

int64_t workers_next_due(const struct master *m)
{
	int64_t due = DEADLINE_NEVER;

	if (!m->stopping)
		visit_empty(m, take_earlier, &due);
	return due;
}

/* ---- changing hands ---- */

static void tell_to_leave(struct worker *w, bool gently)
{
	bool told = gently && w->control >= 0 && send(w->control, "L", 1, MSG_NOSIGNAL | MSG_DONTWAIT) == 1;

	w->told_to_leave = true;
	w->told_gently = told;
	if (!told)
		kill(w->pid, SIGTERM);
}

void workers_retire(struct service *s, bool gently)
{
	for (size_t i = 0; i < s->worker_count; i++) {
		struct worker *w = &s->workers[i];

		w->start_at = DEADLINE_NEVER;
		if (w->pid != 0 && (!w->told_to_leave || (w->told_gently && !gently)))
			tell_to_leave(w, gently);
	}
}

/* The same service in older generations, or all of its services that the current one does not have. */
static void retire_older(struct master *m, const char *key)
{
	for (struct list *i = m->current->all.next; i != &m->generations; i = i->next) {
		struct generation *g = LIST_OWNER(i, struct generation, all);

		for (size_t k = 0; k < g->service_count; k++) {
			const char *its = g->services[k].key;

			if (key != NULL ? strcmp(its, key) == 0 : generation_find(m->current, its) == NULL)
				workers_retire(&g->services[k], g->services[k].front);
		}
	}
}

void workers_take_over(struct master *m)
{
	retire_older(m, NULL);
	for (size_t k = 0; k < m->current->service_count; k++) {
		if (m->current->services[k].single)
			retire_older(m, m->current->services[k].key);
	}
}

static bool all_ready(const struct service *s)
{
	for (size_t i = 0; i < s->worker_count; i++) {
		if (!s->workers[i].ready)
			return false;
	}
	return true;
}

bool workers_all_ready(const struct master *m)
{
	for (size_t k = 0; k < m->current->service_count; k++) {
		if (!all_ready(&m->current->services[k]))
			return false;
	}
	return true;
}

const struct worker *workers_failed(const struct master *m)
{
	for (size_t k = 0; k < m->current->service_count; k++) {
		for (size_t n = 0; n < m->current->services[k].worker_count; n++) {
			if (m->current->services[k].workers[n].failures > 0)
				return &m->current->services[k].workers[n];
		}
	}
	return NULL;
}

static void now_ready(struct master *m, struct worker *w)
{
	struct service *s = w->service;

	w->ready = true;
	if (s->generation != m->current || s->took_over || !all_ready(s))
		return;
	s->took_over = true;
	retire_older(m, s->key);
}

void workers_heard(struct master *m, struct worker *w)
{
	char c;
	ssize_t n = recv(w->control, &c, 1, MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) { /* its death will be heard of */
		close(w->control);
		w->control = -1;
	} else if (c == 'R') {
		now_ready(m, w);
	} else if (c == 'S') {
		w->leaving = true;
	}
}

/* ---- death ---- */

static void log_death(const struct worker *w, int status)
{
	const char *program = w->service->program;

	if (w->told_to_leave && WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM)
		return; /* it had not come far enough to leave by itself */
	if (WIFSIGNALED(status))
		log_warn("process %s pid %ld killed by signal %d", program, (long)w->pid, WTERMSIG(status));
	else if (WEXITSTATUS(status) != 0)
		log_warn("process %s pid %ld exit status %d", program, (long)w->pid, WEXITSTATUS(status));
	else if (!w->ready)
		log_warn("process %s pid %ld left before it was ready", program, (long)w->pid);
	if (!w->ready)
		log_warn("%s: bad command startup -- throttling", program);
}

/* Counts the death; returns how long to wait before the next start: nothing after the first death of a worker that worked. */
static int64_t pause_after(struct worker *w, const struct conf *c)
{
	int64_t longest = conf_time_ms(c, "service_throttle_time"), pause = PAUSE_MS;
	unsigned earlier;

	if (w->ready && clock_mono_ms() - w->started_at >= LIFE_LONG_ENOUGH_MS)
		w->failures = 0;
	earlier = w->failures++;
	if (w->ready && earlier == 0)
		return 0;
	for (unsigned i = 1; i < earlier && pause < longest; i++)
		pause *= 2;
	return pause < longest ? pause : longest;
}

/* What it said before it died. */
static void hear_last_words(struct master *m, struct worker *w)
{
	while (w->control >= 0) {
		char c;

		if (recv(w->control, &c, 1, MSG_DONTWAIT | MSG_PEEK) < 0)
			break;
		workers_heard(m, w); /* closes it at the end */
	}
	if (w->control >= 0)
		close(w->control);
	w->control = -1;
}

static void bury(struct master *m, struct worker *w, int status)
{
	bool clean;

	hear_last_words(m, w);
	clean = WIFEXITED(status) && WEXITSTATUS(status) == 0 && (w->leaving || w->told_to_leave);
	metrics_leave(w->pid);
	if (!clean && !m->kill_asked) {
		log_death(w, status);
		metric_count(METRIC_WORKER_DEATHS, w->service->command, NULL, NULL);
	}
	if (w->service->generation == m->current && !w->told_to_leave)
		w->start_at = clean ? 0 : deadline_in(pause_after(w, m->current->conf));
	w->pid = 0;
	w->ready = false;
}

static bool generation_alive(const struct generation *g)
{
	for (size_t k = 0; k < g->service_count; k++) {
		for (size_t n = 0; n < g->services[k].worker_count; n++) {
			if (g->services[k].workers[n].pid != 0)
				return true;
		}
	}
	return false;
}

static void forget_dead_generations(struct master *m)
{
	for (struct list *i = m->generations.next, *next; i != &m->generations; i = next) {
		struct generation *g = LIST_OWNER(i, struct generation, all);

		next = i->next;
		if (g != m->current && !generation_alive(g))
			generation_free(g);
	}
}

void workers_reap(struct master *m)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		struct search s = { pid, NULL };

		workers_visit(m, match_pid, &s); /* none: an orphan, when we are process 1 */
		if (s.found != NULL)
			bury(m, s.found, status);
	}
	forget_dead_generations(m);
}
