/* policyd/shadow.c - restriction classes that are evaluated and reported, never obeyed. "gatepost shadow report" reads the log lines. */
#include "policyd/shadow.h"

#include <string.h>

#include "lib/base/log.h"
#include "lib/base/metrics.h"
#include "lib/net/fiber.h"
#include "policyd/text.h"

#define TRIALS_MAX 1000 /* at work in this process; more are not tried */
#define TEXT_MAX 200 /* of one thing in the log line */

struct shadow {
	struct str name;
	struct ruleset *rules;
};

struct trial {
	struct request *request; /* a copy */
	const struct shadow *shadow;
	struct ruleset *outer; /* keeps the shadow */
	struct str did; /* the action that was obeyed */
};

/* The process's trials. */
static unsigned trials;

static void unref_rules(void *rules)
{
	ruleset_unref(rules);
}

int shadow_prepare(struct rule *rule, struct arena *a, struct err *e)
{
	struct shadow *s = arena_alloc(a, sizeof *s);
	const char *text = ruleset_class(rule->settings, a, rule->argument);

	if (text == NULL)
		return err_temp(e, "\"%.*s\" is neither in policyd_restriction_classes nor { restrictions }", STRF(rule->argument));
	s->name = rule->argument.p[0] == '{' ? STR("unnamed") : rule->argument;
	s->rules = ruleset_parse(rule->settings, str_z(text), e);
	rule->state = s;
	if (s->rules == NULL)
		return -1;
	arena_defer(a, unref_rules, s->rules);
	return 0;
}

void shadow_eval(const struct rule *rule, struct request *r, struct verdict *v)
{
	(void)rule; /* its turn comes when the answer is out */
	(void)r;
	(void)v;
}

static void report(const struct trial *t, const struct outcome *out)
{
	struct request *r = t->request;
	const char *did = text_action_kind(t->did), *would = text_action_kind(out->verdict.action);
	const char *by = out->by == NULL ? "nothing" : out->by->name;
	const char *policy = arena_z(r->life, t->shadow->name);

	if (r->trace == NULL)
		metric_count(METRIC_SHADOW, policy, did, would);
	if (r->trace != NULL)
		request_trace(r, "shadow %.*s: would %s by %s: %.*s", STRF(t->shadow->name), would, by, STRF(out->verdict.action));
	else if (strcmp(did, would) != 0)
		log_info("shadow: policy=%.*s, did=%s, would=%s, by=%s, client=%.*s[%.*s], from=<%.*s>, to=<%.*s>, action=%.*s",
			STRF(t->shadow->name), did, would, by, STRF(str_sub(r->client_name, 0, TEXT_MAX)),
			STRF(str_sub(r->client_address, 0, TEXT_MAX)), STRF(str_sub(r->sender, 0, TEXT_MAX)),
			STRF(str_sub(r->recipient, 0, TEXT_MAX)), STRF(str_sub(out->verdict.action, 0, TEXT_MAX)));
}

static void run_trial(void *arg)
{
	struct trial *t = arg;
	struct ruleset *outer = t->outer;
	struct trace *trace = t->request->trace;
	struct outcome out;

	t->request->trace = NULL; /* what it would say is enough */
	evaluate_through(t->request, t->shadow->rules, &out);
	t->request->trace = trace;
	report(t, &out);
	trials--;
	request_unref(t->request);
	ruleset_unref(outer);
}

void shadow_try(struct request *r, struct ruleset *rules, const struct outcome *out)
{
	for (size_t i = 0; i < rules->count; i++) {
		const struct shadow *s = rules->rules[i].state;
		struct trial *t;

		if (rules->rules[i].check->eval != shadow_eval || trials >= TRIALS_MAX)
			continue;
		t = arena_alloc(r->life, sizeof *t);
		t->request = arena_alloc(r->life, sizeof *t->request);
		*t->request = *r;
		t->request->owner = r;
		t->request->mark_prefix = arena_printf(r->life, "shadow:%.*s:", STRF(s->name));
		t->shadow = s;
		t->outer = rules;
		t->did = out->verdict.action;
		trials++;
		request_ref(r);
		rules->refs++;
		if (r->trace != NULL)
			run_trial(t);
		else
			fiber_start("policyd shadow", run_trial, t);
	}
}
