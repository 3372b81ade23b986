/* lib/milter/stages.c - a session: the filters in order, and the envelope events told to each until one objects. */
#include "lib/milter/filter.h"

#include "lib/base/log.h"

#define FAREWELL_MS 1000 /* the last words to a filter wait no longer than this */

static void forget(void *arg)
{
	struct milter_session *s = arg;

	for (size_t i = 0; i < s->count; i++) {
		struct filter *f = &s->filters[i];

		filter_close(f);
		buf_done(&f->in);
		buf_done(&f->text);
		buf_done(&f->changed);
		buf_done(&f->diff);
	}
	buf_done(&s->connect);
	buf_done(&s->helo);
}

struct milter_session *milter_session_new(
	struct arena *life, const struct milter_chain *chain, const struct milter_macros *macros, milter_macro_fn *macro, void *macro_ctx)
{
	struct milter_session *s = arena_alloc(life, sizeof *s);

	*s = (struct milter_session){ .life = life, .count = chain->count, .macros = *macros, .macro = macro, .macro_ctx = macro_ctx };
	s->filters = arena_alloc(life, s->count * sizeof *s->filters);
	for (size_t i = 0; i < s->count; i++)
		s->filters[i].set = &chain->filters[i];
	arena_defer(life, forget, s); /* whatever happens, no connection outlives the session */
	return s;
}

void session_answer(const struct filter *f, const struct verdict *v, struct milter_answer *out)
{
	*out = (struct milter_answer){ .verdict = v->kind, .code = v->code, .text = v->text, .hold = v->hold };
	if (v->kind == MILTER_GO_ON)
		out->text = STR_NONE;
	else if (f != NULL)
		out->filter = f->set->endpoint;
}

/* ---- one event, all filters ---- */

/* Connect, and for a session already under way say what the filter missed of it. */
static void join(struct milter_session *s, struct filter *f, const struct event *ev, struct verdict *v)
{
	*v = (struct verdict){ .kind = MILTER_GO_ON, .text = STR_NONE };
	if (filter_connect(s, f) < 0)
		*v = f->standing;
	else if (ev != &event_connect)
		filter_tell(s, f, &event_connect, buf_str(&s->connect), v);
	if (v->kind == MILTER_GO_ON && f->state == FILTER_OPEN && s->helo_seen && ev != &event_connect && ev != &event_helo)
		filter_tell(s, f, &event_helo, buf_str(&s->helo), v);
}

/* Members of a group hear it at once, and are waited for in turn: each answer must be read, the first objection counts. */
static struct filter *tell_group(
	struct milter_session *s, size_t from, size_t end, const struct event *ev, struct str payload, struct verdict *v)
{
	struct filter *who = &s->filters[from];
	bool awaited[FILTERS_MAX], hold = false;

	for (size_t i = from; i < end; i++) {
		struct filter *f = &s->filters[i];
		struct verdict joined = { .kind = MILTER_GO_ON, .text = STR_NONE };

		if (f->state == FILTER_NEW && (ev == &event_connect || ev == &event_mail))
			join(s, f, ev, &joined);
		awaited[i - from] = joined.kind == MILTER_GO_ON && filter_say(s, f, ev, payload);
		if (joined.kind != MILTER_GO_ON)
			f->now = joined;
	}
	for (size_t i = from; i < end; i++) {
		struct filter *f = &s->filters[i];
		struct verdict one = f->now;

		if (awaited[i - from])
			filter_answer(s, f, ev, &one);
		filter_shadow(f, ev, &one);
		hold |= one.hold;
		if (v->kind == MILTER_GO_ON && one.kind != MILTER_GO_ON) {
			*v = one;
			who = f;
		}
	}
	v->hold = hold;
	return who;
}

static size_t group_end(const struct milter_session *s, size_t i)
{
	unsigned group = s->filters[i].set->group;

	for (i++; i < s->count && group != 0 && s->filters[i].set->group == group; i++)
		;
	return i;
}

/* Tell all filters, in order, until one has another opinion than "go on". */
static void tell_all(struct milter_session *s, const struct event *ev, struct str payload, struct milter_answer *out)
{
	struct verdict v = { .kind = MILTER_GO_ON, .text = STR_NONE };
	struct filter *f = NULL;
	bool hold = false;

	for (size_t i = 0; i < s->count && v.kind == MILTER_GO_ON && !s->discarded; i = group_end(s, i)) {
		f = tell_group(s, i, group_end(s, i), ev, payload, &v);
		hold |= v.hold;
	}
	if (v.kind == MILTER_DISCARD)
		s->discarded = true;
	v.hold = hold;
	session_answer(f, &v, out);
}

/* ---- events ---- */

void milter_connect(struct milter_session *s, struct str name, char family, uint16_t port, struct str addr, struct milter_answer *out)
{
	struct buf *b = &s->connect;

	buf_clear(b);
	packet_z(b, name);
	buf_addc(b, family);
	if (family != 'U') {
		buf_addc(b, (char)(port >> 8));
		buf_addc(b, (char)(port & 0xff));
		packet_z(b, addr);
	}
	tell_all(s, &event_connect, buf_str(b), out);
}

static void put_abort(struct milter_session *s)
{
	for (size_t i = 0; i < s->count; i++) {
		struct filter *f = &s->filters[i];

		if (f->state != FILTER_OPEN && f->state != FILTER_PASSED)
			continue;
		f->state = FILTER_OPEN;
		packet_simple(&f->out, 'A');
	}
}

void milter_helo(struct milter_session *s, struct str helo, struct milter_answer *out)
{
	buf_clear(&s->helo);
	packet_z(&s->helo, helo);
	tell_all(s, &event_helo, buf_str(&s->helo), out);
	if (s->helo_seen)
		put_abort(s); /* the state of the HELO before ends here, as filters know it from Postfix */
	s->helo_seen = true;
}

void milter_forget_helo(struct milter_session *s)
{
	milter_abort(s);
	if (s->helo_seen)
		put_abort(s);
	s->helo_seen = false;
}

static void tell_path(
	struct milter_session *s, const struct event *ev, struct str path, const struct str *args, size_t argc, struct milter_answer *out)
{
	struct buf b = { 0 };

	packet_z(&b, path);
	for (size_t i = 0; i < argc; i++)
		packet_z(&b, args[i]);
	tell_all(s, ev, buf_str(&b), out);
	buf_done(&b);
}

void milter_mail(struct milter_session *s, struct str sender, const struct str *args, size_t argc, struct milter_answer *out)
{
	s->in_mail = true;
	for (size_t i = 0; i < s->count; i++)
		filter_new_message(&s->filters[i]);
	tell_path(s, &event_mail, sender, args, argc, out);
}

void milter_rcpt(struct milter_session *s, struct str rcpt, const struct str *args, size_t argc, struct milter_answer *out)
{
	tell_path(s, &event_rcpt, rcpt, args, argc, out);
}

static bool wants_rejected(const struct filter *f)
{
	return f->state == FILTER_OPEN && (f->protocol & WANT_REJECTED_RCPT) != 0;
}

bool milter_wants_rejected_rcpt(const struct milter_session *s)
{
	for (size_t i = 0; i < s->count; i++)
		if (wants_rejected(&s->filters[i]))
			return true;
	return false;
}

void milter_rcpt_rejected(struct milter_session *s, struct str rcpt, const struct str *args, size_t argc)
{
	struct buf b = { 0 };
	struct verdict v;

	packet_z(&b, rcpt);
	for (size_t i = 0; i < argc; i++)
		packet_z(&b, args[i]);
	for (size_t i = 0; i < s->count && !s->discarded; i++)
		if (wants_rejected(&s->filters[i]))
			filter_tell(s, &s->filters[i], &event_rcpt, buf_str(&b), &v);
	buf_done(&b);
}

void milter_data(struct milter_session *s, struct milter_answer *out)
{
	tell_all(s, &event_data, STR_NONE, out);
}

void milter_unknown(struct milter_session *s, struct str line, struct milter_answer *out)
{
	struct buf b = { 0 };

	packet_z(&b, line);
	tell_all(s, &event_unknown, buf_str(&b), out);
	buf_done(&b);
}

void milter_abort(struct milter_session *s)
{
	s->discarded = false;
	if (!s->in_mail)
		return;
	s->in_mail = false;
	put_abort(s);
}

/* Written if the socket takes it; a filter that does not listen any more will see the connection close. */
static void farewell(struct milter_session *s)
{
	for (size_t i = 0; i < s->count; i++) {
		struct filter *f = &s->filters[i];

		if (f->io != NULL) {
			bool keep = reuse_wanted(f);
			struct iovec iov;

			if (keep)
				buf_clear(&f->out); /* nothing but ABORTs of a message that ended */
			packet_simple(&f->out, keep ? 'K' : 'Q');
			iov = (struct iovec){ f->out.p, f->out.n };
			if (stream_writev(f->io, &iov, 1, deadline_in(FAREWELL_MS)) < 0)
				log_debug("milter %s: closed before QUIT", f->set->endpoint);
			else if (keep)
				reuse_keep(f);
		}
	}
	forget(s);
}

void milter_session_close(struct milter_session *s)
{
	milter_forget_helo(s);
	farewell(s);
}

void milter_session_quit(struct milter_session *s)
{
	farewell(s);
}

void milter_session_release(struct milter_session *s)
{
	forget(s);
}
