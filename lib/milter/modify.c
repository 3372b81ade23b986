/* lib/milter/modify.c - what a filter asks to be changed at the end of a message, carried out on the stored message at once, so that the
 * next request, and the next filter, find the changed one.
 */
#include <stdlib.h>
#include <string.h>

#include "lib/base/log.h"
#include "lib/mail/addr.h"
#include "lib/milter/filter.h"

/* Remember the first failure; the conversation goes on to its end all the same, to stay in step. */
static int failed(struct modifier *mod, const struct err *e)
{
	if (mod->e.kind == ERR_NONE) {
		mod->e = *e;
		if (mod->e.kind == ERR_NONE)
			mod->e.kind = ERR_TEMP;
	}
	return -1;
}

static int outcome(struct modifier *mod, int result, const struct err *e)
{
	return result < 0 ? failed(mod, e) : 1;
}

/* ---- header fields ---- */

static bool name_valid(struct str name)
{
	for (size_t i = 0; i < name.n; i++)
		if ((unsigned char)name.p[i] <= ' ' || (unsigned char)name.p[i] >= 127 || name.p[i] == ':')
			return false;
	return name.n > 0;
}

/* Deleted fields are dropped for good, so that positions in the list are positions in the message. */
static void compact(struct header *h)
{
	size_t n = 0;

	for (size_t i = 0; i < h->count; i++)
		if (!h->fields[i].deleted)
			h->fields[n++] = h->fields[i];
	h->count = n;
}

static void insert_text(struct header *h, size_t at, struct str text)
{
	struct str value = text, name = str_cut(&value, ':');

	header_insert(h, at, name, value, false);
}

/* Put "name: value" at `at` (0 = first), replacing the field there or not. Without LEADING_SPACE the blank is ours to add. */
static int put_field(struct modifier *mod, struct filter *f, size_t at, bool replace, const struct reply *r)
{
	struct header *h = mod->m->header;
	struct buf field = { 0 }, before = { 0 };
	struct err e = ERR_INIT;
	int result = 1;

	/* Made a proper field first (folds, stray line ends), so that header checks see what would be stored. */
	if ((f->protocol & LEADING_SPACE) == 0)
		buf_addc(&field, ' ');
	buf_add(&field, r->b);
	header_insert(h, at, r->a, buf_str(&field), false);
	buf_clear(&field);
	buf_add(&field, h->fields[at].text);
	if (mod->m->check_header != NULL)
		result = mod->m->check_header(mod->m->ctx, &field, &before, &e);
	memmove(&h->fields[at], &h->fields[at + 1], (h->count - at - 1) * sizeof *h->fields);
	h->count--;
	if (result > 0) {
		if (replace)
			h->fields[at].deleted = true;
		insert_text(h, replace ? at + 1 : at, buf_str(&field));
		if (before.n > 0)
			insert_text(h, at, buf_str(&before));
		compact(h);
	}
	buf_done(&field);
	buf_done(&before);
	return result < 0 ? failed(mod, &e) : 1;
}

static int bad_header(struct filter *f, const char *what, const struct reply *r)
{
	struct buf name = { 0 };

	buf_add_safe(&name, r->a);
	log_warn("milter %s: %s: header name \"%.*s\", index %d", f->set->endpoint, what, STRF(name), (int)r->index);
	buf_done(&name);
	return filter_misconfigured(f);
}

static int add_header(struct modifier *mod, struct filter *f, const struct reply *r)
{
	if (!name_valid(r->a))
		return bad_header(f, "bad add header name", r);
	return put_field(mod, f, mod->m->header->count, false, r);
}

/* Positions count every field, our own Received included: 0 is above it. */
static int insert_header(struct modifier *mod, struct filter *f, const struct reply *r)
{
	size_t at = r->index;

	if (r->index > INT32_MAX)
		return bad_header(f, "bad insert header index", r);
	if (!name_valid(r->a))
		return bad_header(f, "bad insert header name", r);
	return put_field(mod, f, at < mod->m->header->count ? at : mod->m->header->count, false, r);
}

/* Occurrences count from 1 among the fields the filter can see; 0 means 1. An empty value deletes. */
static int change_header(struct modifier *mod, struct filter *f, const struct reply *r)
{
	struct header *h = mod->m->header;
	size_t wanted = r->index > 0 ? r->index : 1;

	if (r->index > INT32_MAX)
		return bad_header(f, "bad change header index", r);
	if (!name_valid(r->a))
		return bad_header(f, "bad change header name", r);
	for (size_t i = 0; i < h->count; i++) {
		if (h->fields[i].hidden || !str_eqi(h->fields[i].name, r->a) || --wanted > 0)
			continue;
		if (r->b.n > 0)
			return put_field(mod, f, i, true, r);
		h->fields[i].deleted = true;
		compact(h);
		return 1;
	}
	return r->b.n > 0 ? put_field(mod, f, h->count, false, r) : 1;
}

/* ---- envelope ---- */

/* The first address in text, with or without brackets, in internal form; empty for "<>". Bounded by the reply's size. */
static struct str first_address(struct modifier *mod, struct str text)
{
	struct arena *a = mod->m->header->life;
	struct str *list;
	struct addr parsed;
	const char *why;

	text = str_trim(text);
	if (addr_parse_path(text, ADDR_UTF8, &parsed, &why) == (ptrdiff_t)text.n && parsed.domain.n > 0)
		return addr_unquote(a, arena_printf(a, "%.*s@%.*s", STRF(parsed.local), STRF(parsed.domain)));
	return header_addresses(a, text, &list) > 0 ? list[0] : STR_NONE;
}

static int change_sender(struct modifier *mod, struct filter *f, const struct reply *r)
{
	struct err e = ERR_INIT;

	(void)f; /* nothing about it can be the filter's misconfiguration */
	return outcome(mod, mod->m->change_sender(mod->m->ctx, first_address(mod, r->a), r->b, &e), &e);
}

static int add_rcpt(struct modifier *mod, struct filter *f, const struct reply *r)
{
	struct str rcpt = first_address(mod, r->a);
	struct err e = ERR_INIT;

	if (rcpt.n == 0) {
		log_warn("milter %s: ignoring request to add an empty recipient", f->set->endpoint);
		return 1;
	}
	return outcome(mod, mod->m->add_rcpt(mod->m->ctx, rcpt, r->b, &e), &e);
}

static int del_rcpt(struct modifier *mod, struct filter *f, const struct reply *r)
{
	struct err e = ERR_INIT;

	(void)f; /* as above */
	return outcome(mod, mod->m->del_rcpt(mod->m->ctx, first_address(mod, r->a), &e), &e);
}

static int quarantine(struct modifier *mod, struct filter *f, const struct reply *r)
{
	struct err e = ERR_INIT;

	(void)f; /* as above */
	return outcome(mod, mod->m->quarantine(mod->m->ctx, r->a, &e), &e);
}

/* ---- body ---- */

static bool ends_in(const struct buf *b, char c)
{
	return b->n > 0 && b->p[b->n - 1] == c;
}

/* CRLF lines in one piece over all packets: a bare LF becomes CRLF, a bare CR a blank, lest a host further on takes it for a line end. A CR
 * that ended a packet may belong to the LF of the next. */
static void add_body(struct buf *body, struct str piece)
{
	while (piece.n > 0) {
		ptrdiff_t stop = str_any(piece, "\r\n");
		size_t run = stop < 0 ? piece.n : (size_t)stop;

		if (ends_in(body, '\r') && piece.p[0] != '\n')
			body->p[body->n - 1] = ' ';
		buf_addn(body, piece.p, run);
		if (stop < 0)
			return;
		if (piece.p[run] == '\n' && !ends_in(body, '\r'))
			buf_addc(body, '\r');
		buf_addc(body, piece.p[run]);
		piece = str_skip(piece, run + 1);
	}
}

static int replace_body(struct modifier *mod, struct filter *f, const struct reply *r)
{
	struct err e = ERR_INIT;

	if (mod->replaced) {
		log_warn("milter %s: body replacement requests can't be mixed with other requests", f->set->endpoint);
		return filter_misconfigured(f);
	}
	mod->replacing = true;
	if (mod->m->body_max > 0 && mod->body.n + r->a.n > mod->m->body_max) {
		err_set(&e, ERR_PERM, CODE(552, 5, 3, 4), "Error: message file too big");
		return failed(mod, &e);
	}
	add_body(&mod->body, r->a);
	return 1;
}

void modifier_finish(struct modifier *mod)
{
	struct err e = ERR_INIT;

	if (!mod->replacing)
		return;
	mod->replacing = false;
	mod->replaced = true;
	if (mod->body.n > 0 && !ends_in(&mod->body, '\n'))
		add_body(&mod->body, STR("\n"));
	if (mod->e.kind == ERR_NONE && mod->m->replace_body(mod->m->ctx, buf_str(&mod->body), &e) < 0)
		failed(mod, &e);
	buf_done(&mod->body);
}

static const struct modification { /* a request that was not announced in the negotiation is honoured, as Postfix does */
	char command;
	int (*apply)(struct modifier *mod, struct filter *f, const struct reply *r);
} modifications[] = {
	{ '+', add_rcpt },
	{ '-', del_rcpt },
	{ '2', add_rcpt },
	{ 'b', replace_body },
	{ 'e', change_sender },
	{ 'h', add_header },
	{ 'i', insert_header },
	{ 'm', change_header },
	{ 'q', quarantine },
};

int modifier_apply(struct modifier *mod, struct filter *f, const struct reply *r)
{
	for (size_t i = 0; i < sizeof modifications / sizeof *modifications; i++) {
		if (modifications[i].command != r->command)
			continue;
		if (r->command != 'b')
			modifier_finish(mod);
		if (mod->e.kind != ERR_NONE)
			return 1; /* the message is lost already: only listen */
		return modifications[i].apply(mod, f, r);
	}
	return 0;
}
