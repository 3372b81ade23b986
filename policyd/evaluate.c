/* policyd/evaluate.c - rules in order, the slow ones ahead of their turn.
 * A rule that only asks the DNS costs nobody anything when it is asked in vain, so all of them start together when the first is due: the
 * slowest sets the latency, not the sum. Rules that remember (greylist, rate) run when it is their turn, so that a message refused by an
 * earlier rule leaves no mark.
 */
#include "policyd/evaluate.h"

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/net/fiber.h"

#define GRACE_MS 1000 /* checks keep the request's deadline themselves; this is for the way back */

/* One rule at work in its own fiber. It may outlive the evaluation, so it holds the request (whose memory it is in) and the rules. */
struct job {
	struct request *request;
	struct ruleset *rules;
	const struct rule *rule;
	struct verdict verdict;
	struct fiber *waiter;
	bool started, done;
};

void request_ref(struct request *r)
{
	r->refs++;
}

void request_unref(struct request *r)
{
	if (--r->refs == 0)
		arena_free(r->life);
}

static void run_job(void *arg)
{
	struct job *j = arg;
	struct ruleset *rules = j->rules;

	j->rule->check->eval(j->rule, j->request, &j->verdict);
	j->done = true;
	if (j->waiter != NULL)
		fiber_wake(j->waiter);
	request_unref(j->request);
	ruleset_unref(rules);
}

static bool applies(const struct rule *rule, const struct request *r)
{
	return (rule->check->needs & ~r->facts) == 0;
}

static void start_ahead(struct job *jobs, struct request *r, struct ruleset *s, size_t from)
{
	for (size_t i = from; i < s->count; i++) {
		if (!s->rules[i].check->ahead || jobs[i].started || !applies(&s->rules[i], r))
			continue;
		jobs[i] = (struct job){ .request = r, .rules = s, .rule = &s->rules[i], .verdict = VERDICT_GO_ON, .started = true };
		request_ref(r);
		s->refs++;
		fiber_start("policyd check", run_job, &jobs[i]);
	}
}

static void wait_for(struct job *j, struct verdict *v)
{
	int64_t limit = j->request->deadline + GRACE_MS;

	while (!j->done) {
		j->waiter = fiber_self();
		if (!fiber_wait(limit) && !j->done) {
			j->waiter = NULL;
			log_warn("restriction \"%s\" gave no answer in time", j->rule->check->name);
			*v = (struct verdict){ .action = STR("451 4.3.0 Temporary lookup failure"), .whole = true };
			return;
		}
	}
	*v = j->verdict;
}

/* The rule's verdict. An only slow rule needs no fiber of its own. */
static void ask_rule(struct job *jobs, struct request *r, struct ruleset *s, size_t i, struct verdict *v)
{
	const struct rule *rule = &s->rules[i];
	bool others = false;

	for (size_t k = i + 1; k < s->count && !others; k++)
		others = s->rules[k].check->ahead && applies(&s->rules[k], r);
	if (rule->check->ahead && (others || jobs[i].started)) {
		start_ahead(jobs, r, s, i);
		wait_for(&jobs[i], v);
	} else {
		rule->check->eval(rule, r, v);
	}
}

void evaluate(struct request *r, struct ruleset *s, struct outcome *out)
{
	struct job *jobs = arena_alloc(r->life, (s->count + 1) * sizeof *jobs);

	*out = (struct outcome){ .verdict = { .action = STR("DUNNO"), .header = STR_NONE } };
	for (size_t i = 0; i < s->count; i++) {
		struct verdict v = VERDICT_GO_ON;

		if (!applies(&s->rules[i], r))
			continue;
		ask_rule(jobs, r, s, i, &v);
		if (v.header.n > 0 && out->header_count < HEADERS_MAX)
			out->headers[out->header_count++] = v.header;
		if (v.action.n == 0 || str_eqiz(v.action, "DUNNO"))
			continue;
		out->verdict = v;
		out->index = i;
		out->answered = true;
		return;
	}
}
