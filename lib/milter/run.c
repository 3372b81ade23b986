/* lib/milter/run.c - the schedule of a message's content stage. One rule decides who may hear what when: nobody hears what a filter before
 * it may still change, nobody ends before those he must not overtake have agreed, and changes are made in configured order. Serial chains,
 * parallel groups and streaming are all that rule; only filters that really run beside others get a fiber.
 */
#include "lib/milter/run.h"

#include "lib/base/log.h"

#define PENDING_MAX (256u * 1024) /* octets a filter may be behind the client before the client waits */
#define CHANGES_HEADER (ACTION_ADDHDRS | ACTION_CHGHDRS)

/* ---- the rule ---- */

static bool together(const struct filter *a, const struct filter *b)
{
	return a->set->group != 0 && a->set->group == b->set->group;
}

/* May `before` still change what `after` is to see? Members of a group see each other's header changes never, a new body always: bodies
 * cannot be put together. */
static bool changes_view(const struct filter *before, const struct filter *after)
{
	if (before->set->shadow)
		return false;
	if ((before->actions & ACTION_CHGBODY) != 0 && (after->protocol & WITHOUT_BODY) == 0)
		return true;
	return !together(before, after) && (before->actions & CHANGES_HEADER) != 0 && (after->protocol & WITHOUT_HEADERS) == 0;
}

/* Whether a filter may go on without the verdict of an earlier one. */
static bool independent(const struct filter *before, const struct filter *after)
{
	return together(before, after) || before->set->shadow || after->set->shadow;
}

/* In Postfix a filter hears no content that an earlier one refused; that is kept, but for what is streamed. */
static bool may_begin(const struct talk *t)
{
	for (size_t i = 0; i < t->index; i++) {
		const struct talk *before = &t->run->talks[i];

		if (before->state == TALK_DONE)
			continue;
		if (changes_view(before->f, t->f) || !(independent(before->f, t->f) || !t->run->whole))
			return false;
	}
	return true;
}

bool run_may_end(const struct talk *t)
{
	for (size_t i = 0; i < t->index; i++)
		if (t->run->talks[i].state != TALK_DONE && !independent(t->run->talks[i].f, t->f))
			return false;
	return t->run->whole;
}

bool run_turn(const struct talk *t)
{
	for (size_t i = 0; i < t->index; i++)
		if (t->run->talks[i].state != TALK_DONE && !t->run->talks[i].f->set->shadow)
			return t->f->set->shadow; /* it changes nothing */
	return true;
}

/* No deadline of its own: what is waited for is a filter, which has one, or the client, whom the feeder gives up on. */
void run_wait(struct milter_run *r)
{
	waitq_wait(&r->changed, DEADLINE_NEVER);
}

void run_changed(struct milter_run *r)
{
	waitq_wake_all(&r->changed);
}

/* ---- outcome ---- */

/* The first objection in configured order, when all before it have agreed; NULL: not known yet, or there is none. */
static struct talk *objection(struct milter_run *r)
{
	for (size_t i = 0; i < r->s->count; i++) {
		struct talk *t = &r->talks[i];

		if (t->state != TALK_DONE && !t->f->set->shadow)
			return NULL;
		if (t->state == TALK_DONE && t->v.kind != MILTER_GO_ON)
			return t;
	}
	return NULL;
}

/* Those still at it stop: a filter that owes an answer is disconnected, one that does not stays in step. */
static void cut_short(struct milter_run *r)
{
	r->decided = true;
	for (size_t i = 0; i < r->s->count; i++) {
		struct talk *t = &r->talks[i];

		if (t->state == TALK_DONE)
			continue;
		t->cut = true;
		if (t->state == TALK_WAITING)
			t->state = TALK_DONE;
		else if (t->awaiting)
			filter_drop(t->f);
	}
	run_changed(r);
}

/* The message is to be held because a filter could not look at it. */
static void hold(struct talk *t)
{
	struct err e = ERR_INIT;

	if (t->run->m->quarantine(t->run->m->ctx, STR("default_action"), &e) < 0 && t->mod.e.kind == ERR_NONE)
		t->mod.e = e;
}

/* A change that could not be made: our own trouble, or the changed message is too large. */
static void refuse_for_error(struct talk *t)
{
	t->v.kind = MILTER_REPLY;
	t->v.code = t->mod.e.code.smtp != 0 ? t->mod.e.code : CODE(451, 4, 3, 0);
	buf_clear(&t->f->text);
	buf_addz(&t->f->text, t->mod.e.text);
	t->v.text = buf_str(&t->f->text);
}

/* ---- one filter ---- */

static void talk_run(struct talk *t)
{
	struct filter *f = t->f;

	f->until = t->run->m->deadline;
	if (f->state == FILTER_OPEN)
		talk_content(t);
	else if (f->state == FILTER_DONE || f->state == FILTER_FAILED)
		t->v = f->standing;
	if (t->cut && f->state == FILTER_OPEN)
		buf_clear(&f->out); /* whole packets of a message that ended */
	if (f->state == FILTER_OPEN || f->state == FILTER_PASSED)
		endpoint_worked(f->set);
	filter_shadow(f, &event_eom, &t->v);
	while (!run_turn(t) && !t->cut)
		run_wait(t->run);
	if (t->v.hold)
		hold(t);
	if (t->mod.e.kind != ERR_NONE && (t->v.kind == MILTER_GO_ON || t->v.kind == MILTER_DISCARD))
		refuse_for_error(t);
	buf_done(&t->mod.body);
	buf_done(&t->pending);
	buf_done(&t->changes);
	t->state = TALK_DONE;
	if (!t->run->decided && objection(t->run) != NULL)
		cut_short(t->run);
	run_changed(t->run);
}

static void talk_fiber(void *arg)
{
	struct talk *t = arg;

	fiber_set_tag(t->run->tag);
	talk_run(t);
	t->run->fibers--;
	run_changed(t->run);
}

/* It sees the message as it is now: by the time the fiber runs, one that was started with it may have been quick and changed it. */
static void start_fiber(struct talk *t)
{
	modifier_begin(&t->mod, t->run->m, true);
	t->state = TALK_RUNNING;
	t->run->fibers++;
	fiber_start("milter", talk_fiber, t);
}

/* ---- all of them ---- */

/* The filters that may begin now; *first is one of them. */
static size_t count_ready(struct milter_run *r, struct talk **first)
{
	size_t n = 0;

	for (size_t i = r->s->count; i-- > 0;) {
		if (r->talks[i].state == TALK_WAITING && may_begin(&r->talks[i])) {
			*first = &r->talks[i];
			n++;
		}
	}
	return n;
}

static void start_ready(struct milter_run *r)
{
	for (size_t i = 0; i < r->s->count; i++)
		if (r->talks[i].state == TALK_WAITING && may_begin(&r->talks[i]))
			start_fiber(&r->talks[i]);
}

static bool all_done(const struct milter_run *r)
{
	for (size_t i = 0; i < r->s->count; i++)
		if (r->talks[i].state != TALK_DONE)
			return false;
	return r->fibers == 0;
}

/* A filter that nobody runs beside is talked to right here. */
static void run_to_end(struct milter_run *r)
{
	while (!all_done(r)) {
		struct talk *next = NULL;
		size_t ready = r->decided ? 0 : count_ready(r, &next);

		if (ready == 1 && r->fibers == 0) {
			modifier_begin(&next->mod, r->m, false);
			next->state = TALK_RUNNING;
			talk_run(next);
		} else if (ready > 0) {
			start_ready(r);
		} else {
			run_wait(r);
		}
	}
}

static void answer(struct milter_run *r, struct milter_answer *out)
{
	struct verdict v = { .kind = MILTER_GO_ON, .text = STR_NONE };
	struct talk *t = objection(r);

	if (t != NULL)
		v = t->v;
	for (size_t i = 0; i < r->s->count; i++)
		v.hold |= r->talks[i].v.hold;
	session_answer(t != NULL ? t->f : NULL, &v, out);
}

static struct milter_run *run_new(struct milter_session *s, struct milter_mail *m)
{
	struct milter_run *r = arena_alloc(s->life, sizeof *r);

	*r = (struct milter_run){ .s = s, .m = m, .tag = fiber_tag() };
	r->talks = arena_alloc(s->life, s->count * sizeof *r->talks);
	waitq_init(&r->changed);
	for (size_t i = 0; i < s->count; i++)
		r->talks[i] = (struct talk){ .run = r, .f = &s->filters[i], .index = i, .v = { .kind = MILTER_GO_ON, .text = STR_NONE } };
	return r;
}

void milter_content(struct milter_session *s, struct milter_mail *m, struct milter_answer *out)
{
	struct milter_run *r;

	if (s->discarded) {
		*out = (struct milter_answer){ .verdict = MILTER_DISCARD, .text = STR_NONE };
		return;
	}
	r = run_new(s, m);
	r->whole = true;
	run_to_end(r);
	answer(r, out);
}

/* ---- while the client sends ---- */

struct milter_run *milter_stream_begin(struct milter_session *s, struct milter_mail *m)
{
	struct milter_run *r;
	size_t streams = 0;

	if (s->discarded)
		return NULL;
	r = run_new(s, m);
	for (size_t i = 0; i < s->count; i++) {
		struct talk *t = &r->talks[i];

		if (t->f->state != FILTER_OPEN || !may_begin(t))
			continue;
		t->streams = true;
		start_fiber(t);
		streams++;
	}
	r->streaming = streams > 0;
	return r->streaming ? r : NULL;
}

static bool behind(const struct milter_run *r)
{
	for (size_t i = 0; i < r->s->count; i++)
		if (r->talks[i].streams && r->talks[i].state == TALK_RUNNING && r->talks[i].pending.n > PENDING_MAX)
			return true;
	return false;
}

void milter_stream_body(struct milter_run *r, struct str chunk)
{
	for (size_t i = 0; i < r->s->count; i++)
		if (r->talks[i].streams && r->talks[i].state == TALK_RUNNING)
			buf_add(&r->talks[i].pending, chunk);
	run_changed(r);
	while (behind(r))
		run_wait(r);
}

void milter_stream_end(struct milter_run *r, struct milter_answer *out)
{
	r->whole = true;
	for (size_t i = 0; i < r->s->count; i++)
		r->talks[i].f->until = r->m->deadline;
	run_changed(r);
	run_to_end(r);
	answer(r, out);
}

void milter_stream_cancel(struct milter_run *r)
{
	cut_short(r);
	run_to_end(r);
}
