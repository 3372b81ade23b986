/* lib/milter/content.c - headers, body and end of message to each filter in turn. What needs no answer is gathered: with a filter that
 * answers only at the end, the whole message is one write and the verdict one read.
 */
#include <string.h>

#include "lib/base/log.h"
#include "lib/milter/filter.h"

#define HEADER_MAX 60000 /* octets of a field shown to filters; more would trip libmilter's packet limit */
#define IOV_MAX_CHUNKS 32

struct talk { /* the content stage of one filter */
	struct milter_session *s;
	struct filter *f;
	struct modifier *mod;
	struct verdict v; /* anything but GO_ON ends it, and so does a state other than OPEN */
};

static bool over(const struct talk *t)
{
	return t->v.kind != MILTER_GO_ON || t->f->state != FILTER_OPEN;
}

/* A field's value as filters see it: folds end in LF alone; one blank after the colon is not part of it unless asked for. */
static void put_value(struct buf *out, struct str value, bool leading_space)
{
	if (!leading_space && value.n > 0 && value.p[0] == ' ')
		value = str_skip(value, 1);
	value = str_sub(value, 0, HEADER_MAX);
	for (size_t i = 0; i < value.n; i++)
		if ((value.p[i] != '\r' || i + 1 == value.n || value.p[i + 1] != '\n') && value.p[i] != '\0')
			buf_addc(out, value.p[i]);
	buf_addc(out, '\0');
}

/* An event with its payload already in f->out: leave it there when it gets no answer. */
static void sent(struct talk *t, const struct event *ev)
{
	if ((t->f->protocol & ev->nr) != 0)
		return;
	if (filter_flush(t->f, ev) < 0)
		t->v = t->f->standing;
	else
		filter_answer(t->s, t->f, ev, &t->v);
}

/* The D packet is the same in front of each event of a stage: made once. */
static void put_macros(struct talk *t, const struct event *ev, struct buf *made)
{
	if (made->n == 0)
		macros_put(t->s, t->f, ev, made);
	buf_add(&t->f->out, buf_str(made));
}

static void tell_headers(struct talk *t)
{
	struct header *h = t->mod->m->header;
	struct buf macros = { 0 };

	if ((t->f->protocol & WITHOUT_HEADERS) != 0)
		return;
	for (size_t i = 0; i < h->count && !over(t); i++) {
		const struct header_field *field = &h->fields[i];
		size_t at;

		if (field->deleted || field->hidden || !filter_hears(t->f, &event_header))
			continue;
		put_macros(t, &event_header, &macros);
		at = packet_begin(&t->f->out, 'L');
		packet_z(&t->f->out, str_sub(field->name, 0, HEADER_MAX / 16));
		put_value(&t->f->out, field->value, (t->f->protocol & LEADING_SPACE) != 0);
		packet_end(&t->f->out, at);
		sent(t, &event_header);
	}
	buf_done(&macros);
}

static void tell_eoh(struct talk *t)
{
	if ((t->f->protocol & WITHOUT_EOH) != 0 || !filter_hears(t->f, &event_eoh))
		return;
	macros_put(t->s, t->f, &event_eoh, &t->f->out);
	packet_simple(&t->f->out, 'N');
	sent(t, &event_eoh);
}

/* One chunk, answered. */
static void tell_chunk(struct talk *t, struct str chunk, const struct buf *macros)
{
	struct iovec iov[2];

	buf_add(&t->f->out, buf_str(macros));
	packet_head(&t->f->out, 'B', chunk.n);
	iov[0] = (struct iovec){ t->f->out.p, t->f->out.n };
	iov[1] = (struct iovec){ (void *)(uintptr_t)chunk.p, chunk.n };
	if (filter_writev(t->f, &event_body, iov, 2) < 0)
		t->v = t->f->standing;
	else
		filter_answer(t->s, t->f, &event_body, &t->v);
}

/* Chunks without answers, many to a write; with `tail` (what follows the body) in the last one. */
static void tell_chunks(struct talk *t, struct str body, const struct buf *macros, const struct buf *tail)
{
	struct buf full = { 0 }, last = { 0 };
	size_t rest = body.n % PACKET_CHUNK;

	buf_add(&full, buf_str(macros));
	packet_head(&full, 'B', PACKET_CHUNK);
	buf_add(&last, buf_str(macros));
	packet_head(&last, 'B', rest);
	while (!over(t)) {
		struct iovec iov[2 * IOV_MAX_CHUNKS + 2] = { { t->f->out.p, t->f->out.n } };
		int n = t->f->out.n > 0;

		for (size_t i = 0; i < IOV_MAX_CHUNKS && body.n > 0; i++) {
			const struct buf *head = body.n >= PACKET_CHUNK ? &full : &last;
			struct str chunk = str_sub(body, 0, PACKET_CHUNK);

			iov[n++] = (struct iovec){ head->p, head->n };
			iov[n++] = (struct iovec){ (void *)(uintptr_t)chunk.p, chunk.n };
			body = str_skip(body, chunk.n);
		}
		if (body.n == 0)
			iov[n++] = (struct iovec){ tail->p, tail->n };
		if (filter_writev(t->f, &event_body, iov, n) < 0)
			t->v = t->f->standing;
		if (body.n == 0)
			break;
	}
	buf_done(&full);
	buf_done(&last);
}

/* An empty body is not sent at all: libmilter would drop the connection. */
static bool wants_body(const struct talk *t)
{
	return (t->f->protocol & WITHOUT_BODY) == 0 && t->mod->m->body.n > 0;
}

static void tell_body(struct talk *t)
{
	struct str body = t->mod->m->body;
	struct buf macros = { 0 };

	if (!wants_body(t))
		return;
	macros_put(t->s, t->f, &event_body, &macros);
	for (; body.n > 0 && !over(t) && filter_hears(t->f, &event_body); body = str_skip(body, PACKET_CHUNK))
		tell_chunk(t, str_sub(body, 0, PACKET_CHUNK), &macros);
	buf_done(&macros);
}

/* Modifications, any number, then one final reply. Nothing here is bounded by count: each is carried out and forgotten; the client's
 * patience bounds the time. */
static void end_answer(struct talk *t)
{
	struct reply r;

	for (;;) {
		int done;

		if (filter_read(t->s, t->f, &event_eom, &r) < 0)
			break;
		if (r.command == 'p')
			continue;
		done = modifier_apply(t->mod, t->f, &r);
		if (t->f->state == FILTER_FAILED)
			break;
		if (done != 0)
			continue;
		modifier_finish(t->mod);
		if (filter_final(t->s, t->f, &event_eom, &r, &t->v))
			return;
		log_warn("milter %s: unexpected filter response %s after event SMFIC_BODYEOB", t->f->set->endpoint, reply_name(r.command));
		filter_fail(t->f);
		break;
	}
	t->v = t->f->standing;
}

/* When neither body nor end wait for anything in between they leave together. */
static void tell_body_and_end(struct talk *t)
{
	bool together = wants_body(t) && (t->f->protocol & NR_BODY) != 0 && t->f->skipped != 'B';
	struct buf tail = { 0 }, macros = { 0 };

	if (!together)
		tell_body(t);
	if (over(t))
		return;
	macros_put(t->s, t->f, &event_eom, &tail);
	packet_simple(&tail, 'E');
	if (together) {
		macros_put(t->s, t->f, &event_body, &macros);
		tell_chunks(t, t->mod->m->body, &macros, &tail);
	} else {
		buf_add(&t->f->out, buf_str(&tail));
		if (filter_flush(t->f, &event_eom) < 0)
			t->v = t->f->standing;
	}
	buf_done(&macros);
	buf_done(&tail);
	t->f->skipped = 0;
	if (!over(t))
		end_answer(t);
}

static void tell_content(struct talk *t)
{
	tell_headers(t);
	if (!over(t))
		tell_eoh(t);
	if (!over(t))
		tell_body_and_end(t);
}

/* The message is to be held because a filter could not look at it. */
static void hold(struct modifier *mod)
{
	struct err e = ERR_INIT;

	if (mod->m->quarantine(mod->m->ctx, STR("default_action"), &e) < 0 && mod->e.kind == ERR_NONE)
		mod->e = e;
}

/* A change that could not be made: our own trouble, or the changed message is too large. */
static void refuse_for_error(struct milter_session *s, const struct modifier *mod, struct verdict *v)
{
	v->kind = MILTER_REPLY;
	v->code = mod->e.code.smtp != 0 ? mod->e.code : CODE(451, 4, 3, 0);
	buf_clear(&s->text);
	buf_addz(&s->text, mod->e.text);
	v->text = buf_str(&s->text);
}

void milter_content(struct milter_session *s, struct milter_mail *m, struct milter_answer *out)
{
	struct verdict v = { .kind = s->discarded ? MILTER_DISCARD : MILTER_GO_ON, .text = STR_NONE };
	struct filter *f = NULL;

	for (size_t i = 0; i < s->count && v.kind == MILTER_GO_ON; i++) {
		struct modifier mod = { .m = m };
		struct talk t = { .s = s, .f = &s->filters[i], .mod = &mod };

		f = t.f;
		if (f->state == FILTER_DONE || f->state == FILTER_FAILED)
			t.v = f->standing;
		else
			tell_content(&t);
		if (t.v.hold)
			hold(&mod);
		if (mod.e.kind != ERR_NONE && (t.v.kind == MILTER_GO_ON || t.v.kind == MILTER_DISCARD))
			refuse_for_error(s, &mod, &t.v);
		buf_done(&mod.body);
		v = t.v;
	}
	session_answer(s, f, &v, out);
}
