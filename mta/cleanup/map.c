/* mta/cleanup/map.c - tables that turn addresses into others: canonical, masquerading, virtual aliases, copies. */
#include "mta/cleanup/cleanup.h"

#include "lib/base/log.h"
#include "lib/mail/addr.h"
#include "lib/net/story.h"
#include "mta/cleanup/settings.h"

#define CANONICAL_STEPS 10

/* ---- common ---- */

/* Is a user name alone a key for this address? */
static bool local_domain(struct str domain)
{
	struct err e = ERR_INIT;

	return str_eqiz(domain, set->myorigin) || matchlist_host(set->mydestination, domain, &e) == TABLE_FOUND;
}

static void trouble(struct mail *x, const struct err *e)
{
	log_warn("%s: %s", x->m.id, e->text);
	mail_refuse(x, CODE(451, 4, 3, 0), STR("Error: queue file write error"));
}

/* Take one address off a table's answer: blanks and commas outside quotes separate. */
static struct str next_address(struct str *rest)
{
	size_t n = 0;
	bool quoted = false;
	struct str word;

	while (rest->n > 0 && (rest->p[0] == ' ' || rest->p[0] == ',' || rest->p[0] == '\t' || rest->p[0] == '\n' || rest->p[0] == '\r'))
		*rest = str_skip(*rest, 1);
	for (; n < rest->n; n++) {
		char c = rest->p[n];

		if (c == '"')
			quoted = !quoted;
		else if (c == '\\' && n + 1 < rest->n)
			n++;
		else if (!quoted && (c == ' ' || c == ',' || c == '\t' || c == '\n' || c == '\r'))
			break;
	}
	word = str_sub(*rest, 0, n);
	*rest = str_skip(*rest, n);
	if (word.n > 2 && word.p[0] == '<' && word.p[word.n - 1] == '>')
		word = str_sub(word, 1, word.n - 2);
	return word;
}

/* Addresses of a table's answer: blank or comma separated, quotes respected, internal form. */
static size_t split(struct arena *a, struct str value, struct str **out)
{
	size_t count = 0, most = 0;
	struct str rest = value;

	while (next_address(&rest).n > 0)
		most++;
	*out = arena_alloc(a, (most > 0 ? most : 1) * sizeof **out);
	while (count < most)
		(*out)[count++] = addr_unquote(a, next_address(&value));
	return count;
}

/* By what an address was changed, for gatepost explain. */
static void note_rule(struct mail *x, const struct tables *ts)
{
	struct rule_used *r = &x->rules[x->rules[0].tables != NULL];
	struct buf place = { 0 };

	if (!story_wanted())
		return;
	table_place(&place);
	*r = (struct rule_used){ ts, arena_dup(x->life, buf_str(&place)) };
	buf_done(&place);
}

/* Look address up; *found gets the answer's addresses in standard form. 1, 0 (not there), -1 (refused). */
static int look_up(struct mail *x, const struct tables *ts, struct str address, bool propagate, struct str **found, size_t *count)
{
	struct buf value = { 0 };
	struct str ext = STR_NONE;
	struct err e = ERR_INIT;
	enum table_answer answer;

	answer = tables_lookup_address(ts, address, set->delimiters, local_domain(addr_split(address).domain), &value, &ext, &e);
	if (answer == TABLE_FAILED)
		trouble(x, &e);
	if (answer == TABLE_FOUND)
		note_rule(x, ts);
	if (answer == TABLE_FOUND)
		*count = split(x->life, arena_dup(x->life, buf_str(&value)), found);
	buf_done(&value);
	if (answer != TABLE_FOUND)
		return answer == TABLE_FAILED ? -1 : 0;
	for (size_t i = 0; i < *count; i++) {
		(*found)[i] = tables_answer_address(x->life, (*found)[i], address, propagate ? ext : STR_NONE);
		if (rewrite_address(x, &(*found)[i], true) < 0)
			return -1;
	}
	return *count > 0;
}

/* ---- canonical ---- */

/* Again and again until nothing changes. */
static int canonical(struct mail *x, const struct tables *ts, struct str *address)
{
	for (int step = 0; step < CANONICAL_STEPS; step++) {
		struct str *found;
		size_t count;
		int r = ts->count == 0 ? 0 : look_up(x, ts, *address, set->propagate_canonical, &found, &count);

		if (r <= 0)
			return r;
		if (count > 1)
			log_warn("%s: multi-valued canonical entry for %.*s: the first one counts", x->m.id, STRF(*address));
		if (str_eq(found[0], *address))
			return 0;
		*address = found[0];
	}
	log_warn("%s: unreasonable canonical map nesting for %.*s -- message not accepted, try again later", x->m.id, STRF(*address));
	mail_refuse_temp(x, "Error: queue file write error");
	return -1;
}

/* ---- masquerading ---- */

static bool masquerade_exception(struct str local)
{
	for (size_t i = 0; i < set->masquerade_exception_count; i++)
		if (str_eqi(local, set->masquerade_exceptions[i]))
			return true;
	return false;
}

/* host.dom becomes dom for the first listed domain it is, or lies below; "!dom" is left alone with all below it. */
static void masquerade(struct mail *x, struct str *address)
{
	struct addr a = addr_split(*address);

	if (a.domain.n == 0 || masquerade_exception(a.local))
		return;
	for (size_t i = 0; i < set->masquerade_domain_count; i++) {
		struct str domain = set->masquerade_domains[i];
		bool keep = domain.n > 0 && domain.p[0] == '!';

		domain = str_skip(domain, keep ? 1 : 0);
		if (str_eqi(a.domain, domain))
			return;
		if (a.domain.n <= domain.n || !str_endsi(a.domain, domain) || a.domain.p[a.domain.n - domain.n - 1] != '.')
			continue;
		if (!keep)
			*address = arena_printf(x->life, "%.*s@%.*s", STRF(a.local), STRF(domain));
		return;
	}
}

int map_canonical(struct mail *x, struct str *address, enum map_class what)
{
	bool sender = (what & (MAP_ENVELOPE_SENDER | MAP_HEADER_SENDER)) != 0;
	const struct tables *special = sender ? &set->sender_canonical : &set->rcpt_canonical;
	unsigned special_classes = sender ? set->sender_canonical_classes : set->rcpt_canonical_classes;

	if (address->n == 0 || (x->req.flags & CLEANUP_NO_MAPPINGS) != 0)
		return 0;
	if ((special_classes & what) != 0 && canonical(x, special, address) < 0)
		return -1;
	if ((set->canonical_classes & what) != 0 && canonical(x, &set->canonical, address) < 0)
		return -1;
	if ((set->masquerade_classes & what) != 0)
		masquerade(x, address);
	return 0;
}

/* ---- virtual aliases ---- */

struct ancestor { /* an address that was replaced on the way to another one */
	struct str address;
	const struct ancestor *up;
	unsigned depth;
};

struct alias {
	struct str address;
	const struct ancestor *up;
	bool final; /* stands for itself */
};

struct expansion { /* of one recipient */
	struct mail *x;
	struct alias *v;
	size_t count, cap;
};

static void expansion_add(struct expansion *ex, struct alias one)
{
	if (ex->count == ex->cap) {
		size_t cap = ex->cap > 0 ? 2 * ex->cap : 8;
		struct alias *more = arena_alloc(ex->x->life, cap * sizeof *more);

		for (size_t i = 0; i < ex->count; i++)
			more[i] = ex->v[i];
		ex->v = more;
		ex->cap = cap;
	}
	ex->v[ex->count++] = one;
}

static int too_much(struct mail *x, const char *what, struct str address)
{
	log_warn("%s: unreasonable virtual_alias_maps map %s for %.*s -- message not accepted, try again later", x->m.id, what,
		STRF(address));
	mail_refuse(x, CODE(451, 4, 3, 0), STR("Error: queue file write error"));
	return -1;
}

static bool is_ancestor(const struct ancestor *up, struct str address)
{
	for (; up != NULL; up = up->up)
		if (str_eqi(up->address, address))
			return true;
	return false;
}

/* Put one of the addresses that `parent` stands for into the list; the first one takes its place. */
static int expand_into(struct expansion *ex, size_t at, const struct ancestor *parent, struct str address, bool first)
{
	struct alias one = { address, parent, str_eqi(address, parent->address) };

	if (address.n > set->virtual_length)
		return too_much(ex->x, "address length", parent->address);
	if (!one.final && is_ancestor(parent->up, address))
		return too_much(ex->x, "loop", parent->address);
	if (first)
		ex->v[at] = one;
	else
		expansion_add(ex, one);
	return ex->count > set->virtual_expansion ? too_much(ex->x, "expansion size", parent->address) : 0;
}

/* Replace address `at` by what it stands for, its further addresses go to the end. 1; 0: it stands for itself; -1. */
static int expand_once(struct expansion *ex, size_t at)
{
	struct alias asked = ex->v[at];
	struct ancestor *parent;
	struct str *found;
	size_t count;
	int r = look_up(ex->x, &set->virtual_alias, asked.address, set->propagate_virtual, &found, &count);

	if (r <= 0)
		return r;
	parent = arena_alloc(ex->x->life, sizeof *parent);
	*parent = (struct ancestor){ asked.address, asked.up, asked.up != NULL ? asked.up->depth + 1 : 1 };
	if (parent->depth > set->virtual_recursion)
		return too_much(ex->x, "nesting", asked.address);
	for (size_t i = 0; i < count; i++)
		if (expand_into(ex, at, parent, found[i], i == 0) < 0)
			return -1;
	return 1;
}

static int expand_all(struct expansion *ex)
{
	for (size_t at = 0; at < ex->count; at++) {
		int r = 1;

		while (r == 1 && !ex->v[at].final)
			r = expand_once(ex, at);
		if (r < 0)
			return -1;
	}
	return 0;
}

int map_virtual(struct mail *x, struct str address, struct str **out, size_t *count)
{
	struct expansion ex = { .x = x };
	int r = 0;

	expansion_add(&ex, (struct alias){ .address = address });
	if (set->virtual_alias.count > 0 && (x->req.flags & CLEANUP_NO_MAPPINGS) == 0)
		r = expand_all(&ex);
	*out = arena_alloc(x->life, ex.count * sizeof **out);
	*count = ex.count;
	for (size_t i = 0; i < ex.count; i++)
		(*out)[i] = ex.v[i].address;
	return r;
}

/* ---- copies ---- */

enum table_answer_class map_bcc(struct mail *x, const struct tables *ts, struct str key, struct str *value)
{
	struct str *found;
	size_t count;
	int r = ts->count == 0 ? 0 : look_up(x, ts, key, false, &found, &count);

	if (r <= 0)
		return r == 0 ? MAP_MISS : MAP_TROUBLE;
	if (count > 1)
		log_warn("%s: multi-valued bcc entry for %.*s: the first one counts", x->m.id, STRF(key));
	*value = found[0];
	return MAP_HIT;
}
