/* lib/milter/modify.c - what a filter asks to be changed at the end of a message, carried out on the stored message at once, so that the
 * next request, and the next filter, find the changed one.
 */
#include <stdlib.h>
#include <string.h>

#include "lib/base/log.h"
#include "lib/mail/addr.h"
#include "lib/milter/filter.h"
#include "lib/net/story.h"

#define DIFF_MAX 4096 /* octets of a story about what a filter changed */
#define DIFF_LINE 300
#define CHANGES_SHOWN 200 /* octets of a log line about what a filter changed */

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
	return result < 0 ? failed(mod, e) : 0;
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

/* ---- a filter's own view ---- */

void modifier_begin(struct modifier *mod, struct milter_mail *m, bool own_view)
{
	*mod = (struct modifier){ .m = m, .own_view = own_view };
	compact(m->header);
	if (!own_view)
		return;
	mod->seen = (struct header){ .life = m->header->life, .count = m->header->count, .cap = m->header->count };
	mod->seen.fields = arena_alloc(m->header->life, (m->header->count + 1) * sizeof *mod->seen.fields);
	memcpy(mod->seen.fields, m->header->fields, m->header->count * sizeof *mod->seen.fields);
}

struct header *modifier_seen(struct modifier *mod)
{
	return mod->own_view ? &mod->seen : mod->m->header;
}

/* A field is the same field in every view, whatever became of its text. */
static const char *identity(const struct header_field *f)
{
	return f->origin != NULL ? f->origin : f->text.p;
}

/* Where the message now has the field a filter knows; false: another filter removed it. */
static bool find_live(const struct header *live, const struct header_field *field, size_t *at)
{
	for (*at = 0; *at < live->count; ++*at)
		if (identity(&live->fields[*at]) == identity(field))
			return true;
	return false;
}

/* What stands in front of a position in the filter's view stands in front of it in the message. */
static size_t live_position(struct modifier *mod, size_t at)
{
	const struct header *live = mod->m->header;
	size_t found;

	if (!mod->own_view)
		return at;
	if (at >= mod->seen.count)
		return live->count;
	while (at-- > 0)
		if (find_live(live, &mod->seen.fields[at], &found))
			return found + 1;
	return 0;
}

static void put_text(struct header *h, size_t at, struct str text, const char *origin)
{
	struct str value = text, name = str_cut(&value, ':');

	header_insert(h, at, name, value, false);
	h->fields[at].origin = origin;
}

/* In the message, and in the filter's view of it. */
static void insert_text(struct modifier *mod, size_t at, struct str text, const char *origin)
{
	size_t live = live_position(mod, at);

	put_text(mod->m->header, live, text, origin);
	if (mod->own_view)
		put_text(&mod->seen, at, text, identity(&mod->m->header->fields[live]));
}

static void remove_field(struct modifier *mod, size_t at)
{
	size_t live = at;

	if (!mod->own_view || find_live(mod->m->header, &mod->seen.fields[at], &live)) {
		mod->m->header->fields[live].deleted = true;
		compact(mod->m->header);
	}
	if (mod->own_view) {
		mod->seen.fields[at].deleted = true;
		compact(&mod->seen);
	}
}

/* ---- adding, changing, deleting ---- */

/* A proper field (folds, stray line ends mended), so that header checks see what would be stored. Without LEADING_SPACE the blank is ours.
 */
static void make_field(struct modifier *mod, const struct filter *f, const struct reply *r, struct buf *out)
{
	struct header one;
	struct buf value = { 0 };

	if ((f->protocol & LEADING_SPACE) == 0)
		buf_addc(&value, ' ');
	buf_add(&value, r->b);
	header_init(&one, mod->m->header->life);
	header_insert(&one, 0, r->a, buf_str(&value), false);
	buf_add(out, one.fields[0].text);
	buf_done(&value);
}

/* Put "name: value" at `at` (0 = first) of what the filter sees, replacing the field there or not. */
static int put_field(struct modifier *mod, struct filter *f, size_t at, bool replace, const struct reply *r)
{
	struct buf field = { 0 }, before = { 0 };
	struct err e = ERR_INIT;
	int result = 1;

	make_field(mod, f, r, &field);
	if (mod->m->check_header != NULL)
		result = mod->m->check_header(mod->m->ctx, &field, &before, &e);
	if (result > 0) {
		const char *origin = replace ? identity(&modifier_seen(mod)->fields[at]) : NULL;

		if (replace)
			remove_field(mod, at);
		insert_text(mod, at, buf_str(&field), origin);
		if (before.n > 0)
			insert_text(mod, at, buf_str(&before), NULL);
	}
	buf_done(&field);
	buf_done(&before);
	return result < 0 ? failed(mod, &e) : 0;
}

static int add_header(struct modifier *mod, struct filter *f, const struct reply *r)
{
	return put_field(mod, f, modifier_seen(mod)->count, false, r);
}

/* Positions count every field, our own Received included: 0 is above it. */
static int insert_header(struct modifier *mod, struct filter *f, const struct reply *r)
{
	size_t at = r->index, count = modifier_seen(mod)->count;

	return put_field(mod, f, at < count ? at : count, false, r);
}

/* Where the field is that "change header" means; count: nowhere. Occurrences count from 1 among the fields the filter can see; 0 means 1. */
static size_t field_meant(const struct header *h, const struct reply *r)
{
	size_t wanted = r->index > 0 ? r->index : 1;

	for (size_t i = 0; i < h->count; i++)
		if (!h->fields[i].hidden && str_eqi(h->fields[i].name, r->a) && --wanted == 0)
			return i;
	return h->count;
}

/* An empty value deletes. */
static int change_header(struct modifier *mod, struct filter *f, const struct reply *r)
{
	struct header *h = modifier_seen(mod);
	size_t at = field_meant(h, r);

	if (r->b.n > 0)
		return put_field(mod, f, at, at < h->count, r);
	if (at < h->count)
		remove_field(mod, at);
	return 0;
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
		return 0;
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
	(void)f; /* what it did wrong was found before */
	add_body(&mod->body, r->a);
	return 0;
}

void modifier_finish(struct modifier *mod)
{
	struct err e = ERR_INIT;

	if (!mod->replaces)
		return;
	mod->replaces = false;
	if (mod->body.n > 0 && !ends_in(&mod->body, '\n'))
		add_body(&mod->body, STR("\n"));
	if (mod->e.kind == ERR_NONE && mod->m->replace_body(mod->m->ctx, buf_str(&mod->body), &e) < 0)
		failed(mod, &e);
	buf_done(&mod->body);
}

/* ---- requests, checked before any is carried out ---- */

static void bad_header(struct filter *f, const char *what, const struct reply *r)
{
	struct buf name = { 0 };

	buf_add_safe(&name, r->a);
	log_warn("milter %s: bad %s: header name \"%.*s\", index %d after event SMFIC_BODYEOB", f->set->endpoint, what, STRF(name), (int)r->index);
	buf_done(&name);
	filter_misconfigured(f);
}

static void check_header(struct modifier *mod, struct filter *f, const struct reply *r)
{
	(void)mod; /* any message has room for it */
	if (!name_valid(r->a))
		bad_header(f, "header name", r);
	else if (r->index > INT32_MAX)
		bad_header(f, "header index", r);
}

/* One body, in consecutive pieces. */
static void check_body(struct modifier *mod, struct filter *f, const struct reply *r)
{
	struct err e = ERR_INIT;

	if (mod->replaces && mod->last != 'b') {
		log_warn("milter %s: body replacement requests can't be mixed with other requests after event SMFIC_BODYEOB", f->set->endpoint);
		filter_misconfigured(f);
		return;
	}
	mod->replaces = true;
	mod->body_size += r->a.n;
	if (mod->m->body_max > 0 && mod->body_size > mod->m->body_max) {
		err_set(&e, ERR_PERM, CODE(552, 5, 3, 4), "Error: message file too big");
		failed(mod, &e);
	}
}

static const struct modification {
	char command;
	uint32_t actions; /* any of these had to be negotiated; 0: none (holding a message changes nothing in it) */
	const char *mark; /* how the log names it; with a name when there is one */
	void (*check)(struct modifier *mod, struct filter *f, const struct reply *r); /* NULL: always possible */
	int (*apply)(struct modifier *mod, struct filter *f, const struct reply *r);
} modifications[] = {
	{ '+', ACTION_ADDRCPT, "rcpt+", NULL, add_rcpt },
	{ '-', ACTION_DELRCPT, "rcpt-", NULL, del_rcpt },
	{ '2', ACTION_ADDRCPT_PAR | ACTION_ADDRCPT, "rcpt+", NULL, add_rcpt },
	{ 'b', ACTION_CHGBODY, "body", check_body, replace_body },
	{ 'e', ACTION_CHGFROM, "from", NULL, change_sender },
	{ 'h', ACTION_ADDHDRS | ACTION_CHGHDRS, "+", check_header, add_header },
	{ 'i', ACTION_ADDHDRS | ACTION_CHGHDRS, "+", check_header, insert_header },
	{ 'm', ACTION_CHGHDRS | ACTION_ADDHDRS, "~", check_header, change_header },
	{ 'q', 0, "hold", NULL, quarantine },
};

static bool is_header(char command)
{
	return command == 'h' || command == 'i' || command == 'm';
}

/* "+X-A,~Subject,-X-Old,body": bounded, in the order of the requests, consecutive pieces of a body counted once. */
static void note_change(struct filter *f, const struct modification *m, const struct reply *r)
{
	struct str mark = r->command == 'm' && r->b.n == 0 ? STR("-") : str_z(m->mark);

	if (f->changed.n > CHANGES_SHOWN || (r->command == 'b' && str_ends(buf_str(&f->changed), mark)))
		return;
	if (f->changed.n > 0)
		buf_addc(&f->changed, ',');
	buf_add(&f->changed, mark);
	if (is_header(r->command))
		buf_add_safe(&f->changed, str_sub(r->a, 0, CHANGES_SHOWN / 4));
}

static void diff_line(struct filter *f, const char *mark, struct str name, struct str text)
{
	struct str rest = str_sub(text, 0, DIFF_LINE), word;

	if (f->diff.n > DIFF_MAX)
		return;
	buf_addz(&f->diff, mark);
	if (name.n > 0) {
		buf_addc(&f->diff, ' ');
		buf_add_safe(&f->diff, str_sub(name, 0, DIFF_LINE));
		buf_addc(&f->diff, ':');
	}
	while ((word = str_word(&rest, " \t\r\n")).n > 0) { /* unfolded */
		buf_addc(&f->diff, ' ');
		buf_add_safe(&f->diff, word);
	}
	buf_addc(&f->diff, '\n');
}

/* What the filter saw, and what is to be there instead. */
static void note_diff(struct modifier *mod, struct filter *f, const struct modification *m, const struct reply *r)
{
	const struct header *h = modifier_seen(mod);
	size_t at = r->command == 'm' ? field_meant(h, r) : h->count;

	if (!story_wanted() || r->command == 'b')
		return;
	if (at < h->count)
		diff_line(f, "-", STR_NONE, h->fields[at].text);
	if (is_header(r->command) && (r->command != 'm' || r->b.n > 0))
		diff_line(f, "+", r->a, r->b);
	else if (!is_header(r->command))
		diff_line(f, "", str_z(m->mark), r->a);
}

static void refused(struct filter *f, const struct reply *r)
{
	log_warn("milter %s: %s after event SMFIC_BODYEOB, which was not negotiated or is forbidden by \"changes\"", f->set->endpoint,
		reply_name(r->command));
	filter_fail(f);
}

static const struct modification *find(char command)
{
	for (size_t i = 0; i < sizeof modifications / sizeof *modifications; i++)
		if (modifications[i].command == command)
			return &modifications[i];
	return NULL;
}

enum request modifier_check(struct modifier *mod, struct filter *f, const struct reply *r)
{
	const struct modification *m = find(r->command);

	if (m == NULL)
		return REQUEST_NONE;
	if (m->actions != 0 && (f->actions & m->actions) == 0)
		refused(f, r);
	else if (m->check != NULL)
		m->check(mod, f, r);
	mod->last = r->command;
	if (f->state != FILTER_OPEN)
		return REQUEST_FAILED;
	note_change(f, m, r);
	note_diff(mod, f, m, r);
	return mod->e.kind != ERR_NONE || f->set->shadow ? REQUEST_DROP : REQUEST_KEEP;
}

void modifier_apply(struct modifier *mod, struct filter *f, const struct reply *r)
{
	if (mod->e.kind == ERR_NONE) /* else the message is lost already */
		find(r->command)->apply(mod, f, r);
}
