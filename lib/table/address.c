/* lib/table/address.c - addresses and domains as keys: which forms are asked, in which order. Pattern tables see the whole key only. A local
 * part that must be quoted in mail is asked for with its quotes, then without.
 */
#include "lib/mail/addr.h"
#include "lib/table/table.h"

/* Ask all tables, or with `partial` only those that may see parts of a key. */
static enum table_answer ask(const struct tables *ts, struct str key, bool partial, struct buf *value, struct err *e)
{
	for (size_t i = 0; i < ts->count; i++) {
		enum table_answer answer;

		if (partial && table_is_pattern(ts->t[i]))
			continue;
		answer = table_lookup(ts->t[i], key, value, e);
		if (answer != TABLE_MISSING)
			return answer;
	}
	return TABLE_MISSING;
}

static enum table_answer ask_both(const struct tables *ts, struct str address, bool partial, struct buf *value, struct err *e)
{
	struct arena *a = arena_new("address");
	struct str quoted = addr_quote(a, address);
	enum table_answer answer = TABLE_MISSING;

	if (!str_eq(quoted, address))
		answer = ask(ts, quoted, partial, value, e);
	arena_free(a);
	return answer == TABLE_MISSING ? ask(ts, address, partial, value, e) : answer;
}

/* local@domain, or local alone when domain is empty. */
static enum table_answer ask_address(const struct tables *ts, struct str local, struct str domain, struct buf *value, struct err *e)
{
	struct buf key = { 0 };
	enum table_answer answer;

	buf_add(&key, local);
	if (domain.n > 0) {
		buf_addc(&key, '@');
		buf_add(&key, domain);
	}
	answer = local.n > 0 ? ask_both(ts, buf_str(&key), true, value, e) : ask(ts, buf_str(&key), true, value, e);
	buf_done(&key);
	return answer;
}

static enum table_answer ask_bare(
	const struct tables *ts, const struct addr *a, struct str base, struct buf *value, struct str *ext, struct err *e)
{
	enum table_answer answer = TABLE_MISSING;

	if (base.n < a->local.n)
		answer = ask_address(ts, a->local, STR_NONE, value, e);
	if (answer != TABLE_MISSING) {
		*ext = STR_NONE;
		return answer;
	}
	return ask_address(ts, base, STR_NONE, value, e);
}

enum table_answer tables_lookup_address(const struct tables *ts, struct str address, const char *delimiters, bool local_domain,
	struct buf *value, struct str *ext, struct err *e)
{
	struct addr a = addr_split(address);
	struct str unmatched = STR_NONE;
	struct str base = addr_base(a.local, delimiters, &unmatched);
	enum table_answer answer = ask_both(ts, address, false, value, e);

	*ext = STR_NONE;
	if (answer != TABLE_MISSING || ts->count == 0)
		return answer;
	if (base.n < a.local.n) {
		*ext = unmatched;
		answer = a.domain.n > 0 ? ask_address(ts, base, a.domain, value, e) : ask_address(ts, base, STR_NONE, value, e);
	}
	if (answer == TABLE_MISSING && local_domain && a.domain.n > 0) {
		*ext = unmatched;
		answer = ask_bare(ts, &a, base, value, ext, e);
	}
	if (answer == TABLE_MISSING && a.domain.n > 0) {
		*ext = STR_NONE;
		answer = ask_address(ts, STR_NONE, a.domain, value, e);
	}
	if (answer != TABLE_FOUND)
		*ext = STR_NONE;
	return answer;
}

struct str tables_answer_address(struct arena *a, struct str found, struct str asked, struct str ext)
{
	struct addr to, from = addr_split(asked);

	if (found.n > 0 && found.p[0] == '@')
		return arena_printf(a, "%.*s%.*s", STRF(from.local), STRF(found));
	if (ext.n == 0)
		return found;
	to = addr_split(found);
	if (to.domain.n == 0)
		return arena_printf(a, "%.*s%.*s", STRF(found), STRF(ext));
	return arena_printf(a, "%.*s%.*s@%.*s", STRF(to.local), STRF(ext), STRF(to.domain));
}

enum table_answer tables_lookup_domain(const struct tables *ts, struct str domain, bool parents_plain, struct buf *value, struct err *e)
{
	enum table_answer answer = ask(ts, domain, false, value, e);
	struct str rest = domain;
	ptrdiff_t dot;

	if (domain.n > 0 && domain.p[0] == '[')
		return answer; /* a literal has no parents */
	while (answer == TABLE_MISSING && (dot = str_chr(rest, '.')) >= 0) {
		rest = str_skip(rest, (size_t)dot);
		answer = rest.n > 1 ? ask(ts, parents_plain ? str_skip(rest, 1) : rest, true, value, e) : TABLE_MISSING;
		rest = str_skip(rest, 1);
	}
	return answer;
}
