/* lib/milter/export.c - a session as text and descriptors, for another process, and its state on the way back. Both ends are ours, yet the
 * reader checks every length: a half-written text must not become a half-made filter.
 */
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/milter/filter.h"

#define EXPORT_MAGIC 0x4d4c5432u /* "MLT2" */
#define NO_FD UINT32_MAX

enum { FLAG_HELO = 1, FLAG_MAIL = 2, FLAG_DISCARDED = 4 };

static const enum milter_stage content_stages[] = { MILTER_EOH, MILTER_EOM };
#define CONTENT_STAGES (sizeof content_stages / sizeof *content_stages)

/* What there is to know at the content stages, as filters know it from Postfix; the rest belongs to the envelope. */
static bool for_content(struct str name)
{
	static const char *const names[] = { "_", "auth_authen", "auth_author", "auth_type", "client_addr", "client_name", "client_port",
		"client_ptr", "daemon_addr", "daemon_name", "daemon_port", "i", "j", "v" };

	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (str_eqz(name, names[i]))
			return true;
	return false;
}

/* Values of the macros in list. With duplicates when filters ask for the same: lists are short. */
static size_t put_values(struct milter_session *s, const char *list, struct buf *out)
{
	struct str rest = str_z(list), word;
	size_t count = 0;

	for (word = macro_word(&rest); word.n > 0; word = macro_word(&rest)) {
		struct str value;

		if (!for_content(word) || !macro_value(s, word, &value))
			continue;
		packet_str(out, word);
		packet_str(out, value);
		count++;
	}
	return count;
}

static void put_known(struct milter_session *s, struct buf *text)
{
	struct buf values = { 0 };
	size_t count = 0;

	for (size_t st = 0; st < CONTENT_STAGES; st++) {
		count += put_values(s, s->macros.names[content_stages[st]], &values);
		for (size_t i = 0; i < s->count; i++)
			count += put_values(s, s->filters[i].macros[content_stages[st]], &values);
	}
	packet_u32(text, (uint32_t)count);
	buf_add(text, buf_str(&values));
	buf_done(&values);
}

static void put_optional(struct buf *b, const char *z)
{
	packet_u32(b, z != NULL);
	packet_str(b, str_z(z));
}

static uint32_t short_ms(int64_t ms)
{
	return ms < 0 || ms > INT32_MAX ? INT32_MAX : (uint32_t)ms;
}

static void put_settings(struct buf *b, const struct milter_settings *set)
{
	packet_str(b, str_z(set->endpoint));
	packet_u32(b, short_ms(set->connect_ms));
	packet_u32(b, short_ms(set->command_ms));
	packet_u32(b, short_ms(set->content_ms));
	packet_u32(b, set->on_failure);
	packet_u32(b, short_ms(set->budget_ms));
	packet_u32(b, set->group);
	packet_u32(b, set->shadow);
	packet_u32(b, set->pipelining_after);
}

static void put_verdict(struct buf *b, const struct verdict *v)
{
	packet_u32(b, v->kind);
	packet_u32(b, v->hold);
	packet_u32(b, (uint32_t)v->code.smtp);
	packet_u32(b, v->code.c);
	packet_u32(b, v->code.s);
	packet_u32(b, v->code.d);
	packet_str(b, v->text);
}

static void put_filter(struct buf *b, const struct filter *f, uint32_t fd)
{
	put_settings(b, f->set);
	packet_u32(b, f->state);
	packet_u32(b, f->version);
	packet_u32(b, f->protocol);
	packet_u32(b, f->actions);
	packet_u32(b, short_ms(f->spent_us / 1000));
	packet_u32(b, (unsigned char)f->said);
	packet_u32(b, (unsigned char)f->said_at);
	packet_u32(b, (uint32_t)f->said_code.smtp);
	packet_u32(b, (unsigned char)f->skipped);
	for (size_t i = 0; i < CONTENT_STAGES; i++)
		put_optional(b, f->macros[content_stages[i]]);
	put_verdict(b, &f->standing);
	packet_u32(b, fd);
	packet_str(b, buf_str(&f->out));
}

void milter_session_export(struct milter_session *s, struct buf *text, int *fds, size_t *fd_count)
{
	size_t count = 0;

	packet_u32(text, EXPORT_MAGIC);
	packet_u32(text, (uint32_t)((s->helo_seen ? FLAG_HELO : 0) | (s->in_mail ? FLAG_MAIL : 0) | (s->discarded ? FLAG_DISCARDED : 0)));
	for (size_t i = 0; i < CONTENT_STAGES; i++)
		put_optional(text, s->macros.names[content_stages[i]]);
	put_optional(text, s->macros.defaults);
	put_known(s, text);
	packet_u32(text, (uint32_t)s->count);
	for (size_t i = 0; i < s->count; i++) {
		struct filter *f = &s->filters[i];
		uint32_t fd = NO_FD;

		if (f->io != NULL && count == MILTER_FDS_MAX) {
			log_warn("milter %s: more than %d filters in use: this one is left out", f->set->endpoint, MILTER_FDS_MAX);
			filter_fail(f);
		} else if (f->io != NULL) {
			fd = (uint32_t)count;
			fds[count++] = stream_fd(f->io);
		}
		put_filter(text, f, fd);
		buf_clear(&f->out); /* the other process says it, together with what follows */
	}
	*fd_count = count;
}

/* ---- the other process ---- */

struct import {
	struct str rest;
	struct arena *life;
	bool bad;
};

static uint32_t get_u32(struct import *in, uint32_t max)
{
	uint32_t v = 0;

	if (!packet_get_u32(&in->rest, &v) || v > max) {
		in->bad = true;
		return 0;
	}
	return v;
}

static struct str get_str(struct import *in)
{
	struct str s = STR_NONE;

	if (!packet_get_str(&in->rest, &s))
		in->bad = true;
	return s;
}

static const char *get_optional(struct import *in)
{
	bool there = get_u32(in, 1) != 0;
	struct str s = get_str(in);

	return there ? arena_z(in->life, s) : NULL;
}

static void get_settings(struct import *in, struct milter_settings *set)
{
	set->endpoint = arena_z(in->life, get_str(in));
	set->connect_ms = get_u32(in, INT32_MAX);
	set->command_ms = get_u32(in, INT32_MAX);
	set->content_ms = get_u32(in, INT32_MAX);
	set->on_failure = get_u32(in, MILTER_SHUTDOWN);
	set->budget_ms = get_u32(in, INT32_MAX);
	set->group = get_u32(in, FILTERS_MAX);
	set->shadow = get_u32(in, 1) != 0;
	set->pipelining_after = get_u32(in, INT32_MAX);
}

static void get_verdict(struct import *in, struct verdict *v)
{
	v->kind = get_u32(in, MILTER_HANGUP);
	v->hold = get_u32(in, 1) != 0;
	v->code.smtp = (short)get_u32(in, 599);
	v->code.c = (unsigned char)get_u32(in, 5);
	v->code.s = (unsigned short)get_u32(in, 999);
	v->code.d = (unsigned short)get_u32(in, 999);
	v->text = arena_dup(in->life, get_str(in));
}

static void get_filter(struct import *in, struct filter *f, const int *fds, size_t fd_count, bool *used)
{
	struct milter_settings *set = arena_alloc(in->life, sizeof *set);
	uint32_t fd;
	struct str out;

	get_settings(in, set);
	f->set = set;
	f->state = get_u32(in, FILTER_FAILED);
	f->version = get_u32(in, UINT32_MAX);
	f->protocol = get_u32(in, UINT32_MAX);
	f->actions = get_u32(in, ACTION_ALL);
	f->spent_us = (int64_t)get_u32(in, INT32_MAX) * 1000;
	f->said = (char)get_u32(in, 255);
	f->said_at = (char)get_u32(in, 255);
	f->said_code.smtp = (short)get_u32(in, 599);
	f->skipped = (char)get_u32(in, 255);
	for (size_t i = 0; i < CONTENT_STAGES; i++)
		f->macros[content_stages[i]] = get_optional(in);
	get_verdict(in, &f->standing);
	fd = get_u32(in, NO_FD);
	out = get_str(in);
	if (in->bad || (fd != NO_FD && (fd >= fd_count || used[fd])) ||
		((f->state == FILTER_OPEN || f->state == FILTER_PASSED) && fd == NO_FD)) {
		in->bad = true;
		f->state = FILTER_NEW;
		return;
	}
	buf_add(&f->out, out);
	if (fd != NO_FD) {
		used[fd] = true;
		f->io = stream_new(fds[fd]);
	}
}

static void get_known(struct import *in, struct milter_session *s)
{
	size_t count = get_u32(in, (uint32_t)(in->rest.n / 8));
	struct str *known = arena_alloc(in->life, 2 * count * sizeof *known);

	for (size_t i = 0; i < 2 * count; i++)
		known[i] = arena_dup(in->life, get_str(in));
	s->known = known;
	s->known_count = count;
}

static void get_session(struct import *in, struct milter_session *s)
{
	uint32_t flags;

	if (get_u32(in, UINT32_MAX) != EXPORT_MAGIC)
		in->bad = true;
	flags = get_u32(in, FLAG_HELO | FLAG_MAIL | FLAG_DISCARDED);
	s->helo_seen = (flags & FLAG_HELO) != 0;
	s->in_mail = (flags & FLAG_MAIL) != 0;
	s->discarded = (flags & FLAG_DISCARDED) != 0;
	for (size_t i = 0; i < CONTENT_STAGES; i++)
		s->macros.names[content_stages[i]] = get_optional(in);
	s->macros.defaults = get_optional(in);
	get_known(in, s);
}

static void close_unused(const int *fds, size_t fd_count, const bool *used)
{
	for (size_t i = 0; i < fd_count; i++)
		if (!used[i])
			close(fds[i]);
}

struct milter_session *milter_session_import(
	struct arena *life, struct str text, const int *fds, size_t fd_count, milter_macro_fn *macro, void *macro_ctx, struct err *e)
{
	static const struct milter_chain empty = { .count = 0 };
	static const struct milter_macros none = { .defaults = NULL };
	struct import in = { .rest = text, .life = life };
	struct milter_session *s = milter_session_new(life, &empty, &none, macro, macro_ctx);
	bool used[MILTER_FDS_MAX] = { false };

	check(fd_count <= MILTER_FDS_MAX);
	get_session(&in, s);
	s->count = in.bad ? 0 : get_u32(&in, FILTERS_MAX);
	s->filters = arena_alloc(life, s->count * sizeof *s->filters);
	for (size_t i = 0; i < s->count && !in.bad; i++)
		get_filter(&in, &s->filters[i], fds, fd_count, used);
	close_unused(fds, fd_count, used);
	if (!in.bad)
		return s;
	milter_session_release(s);
	err_temp(e, "malformed milter session");
	return NULL;
}

/* ---- and back ---- */

void milter_session_export_state(struct milter_session *s, struct buf *text)
{
	packet_u32(text, EXPORT_MAGIC);
	packet_u32(text, (uint32_t)s->count);
	for (size_t i = 0; i < s->count; i++) {
		packet_u32(text, s->filters[i].state);
		packet_u32(text, (unsigned char)s->filters[i].skipped);
		packet_u32(text, short_ms(s->filters[i].wait_us / 1000));
		packet_u32(text, s->filters[i].at_end);
		put_verdict(text, &s->filters[i].standing);
	}
}

static void get_state(struct import *in, struct filter *f)
{
	enum filter_state state = get_u32(in, FILTER_FAILED);
	char skipped = (char)get_u32(in, 255);
	int64_t waited_us = (int64_t)get_u32(in, INT32_MAX) * 1000;
	bool at_end = get_u32(in, 1) != 0;
	struct verdict standing;

	get_verdict(in, &standing);
	if (in->bad || f->io == NULL)
		return;
	f->state = state;
	f->skipped = skipped;
	f->at_end = at_end;
	f->standing = standing;
	if (state == FILTER_FAILED)
		endpoint_failed(f->set, waited_us);
	else
		endpoint_worked(f->set);
	if (state == FILTER_FAILED || state == FILTER_DONE || state == FILTER_NEW)
		filter_close(f);
}

void milter_session_import_state(struct milter_session *s, struct str text)
{
	struct import in = { .rest = text, .life = s->life };

	if (get_u32(&in, UINT32_MAX) != EXPORT_MAGIC || get_u32(&in, FILTERS_MAX) != s->count)
		in.bad = true;
	for (size_t i = 0; i < s->count && !in.bad; i++)
		get_state(&in, &s->filters[i]);
	for (size_t i = 0; i < s->count && in.bad; i++)
		if (s->filters[i].io != NULL)
			filter_lost(&s->filters[i]);
}
