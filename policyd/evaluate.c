/* policyd/evaluate.c - rules in order, the slow ones ahead of their turn.
 * A rule that only asks the DNS costs nobody anything when it is asked in vain, so all of them start together when the first is due: the
 * slowest sets the latency, not the sum. Rules that remember (greylist, rate) run when it is their turn, so that a message refused by an
 * earlier rule leaves no mark.
 */
#include "policyd/evaluate.h"

#include <stdarg.h>

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/metrics.h"
#include "lib/net/fiber.h"
#include "policyd/text.h"

#define GRACE_MS 1000 /* checks keep their budget themselves; this is for the way back */
#define LIST_DEPTH_MAX 10 /* of lists that are actions of tables */

/* One rule at work in its own fiber. It may outlive the evaluation, so it holds the request (whose memory it is in) and the rules. */
struct job {
	struct request *request;
	struct ruleset *rules;
	const struct rule *rule;
	struct verdict verdict;
	struct fiber *waiter;
	int64_t began;
	bool started, done;
};

void request_ref(struct request *r)
{
	while (r->owner != NULL)
		r = r->owner;
	r->refs++;
}

void request_unref(struct request *r)
{
	while (r->owner != NULL)
		r = r->owner;
	if (--r->refs == 0)
		arena_free(r->life);
}

void request_trace(struct request *r, const char *fmt, ...)
{
	struct buf raw = { 0 }, safe = { 0 };
	va_list ap;

	if (r->trace == NULL || r->trace->count == TRACE_MAX)
		return;
	va_start(ap, fmt);
	buf_addfv(&raw, fmt, ap);
	va_end(ap);
	buf_add_safe(&safe, buf_str(&raw));
	r->trace->lines[r->trace->count++] = arena_dup(r->life, buf_str(&safe));
	buf_done(&raw);
	buf_done(&safe);
}

static int64_t budget_ms(const struct settings *s, const struct check *c)
{
	return str_ends(str_z(c->budget), STR("_ms")) ? conf_int(s->conf, c->budget) : conf_time_ms(s->conf, c->budget);
}

/* Its first word is what an action does; the rest is text. */
static const char *word_of(struct str action, char word[16])
{
	struct str first = str_word(&action, " \t");
	size_t n = 0;

	if (first.n == 0)
		return "dunno";
	for (; n < first.n && n < 15; n++)
		word[n] = (char)(first.p[n] >= 'A' && first.p[n] <= 'Z' ? first.p[n] + 'a' - 'A' : first.p[n]);
	word[n] = '\0';
	return word;
}

static void eval(const struct rule *rule, struct request *r, struct verdict *v)
{
	int64_t began_us = clock_mono_us();
	char word[16];

	rule->check->eval(rule, r, v);
	metric_count(METRIC_CHECK_VERDICTS, rule->check->name, word_of(v->action, word), NULL);
	metric_observe(METRIC_CHECK_SECONDS, (uint64_t)(clock_mono_us() - began_us), rule->check->name, NULL);
}

static void run_job(void *arg)
{
	struct job *j = arg;
	struct ruleset *rules = j->rules;

	eval(j->rule, j->request, &j->verdict);
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
		if (!s->rules[i].ahead || jobs[i].started || !applies(&s->rules[i], r))
			continue;
		jobs[i] = (struct job){
			.request = r, .rules = s, .rule = &s->rules[i], .verdict = VERDICT_GO_ON, .began = clock_mono_ms(), .started = true
		};
		request_ref(r);
		s->refs++;
		fiber_start("policyd check", run_job, &jobs[i]);
	}
}

static void wait_for(struct job *j, struct verdict *v)
{
	int64_t limit = deadline_min(j->request->deadline, j->began + budget_ms(j->request->settings, j->rule->check)) + GRACE_MS;

	while (!j->done) {
		j->waiter = fiber_self();
		if (!fiber_wait(limit) && !j->done) {
			j->waiter = NULL;
			log_warn("restriction \"%s\" gave no answer in time", j->rule->check->name);
			trouble_verdict(j->rule, j->request, TROUBLE_TIMEOUT, "no answer in time", v);
			return;
		}
	}
	*v = j->verdict;
}

static void explain(struct request *r, const struct rule *rule, const struct verdict *v, int64_t began)
{
	if (r->trace == NULL || rule->check->eval == shadow_eval)
		return;
	request_trace(r, "%s%s%.*s: %.*s%s%.*s%s, %lld ms", rule->check->name, rule->argument.n > 0 ? " " : "",
		STRF(str_sub(rule->argument, 0, 200)), STRF(v->action.n > 0 ? v->action : STR("DUNNO")), v->why.n > 0 ? " (" : "",
		STRF(v->why), v->why.n > 0 ? ")" : "", (long long)(clock_mono_ms() - began));
}

/* The rule's verdict. An only slow rule needs no fiber of its own. */
static void ask_rule(struct job *jobs, struct request *r, struct ruleset *s, size_t i, struct verdict *v)
{
	const struct rule *rule = &s->rules[i];
	int64_t began = r->trace != NULL ? clock_mono_ms() : 0;
	bool others = false;

	*v = VERDICT_GO_ON;
	if (!applies(rule, r)) {
		if (r->trace != NULL && rule->check->eval != shadow_eval)
			request_trace(r, "%s: does not apply now", rule->check->name);
		return;
	}
	for (size_t k = i + 1; k < s->count && !others && rule->ahead; k++)
		others = s->rules[k].ahead && applies(&s->rules[k], r);
	if (rule->ahead && (others || jobs[i].started)) {
		start_ahead(jobs, r, s, i);
		wait_for(&jobs[i], v);
	} else {
		eval(rule, r, v);
	}
	explain(r, rule, v, began);
}

static void take_headers(struct outcome *out, struct str fields)
{
	while (fields.n > 0 && out->header_count < HEADERS_MAX)
		out->headers[out->header_count++] = str_cut(&fields, '\n');
}

/* Is this an action to go on behind? */
static bool keep(struct outcome *out, const struct check *by, struct str action)
{
	static const struct {
		const char *word;
		int kind;
	} words[] = { { "PREPEND", KEPT_EFFECT }, { "HOLD", KEPT_EFFECT }, { "FILTER", KEPT_EFFECT }, { "REDIRECT", KEPT_EFFECT },
		{ "BCC", KEPT_EFFECT }, { "INFO", KEPT_NOTE }, { "WARN", KEPT_NOTE }, { "DEFER_IF_PERMIT", KEPT_IF_PERMIT },
		{ "DEFER_IF_REJECT", KEPT_IF_REJECT } };
	struct str rest = action, word = str_word(&rest, " \t");

	for (size_t i = 0; out->through && i < sizeof words / sizeof *words; i++) {
		if (!str_eqiz(word, words[i].word))
			continue;
		if (out->kept[words[i].kind].n == 0) {
			out->kept[words[i].kind] = action;
			out->kept_by[words[i].kind] = by;
		}
		return true;
	}
	return false;
}

static void evaluate_rules(struct request *r, struct ruleset *s, int depth, struct outcome *out);

/* The action is a list of restrictions: what they say is the action. False: it is something else. */
static bool evaluate_list(struct request *r, struct verdict *v, int depth, struct outcome *out)
{
	struct ruleset *list;
	bool broken;

	if (depth == LIST_DEPTH_MAX || !ruleset_is_list(r->settings, v->action))
		return false;
	request_trace(r, "now %.*s", STRF(v->action));
	list = ruleset_get(r->settings, v->action);
	*v = VERDICT_GO_ON;
	broken = list->broken;
	if (broken)
		verdict_config_error(v);
	else
		evaluate_rules(r, list, depth + 1, out);
	ruleset_unref(list);
	return !broken;
}

static void evaluate_rules(struct request *r, struct ruleset *s, int depth, struct outcome *out)
{
	struct job *jobs = arena_alloc(r->life, (s->count + 1) * sizeof *jobs);

	for (size_t i = 0; i < s->count && !out->answered; i++) {
		struct verdict v;

		ask_rule(jobs, r, s, i, &v);
		take_headers(out, v.header);
		if (v.action.n == 0 || str_eqiz(v.action, "DUNNO"))
			continue;
		if (!evaluate_list(r, &v, depth, out) && !keep(out, s->rules[i].check, v.action)) {
			out->verdict = v;
			out->by = s->rules[i].check;
			out->answered = true;
		}
		out->index = i;
	}
}

void evaluate(struct request *r, struct ruleset *s, struct outcome *out)
{
	*out = (struct outcome){ .verdict = { .action = STR("DUNNO"), .header = STR_NONE } };
	evaluate_rules(r, s, 0, out);
}

/* A refusal, while somebody who could have permitted was silent: it is only for now. */
static struct str deferred(struct arena *a, struct str if_reject)
{
	str_word(&if_reject, " \t");
	if_reject = str_trim(if_reject);
	return arena_printf(a, "DEFER %.*s", STRF(if_reject));
}

static void take_kept(struct outcome *out, int kind)
{
	out->verdict = (struct verdict){ .action = out->kept[kind] };
	out->by = out->kept_by[kind];
	out->answered = true;
}

void evaluate_through(struct request *r, struct ruleset *s, struct outcome *out)
{
	bool refused;

	*out = (struct outcome){ .verdict = { .action = STR("DUNNO"), .header = STR_NONE }, .through = true };
	evaluate_rules(r, s, 0, out);
	refused = text_refuses(out->verdict.action);
	if (refused && out->kept[KEPT_IF_REJECT].n > 0)
		out->verdict = (struct verdict){ .action = deferred(r->life, out->kept[KEPT_IF_REJECT]) };
	else if (!refused && out->kept[KEPT_IF_PERMIT].n > 0)
		take_kept(out, KEPT_IF_PERMIT);
	else if (!refused && out->kept[KEPT_EFFECT].n > 0)
		take_kept(out, KEPT_EFFECT);
	else if (!out->answered && out->kept[KEPT_NOTE].n > 0)
		take_kept(out, KEPT_NOTE);
}

void evaluate_all(struct request *r, struct ruleset *s, struct verdict *verdicts)
{
	struct job *jobs = arena_alloc(r->life, (s->count + 1) * sizeof *jobs);

	start_ahead(jobs, r, s, 0);
	for (size_t i = 0; i < s->count; i++)
		ask_rule(jobs, r, s, i, &verdicts[i]);
}
