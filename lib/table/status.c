/* lib/table/status.c - delivery status filters: tables that replace "5.1.1 text" of a delivery's result. */
#include "lib/base/log.h"
#include "lib/mail/dsn.h"
#include "lib/table/table.h"

/* What was delivered stays delivered, what was not does not become so: else mail would be lost or sent twice. */
static bool same_outcome(struct code old, struct code new)
{
	return (old.c == 2) == (new.c == 2);
}

static void use(struct str value, struct arena *a, const char *id, struct code *code, struct str *text)
{
	struct code new = { .smtp = code->smtp };
	size_t skip = dsn_parse(value, &new);

	if (skip == 0)
		log_warn("%s: delivery status filter: \"X.Y.Z text\" expected, not \"%.*s\"", id, STRF(value));
	else if (!same_outcome(*code, new))
		log_warn("%s: delivery status filter: success and failure cannot be exchanged: \"%.*s\"", id, STRF(value));
	else {
		*code = new;
		*text = arena_dup(a, str_skip(value, skip));
	}
}

void tables_filter_status(const struct tables *ts, struct arena *a, const char *id, struct code *code, struct str *text)
{
	struct buf key = { 0 }, value = { 0 };
	struct err e = ERR_INIT;

	if (ts->count == 0)
		return;
	dsn_print(&key, *code);
	buf_addc(&key, ' ');
	buf_add(&key, *text);
	switch (tables_lookup(ts, buf_str(&key), &value, &e)) {
	case TABLE_FOUND:
		use(str_trim(buf_str(&value)), a, id, code, text);
		break;
	case TABLE_FAILED:
		log_warn("%s: delivery status filter: %s", id, e.text);
		break;
	case TABLE_MISSING:
		break;
	}
	buf_done(&key);
	buf_done(&value);
}
