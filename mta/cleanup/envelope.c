/* mta/cleanup/envelope.c - sender and recipients: canonical form, aliases, copies, no recipient twice. */
#include <string.h>

#include "lib/base/json.h"
#include "lib/base/log.h"
#include "lib/mail/addr.h"
#include "lib/mail/dsn.h"
#include "lib/net/story.h"
#include "mta/cleanup/cleanup.h"
#include "mta/cleanup/settings.h"

/* For gatepost explain; addresses that stay need no words. */
static void tell_rewriting(const struct mail *x, const char *what, struct str from, struct str to)
{
	const struct rule_used *rules = x->rules;
	struct buf event = { 0 }, rule = { 0 };

	if (str_eq(from, to) || !story_wanted())
		return;
	story_begin(&event, "rewrite", x->m.id);
	json_add_member(&event, "what", str_z(what));
	json_add_member(&event, "from", from);
	json_add_member(&event, "to", to);
	for (size_t i = 0; i < 2 && rules[i].tables != NULL; i++)
		buf_addf(&rule, "%s%s%s%.*s", i > 0 ? ", " : "", settings_rule(rules[i].tables), rules[i].place.n > 0 ? " " : "",
			STRF(rules[i].place));
	json_add_member(&event, "rule", buf_str(&rule));
	story_tell(&event);
	buf_done(&rule);
}

/* What is told next is about another address. */
static void forget_rules(struct mail *x)
{
	x->rules[0] = x->rules[1] = (struct rule_used){ 0 };
}

int envelope_sender(struct mail *x, struct str sender)
{
	struct str given = sender;

	forget_rules(x);
	if (rewrite_address(x, &sender, true) < 0 || map_canonical(x, &sender, MAP_ENVELOPE_SENDER) < 0)
		return -1;
	tell_rewriting(x, "sender", given, sender);
	x->m.sender = sender;
	return 0;
}

/* ---- the list ---- */

static void append(struct mail *x, const struct queue_rcpt *r)
{
	struct rcpt_list *l = &x->rcpts;

	if (l->count == l->cap) {
		size_t cap = l->cap > 0 ? 2 * l->cap : 16;
		struct queue_rcpt *more = arena_alloc(x->life, cap * sizeof *more);

		if (l->count > 0)
			memcpy(more, l->v, l->count * sizeof *more);
		l->v = more;
		l->cap = cap;
	}
	l->v[l->count++] = *r;
}

/* The same mailbox for the same original recipient and the same notifications is one recipient. */
static bool is_duplicate(struct mail *x, const struct queue_rcpt *r)
{
	static char mark;
	struct buf key = { 0 };
	bool full = set->duplicate_limit > 0 && map_count(x->seen) >= set->duplicate_limit;
	bool found;

	if (set->original_recipient) {
		buf_addf(&key, "%d\n", r->notify);
		buf_add_lower(&key, r->orcpt);
		buf_addc(&key, '\n');
		buf_add_lower(&key, r->orig);
		buf_addc(&key, '\n');
	}
	buf_add_lower(&key, r->addr);
	found = full ? map_get(x->seen, buf_str(&key)) != NULL : map_put(x->seen, buf_str(&key), &mark) != NULL;
	buf_done(&key);
	return found;
}

static void add_final(struct mail *x, struct str addr, const struct queue_rcpt *from)
{
	struct queue_rcpt r = *from;

	r.addr = addr;
	if (!is_duplicate(x, &r))
		append(x, &r);
}

/* "Pass on unchanged": what the client declared decides about duplicates, so the original is filled in here once. */
static struct queue_rcpt declared(struct mail *x, struct str addr, struct str orig, struct str orcpt, int notify)
{
	struct queue_rcpt r = { .orig = orig, .orcpt = orcpt, .notify = notify };

	if (r.orig.n == 0)
		r.orig = addr;
	x->last_rcpt = r.orig;
	return r;
}

/* No copies of mail that we made ourselves or that passes a second time. */
static bool copies_wanted(const struct mail *x)
{
	bool internal = (x->m.flags & QUEUE_BOUNCE) != 0 || ((x->m.flags & QUEUE_LOCAL) != 0 && !x->non_smtp);

	return !internal && (x->req.flags & CLEANUP_NO_MAPPINGS) == 0;
}

static void copy_for_rcpt(struct mail *x, struct str addr)
{
	struct rule_used rules[] = { x->rules[0], x->rules[1] }; /* are about the address that is copied */
	struct str bcc;

	if (copies_wanted(x) && map_bcc(x, &set->rcpt_bcc, addr, &bcc) == MAP_HIT)
		envelope_add(x, bcc, STR_NONE, STR_NONE, DSN_NOTIFY_NEVER, false);
	memcpy(x->rules, rules, sizeof rules);
}

/* RFC 3461 section 5.2.7: one address for another is asked to report success in the sender's name. Of several none is: the sender hears, by
 * way of qmgr, that his recipient was expanded. */
static void share_duty(struct mail *x, struct str alias, size_t count, struct queue_rcpt *r)
{
	if (count < 2 || !(r->notify & DSN_NOTIFY_SUCCESS))
		return;
	r->notify = dsn_without_success(r->notify);
	add_final(x, alias, &(struct queue_rcpt){ .orig = r->orig, .orcpt = r->orcpt, .notify = DSN_NOTIFY_SUCCESS | DSN_EXPANDED });
}

void envelope_add(struct mail *x, struct str addr, struct str orig, struct str orcpt, int notify, bool with_bcc)
{
	struct queue_rcpt r = declared(x, addr, orig, orcpt, notify);
	struct str *list, given = addr;
	size_t count;

	forget_rules(x);
	if (addr.n == 0)
		addr = str_z(set->empty_recipient);
	if (rewrite_address(x, &addr, true) < 0 || map_canonical(x, &addr, MAP_ENVELOPE_RCPT) < 0)
		return;
	if (with_bcc)
		copy_for_rcpt(x, addr);
	if (map_virtual(x, addr, &list, &count) < 0)
		return;
	share_duty(x, addr, count, &r);
	for (size_t i = 0; i < count; i++) {
		tell_rewriting(x, with_bcc ? "recipient" : "copy for", given, list[i]);
		add_final(x, list[i], &r);
	}
}

void envelope_stage(struct mail *x)
{
	for (size_t i = 0; i < x->req.m.rcpt_count && !mail_refused(x); i++) {
		const struct queue_rcpt *r = &x->req.m.rcpts[i];

		envelope_add(x, r->addr, r->orig, r->orcpt, r->notify, true);
	}
}

/* ---- copies of the whole message ---- */

static void copy_for_sender(struct mail *x)
{
	struct str bcc;

	if (x->m.sender.n > 0 && map_bcc(x, &set->sender_bcc, x->m.sender, &bcc) == MAP_HIT)
		envelope_add(x, bcc, STR_NONE, STR_NONE, DSN_NOTIFY_NEVER, false);
}

void envelope_bcc(struct mail *x)
{
	for (size_t i = 0; i < x->req.bcc_count; i++) /* BCC actions of tables and policy servers */
		envelope_add(x, x->req.bcc[i], STR_NONE, STR_NONE, DSN_NOTIFY_NONE, false);
	if (!copies_wanted(x))
		return;
	copy_for_sender(x);
	if (set->always_bcc[0] != '\0')
		envelope_add(x, addr_unquote(x->life, str_z(set->always_bcc)), STR_NONE, STR_NONE, DSN_NOTIFY_NEVER, false);
}

/* ---- changes ---- */

void envelope_delete(struct mail *x, struct str original)
{
	struct rcpt_list *l = &x->rcpts;
	size_t kept = 0;

	for (size_t i = 0; i < l->count; i++) {
		struct str key = l->v[i].orig.n > 0 ? l->v[i].orig : l->v[i].addr;

		if (!str_eq(key, original))
			l->v[kept++] = l->v[i];
	}
	l->count = kept;
	/* A recipient that was taken out may be added again. */
	map_free(x->seen, NULL);
	x->seen = map_new();
	for (size_t i = 0; i < kept; i++)
		(void)is_duplicate(x, &l->v[i]);
}

void envelope_redirect(struct mail *x)
{
	struct str to = x->redirect;

	if (to.n == 0 || x->rcpts.count == 0 || rewrite_address(x, &to, true) < 0)
		return;
	tell_rewriting(x, "redirected: recipient", x->rcpts.v[0].addr, to);
	x->rcpts.count = 1;
	x->rcpts.v[0].addr = to;
}
