/* mta/local/job.c - one recipient's targets, done one after the other, and what became of them together. */
#include <string.h>

#include "lib/base/log.h"
#include "lib/service/service.h"
#include "mta/local/local.h"

#define TEXT_MAX 2000 /* octets of several outcomes in one text */
#define TASKS_MAX 100000 /* targets of one recipient, all expansions together */

struct task {
	struct task *next;
	struct target target;
	const struct origin *origin;
};

static char seen_mark; /* what job.seen holds: keys matter only */

/* ---- outcome ---- */

/* One part that has to wait keeps the recipient in the queue; a failure is told although others went well. */
static int weight(enum deliver_status s)
{
	return s == DELIVER_DEFERRED ? 2 : s == DELIVER_BOUNCED ? 1 : 0;
}

void job_join(struct job *j, const struct deliver_result *res)
{
	struct str joined = STR_NONE;

	if (j->decided && res->action == DELIVER_EXPANDED && j->result->status == DELIVER_SENT)
		j->result->action = DELIVER_EXPANDED;
	if (j->decided && (j->r->m.flags & (QUEUE_PROBE | QUEUE_TRACE)) && j->result->text.n < TEXT_MAX)
		joined = arena_printf(j->a, "%.*s; %.*s", STRF(j->result->text), STRF(res->text)); /* who asks wants all of it */
	if (!j->decided || weight(res->status) > weight(j->result->status))
		*j->result = *res;
	if (joined.n > 0)
		j->result->text = joined;
	j->decided = true;
}

void job_finish(struct job *j, const struct origin *o, enum deliver_status status, struct code code, struct str text)
{
	struct deliver_result res = { .status = status, .code = code, .relay = str_z(service_name()), .text = text };
	struct deliver_request as = *j->r;
	struct queue_rcpt rcpt = o->rcpt;

	tables_filter_status(&cfg.status_filter, j->a, j->r->m.id, &res.code, &res.text);
	res.status = res.code.c == code.c ? status : deliver_status_of(res.code);
	res.action = j->action;
	res.dsn_passed = j->dsn_passed;
	as.m.rcpts = &rcpt;
	as.m.rcpt_count = 1;
	deliver_log(&as, 0, &res, 0, 0);
	job_join(j, &res);
}

void job_report(struct job *j, const struct origin *o, struct report *report, struct str success)
{
	static const enum deliver_status statuses[] = {
		[ERR_NONE] = DELIVER_SENT, [ERR_TEMP] = DELIVER_DEFERRED, [ERR_PERM] = DELIVER_BOUNCED
	};
	bool sent = report->kind == ERR_NONE;
	struct str text = sent ? success : arena_dup(j->a, buf_str(&report->text));

	job_finish(j, o, statuses[report->kind], sent ? CODE(0, 2, 0, 0) : report->code, text);
	buf_done(&report->text);
}

bool job_probed(struct job *j, const struct origin *o, struct str done)
{
	struct str verb;

	if (!(j->r->m.flags & QUEUE_PROBE))
		return false;
	verb = str_cut(&done, ' ');
	verb = str_sub(verb, 0, verb.n - 2);
	job_finish(j, o, DELIVER_SENT, CODE(0, 2, 0, 0), arena_printf(j->a, "%.*ss %.*s", STRF(verb), STRF(done)));
	return true;
}

void job_defer(struct job *j, const struct origin *o, const struct err *e)
{
	log_warn("%s: %s", j->r->m.id, e->text);
	job_finish(j, o, DELIVER_DEFERRED, CODE(0, 4, 3, 0), STR("mail system trouble: lookup failure"));
}

bool job_duplicate(struct job *j, char kind, struct str key)
{
	struct str whole = arena_printf(j->a, "%c%.*s", kind, STRF(key));

	if (map_get(j->seen, whole) != NULL)
		return true;
	if (cfg.duplicate_limit == 0 || map_count(j->seen) < cfg.duplicate_limit)
		map_put(j->seen, whole, &seen_mark);
	return false;
}

/* ---- targets ---- */

void job_targets(struct job *j, const struct origin *o, const struct target *t, size_t count)
{
	if (j->task_count + count > TASKS_MAX) {
		job_finish(j, o, DELIVER_BOUNCED, CODE(0, 5, 4, 6), STR("too many recipients after alias expansion"));
		return;
	}
	j->task_count += count;
	for (size_t i = 0; i < count; i++) {
		struct task *task = arena_alloc(j->a, sizeof *task);

		*task = (struct task){ NULL, t[i], o };
		if (j->last != NULL)
			j->last->next = task;
		else
			j->first = task;
		j->last = task;
	}
}

bool job_within(const struct origin *o, int from, struct str name)
{
	for (; o != NULL; o = o->parent) {
		if (o->from == from && str_eqi(o->name, name))
			return true;
	}
	return false;
}

/* Where the recipient o stands written; lists in files belong to what named them. */
static const struct origin *expansion(const struct origin *o)
{
	do
		o = o->parent;
	while (o != NULL && o->from == FROM_INCLUDE);
	return o;
}

bool job_names_itself(const struct origin *o, struct str name)
{
	const struct origin *from = expansion(o);

	return from != NULL && from->from != FROM_RECIPIENT && str_eqi(from->name, name);
}

bool job_goes_in_again(const struct origin *o)
{
	return o->owned || (o->parent != NULL && (o->parent->from == FROM_FORWARD || o->parent->from == FROM_INCLUDE));
}

struct str job_delivered_to(const struct job *j, const struct origin *o)
{
	return cfg.frozen ? j->recipient : o->rcpt.addr;
}

static const struct origin *below(struct job *j, const struct origin *o, struct str address)
{
	struct origin *n = arena_alloc(j->a, sizeof *n);

	*n = *o;
	n->parent = o;
	n->depth = o->depth + 1;
	n->from = FROM_RECIPIENT;
	n->name = address;
	n->rcpt.addr = address;
	n->rcpt.orig = o->rcpt.orig.n > 0 ? o->rcpt.orig : o->rcpt.addr;
	n->ext = STR_NONE;
	return n;
}

/* An address within an expansion: delivered here when it is ours, else sent in again. */
static void deliver_address(struct job *j, const struct origin *o, struct str address)
{
	struct rewrite_question q = { .sender = o->sender };
	struct rewrite_answer answer = { 0 };
	struct err e = ERR_INIT;

	q.address = address = tables_answer_address(j->a, address, STR_NONE, o->ext);
	if (rewrite_ask(cfg.rewrite, j->a, &q, &answer, &e) < 0) {
		job_defer(j, o, &e);
		return;
	}
	if (answer.temp_fail) {
		err_temp(&e, "%.*s: %.*s", STRF(address), STRF(answer.why));
		job_defer(j, o, &e);
		return;
	}
	if (job_duplicate(j, 'a', answer.address))
		return;
	if (answer.klass == CLASS_LOCAL && str_eqz(answer.transport, service_name()))
		recipient_deliver(j, below(j, o, answer.address), answer.address);
	else
		forward_add(j, o, answer.address);
}

static void deliver_user(struct job *j, const struct origin *o, struct str user)
{
	struct addr old = addr_split(o->rcpt.addr);
	struct str address = str_chr(user, '@') >= 0 ? user : arena_printf(j->a, "%.*s@%.*s", STRF(user), STRF(old.domain));
	struct local_name n;

	address = tables_answer_address(j->a, address, STR_NONE, o->ext);
	n = name_split(j->a, address);
	recipient_mailbox(j, str_eq(address, o->rcpt.addr) ? o : below(j, o, address), &n);
}

static void run_task(struct job *j, const struct task *t)
{
	switch (t->target.kind) {
	case TARGET_ADDRESS:
		deliver_address(j, t->origin, t->target.text);
		break;
	case TARGET_USER:
		deliver_user(j, t->origin, t->target.text);
		break;
	case TARGET_FILE:
		deliver_file(j, t->origin, t->target.text);
		break;
	case TARGET_COMMAND:
		deliver_command(j, t->origin, t->target.text);
		break;
	case TARGET_INCLUDE:
		expand_include(j, t->origin, t->target.text);
		break;
	}
}

/* What is forwarded goes last, and not at all while another part has to be tried again: it would go again with it. */
void job_run(struct job *j, const struct queue_rcpt *rcpt)
{
	struct origin top = { .from = FROM_RECIPIENT, .name = rcpt->addr, .rcpt = *rcpt, .sender = j->r->m.sender };

	j->recipient = rcpt->addr;
	if (rcpt->addr.n > 0 && rcpt->addr.p[0] == '\\')
		deliver_user(j, &top, str_skip(rcpt->addr, 1));
	else
		recipient_deliver(j, &top, rcpt->addr);
	while (j->first != NULL) {
		struct task *t = j->first;

		j->first = t->next;
		if (j->first == NULL)
			j->last = NULL;
		run_task(j, t);
	}
	if (!j->decided || j->result->status != DELIVER_DEFERRED)
		forward_send_all(j, &top);
	if (!j->decided)
		job_finish(j, &top, DELIVER_SENT, CODE(0, 2, 0, 0), STR("discarded: nothing left after duplicates were removed"));
}
