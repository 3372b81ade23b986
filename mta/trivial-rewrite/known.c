/* mta/trivial-rewrite/known.c - does a recipient exist, as far as the tables of its class tell? */
#include "lib/mail/addr.h"
#include "mta/trivial-rewrite/routing.h"

static enum table_answer listed(const struct routing *r, const struct tables *ts, struct str address, bool local, struct err *e)
{
	struct buf unused = { 0 };
	struct str ext;
	enum table_answer answer = TABLE_MISSING;

	if (ts->count > 0)
		answer = tables_lookup_address(ts, address, r->delimiters, local, &unused, &ext, e);
	buf_done(&unused);
	return answer;
}

/* What a table says an address stands for, when that is one address without quotes; else nothing. */
static struct str alone(struct arena *a, struct str value, struct str asked, struct str ext)
{
	value = str_trim(value);
	return str_any(value, ", \t\r\n\"<") >= 0 ? STR_NONE : tables_answer_address(a, arena_dup(a, value), asked, ext);
}

/* Addresses that are rewritten before delivery exist, whatever becomes of them. */
static enum table_answer is_rewritten(const struct routing *r, struct arena *a, struct rewrite_answer *out, struct err *e)
{
	const struct {
		const struct tables *tables;
		bool propagate;
	} all[] = { { &r->recipient_canonical, r->propagate_canonical }, { &r->canonical, r->propagate_canonical },
		{ &r->virtual_aliases, r->propagate_virtual } };
	enum table_answer answer = TABLE_MISSING;
	struct buf value = { 0 };
	struct str ext = STR_NONE;

	for (size_t i = 0; i < sizeof all / sizeof *all && answer == TABLE_MISSING; i++) {
		if (all[i].tables->count == 0)
			continue;
		answer = tables_lookup_address(all[i].tables, out->address, r->delimiters, out->klass == CLASS_LOCAL, &value, &ext, e);
		if (answer == TABLE_FOUND)
			out->alias = alone(a, buf_str(&value), out->address, all[i].propagate ? ext : STR_NONE);
	}
	buf_done(&value);
	return answer;
}

/* The class's own tables; an empty list knows everybody. */
static enum table_answer is_in_class(const struct routing *r, const struct rewrite_answer *out, struct err *e)
{
	const struct tables *ts = NULL;

	switch (out->klass) {
	case CLASS_LOCAL:
		ts = &r->local_recipients;
		break;
	case CLASS_VIRTUAL_MAILBOX:
		ts = &r->virtual_mailboxes;
		break;
	case CLASS_RELAY:
		ts = &r->relay_recipients;
		break;
	case CLASS_VIRTUAL_ALIAS:
		return TABLE_MISSING; /* virtual_alias_maps were asked before */
	case CLASS_DEFAULT:
		return TABLE_FOUND;
	}
	return ts->count == 0 ? TABLE_FOUND : listed(r, ts, out->address, out->klass == CLASS_LOCAL, e);
}

int resolve_known(const struct routing *r, struct arena *a, struct rewrite_answer *out, struct err *e)
{
	enum table_answer answer = is_rewritten(r, a, out, e);

	if (answer == TABLE_FOUND)
		out->flags |= REWRITE_ALIASED | REWRITE_KNOWN;
	if (answer != TABLE_MISSING)
		return answer == TABLE_FAILED ? -1 : 0;
	answer = is_in_class(r, out, e);
	if (answer == TABLE_MISSING && listed(r, &r->relocated, out->address, out->klass == CLASS_LOCAL, e) == TABLE_FOUND)
		answer = TABLE_FOUND; /* gets the text of relocated_maps */
	if (answer == TABLE_FOUND)
		out->flags |= REWRITE_KNOWN;
	return answer == TABLE_FAILED ? -1 : 0;
}
