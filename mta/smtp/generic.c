/* mta/smtp/generic.c - smtp_generic_maps: addresses that mean something here only become ones the world can answer. */
#include "lib/base/log.h"
#include "lib/mail/addr.h"
#include "lib/mail/header_edit.h"
#include "mta/smtp/smtp.h"

/* Is a user name alone a key for this address? */
static bool local_domain(struct str domain)
{
	struct err e = ERR_INIT;

	return str_eqiz(domain, cfg->myorigin) || matchlist_host(cfg->mydestination, domain, &e) == TABLE_FOUND;
}

static int map_address(struct arena *a, struct str *address, struct failure *why)
{
	struct buf value = { 0 };
	struct str ext = STR_NONE, found;
	struct err e = ERR_INIT;
	enum table_answer answer = TABLE_MISSING;

	if (address->n > 0)
		answer = tables_lookup_address(
			&cfg->generic, *address, cfg->delimiters, local_domain(addr_split(*address).domain), &value, &ext, &e);
	if (answer == TABLE_FOUND) {
		found = addr_unquote(a, arena_dup(a, str_trim(buf_str(&value))));
		*address = tables_answer_address(a, found, *address, cfg->propagate_generic ? ext : STR_NONE);
		if (addr_split(*address).domain.n == 0)
			*address = arena_printf(a, "%.*s@%s", STRF(*address), cfg->myorigin);
	}
	buf_done(&value);
	if (answer != TABLE_FAILED)
		return 0;
	log_warn("%s", e.text);
	failure_local(a, CODE(0, 4, 3, 0), why, "address mapping lookup failure");
	return -1;
}

int generic_envelope(struct delivery *d, struct failure *why)
{
	const struct queue_message *m = &d->r->m;

	d->sender = m->sender;
	d->rcpts = arena_alloc(d->a, (m->rcpt_count + 1) * sizeof *d->rcpts);
	for (size_t i = 0; i < m->rcpt_count; i++)
		d->rcpts[i] = m->rcpts[i].addr;
	if (cfg->generic.count == 0)
		return 0;
	for (size_t i = 0; i < m->rcpt_count; i++)
		if (map_address(d->a, &d->rcpts[i], why) < 0)
			return -1;
	return map_address(d->a, &d->sender, why);
}

static int map_in_field(struct header_edit *ed, struct str *address)
{
	return map_address(ed->life, address, ed->ctx);
}

int generic_header(struct arena *a, struct header *h, struct failure *why)
{
	struct header_edit ed = { .life = a, .edit = map_in_field, .ctx = why };

	for (size_t i = 0; i < h->count; i++) {
		struct header_field *f = &h->fields[i];
		struct str value;
		int r = header_parties(f->name) == HEADER_NEITHER ? 0 : header_edit(&ed, f->name, f->value, &value);

		if (r < 0)
			return -1;
		if (r > 0)
			header_replace(h, f, value, false);
	}
	return 0;
}
