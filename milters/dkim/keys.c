/* milters/dkim/keys.c - which signing keys an address has. */
#include "lib/mail/addr.h"
#include "milters/common/say.h"
#include "milters/dkim/dkim.h"

static enum table_answer lookup(struct dkim_options *o, struct str address, struct buf *value, struct err *e)
{
	struct addr parts = addr_split(address);
	struct str domain = parts.domain;
	enum table_answer answer = tables_lookup(&o->sign_table, address, value, e);
	ptrdiff_t dot;

	if (answer == TABLE_MISSING)
		answer = tables_lookup(&o->sign_table, domain, value, e);
	while (answer == TABLE_MISSING && (dot = str_chr(domain, '.')) >= 0) {
		answer = tables_lookup(&o->sign_table, str_skip(domain, (size_t)dot), value, e);
		domain = str_skip(domain, (size_t)dot + 1);
	}
	return answer;
}

static ptrdiff_t parse_signers(struct dkim_options *o, struct str value, struct arena *a, struct signer out[SIGNERS_MAX], struct err *e)
{
	ptrdiff_t count = 0;
	struct str entry;

	while ((entry = str_word(&value, ", \t\r\n")).n > 0) {
		if (count == SIGNERS_MAX)
			return err_temp(e, "dkim_sign_table: more than %d keys for one address", SIGNERS_MAX);
		if (signer_parse(o->keys, "dkim_sign_table", entry, a, &out[count++], e) < 0)
			return -1;
	}
	return count;
}

ptrdiff_t signers_find(struct dkim_options *o, struct str address, struct arena *a, struct signer out[SIGNERS_MAX], struct err *e)
{
	struct buf value = { 0 };
	enum table_answer answer;
	ptrdiff_t count = 0;

	say_lock();
	answer = lookup(o, arena_lower(a, address), &value, e);
	say_unlock();
	if (answer == TABLE_FOUND)
		count = parse_signers(o, buf_str(&value), a, out, e);
	else if (answer == TABLE_FAILED)
		count = -1;
	buf_done(&value);
	return count;
}
