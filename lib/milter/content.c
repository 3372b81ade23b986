/* lib/milter/content.c - headers, body and end of message to one filter. What needs no answer is gathered: with a filter that answers only
 * at the end, the whole message is one write and the verdict one read. When it may begin, end and change things is up to run.c.
 */
#include "lib/base/log.h"
#include "lib/milter/run.h"

#define HEADER_MAX 60000 /* octets of a field shown to filters; more would trip libmilter's packet limit */
#define IOV_MAX_CHUNKS 32
#define CHANGES_MAX (16u * 1024 * 1024) /* octets of requests kept for one message, beside a new body */

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

static bool over(const struct talk *t)
{
	return t->v.kind != MILTER_GO_ON || t->f->state != FILTER_OPEN || t->cut;
}

/* An answer is outstanding while it is read: cutting this talk short then costs the connection. */
static void await(struct talk *t, const struct event *ev)
{
	t->awaiting = true;
	filter_answer(t->run->s, t->f, ev, &t->v);
	t->awaiting = false;
}

/* An event with its payload already in f->out: leave it there when it gets no answer. */
static void sent(struct talk *t, const struct event *ev)
{
	if ((t->f->protocol & ev->nr) != 0)
		return;
	if (filter_flush(t->f, ev) < 0)
		t->v = t->f->standing;
	else
		await(t, ev);
}

/* The D packet is the same in front of each event of a stage: made once. */
static void put_macros(struct talk *t, const struct event *ev, struct buf *made)
{
	if (made->n == 0)
		macros_put(t->run->s, t->f, ev, made);
	buf_add(&t->f->out, buf_str(made));
}

static void tell_headers(struct talk *t)
{
	struct header *h = modifier_seen(&t->mod);
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
	macros_put(t->run->s, t->f, &event_eoh, &t->f->out);
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
		await(t, &event_body);
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
	return (t->f->protocol & WITHOUT_BODY) == 0 && t->run->m->body.n > 0;
}

static void tell_body(struct talk *t)
{
	struct str body = t->run->m->body;
	struct buf macros = { 0 };

	if (!wants_body(t))
		return;
	macros_put(t->run->s, t->f, &event_body, &macros);
	for (; body.n > 0 && !over(t) && filter_hears(t->f, &event_body); body = str_skip(body, PACKET_CHUNK))
		tell_chunk(t, str_sub(body, 0, PACKET_CHUNK), &macros);
	buf_done(&macros);
}

/* While the client still sends: what has come, in the same chunks as ever. The buffer grows under our feet whenever we wait, so a chunk is
 * copied out of it first. */
static void tell_stream(struct talk *t)
{
	bool silent = (t->f->protocol & NR_BODY) != 0, wanted = (t->f->protocol & WITHOUT_BODY) == 0;
	struct buf macros = { 0 };

	if (wanted)
		macros_put(t->run->s, t->f, &event_body, &macros);
	while (!over(t)) {
		size_t n = t->pending.n < PACKET_CHUNK ? t->pending.n : PACKET_CHUNK;

		if (n < PACKET_CHUNK && !t->run->whole) {
			run_wait(t->run);
			continue;
		}
		if (n == 0)
			break;
		if (wanted && filter_hears(t->f, &event_body)) {
			buf_add(&t->f->out, buf_str(&macros));
			packet_head(&t->f->out, 'B', n);
			buf_addn(&t->f->out, t->pending.p, n);
			if (filter_flush(t->f, &event_body) < 0)
				t->v = t->f->standing;
			else if (!silent)
				await(t, &event_body);
		}
		buf_consume(&t->pending, n);
		run_changed(t->run);
	}
	buf_done(&macros);
}

/* ---- the end ---- */

static bool is_final(char command)
{
	return str_chr(STR("acdrsty4"), command) >= 0;
}

static void out_of_place(struct talk *t, char command)
{
	log_warn("milter %s: unexpected filter response %s after event SMFIC_BODYEOB", t->f->set->endpoint, reply_name(command));
	filter_fail(t->f);
	t->v = t->f->standing;
}

/* Modifications, any number, then the final reply: kept until that is there, so that a filter that breaks off has changed nothing. */
static void collect(struct talk *t)
{
	struct reply r = { .command = 'p' };

	while (!is_final(r.command)) {
		enum request what = REQUEST_NONE;

		t->awaiting = true;
		if (filter_read(t->f, &event_eom, &r) == 0 && r.command != 'p')
			what = modifier_check(&t->mod, t->f, &r);
		t->awaiting = false;
		if (t->f->state == FILTER_OPEN && what == REQUEST_NONE && r.command != 'p' && !is_final(r.command))
			out_of_place(t, r.command);
		if (t->f->state != FILTER_OPEN) {
			t->v = t->f->standing;
			return;
		}
		if (what == REQUEST_KEEP && t->changes.n > CHANGES_MAX + t->run->m->body_max) {
			log_warn("milter %s: more changes to one message than a message could hold", t->f->set->endpoint);
			filter_fail(t->f);
			t->v = t->f->standing;
			return;
		}
		if (what == REQUEST_KEEP) {
			buf_addc(&t->changes, r.command);
			packet_str(&t->changes, buf_str(&t->f->in));
		}
	}
	filter_final(t->run->s, t->f, &event_eom, &r, &t->v);
	t->f->at_end = t->v.kind == MILTER_GO_ON;
	report_verdict(t->run->s, t->f, &event_eom, t->v.text);
}

static void make_changes(struct talk *t)
{
	struct str rest = buf_str(&t->changes);

	while (rest.n > 0) {
		char command = rest.p[0];
		struct str payload;
		struct reply r;

		rest = str_skip(rest, 1);
		packet_get_str(&rest, &payload);
		reply_parse(command, payload, &r); /* has been read once: cannot fail */
		modifier_apply(&t->mod, t->f, &r);
	}
	modifier_finish(&t->mod);
}

/* When neither body nor end wait for anything in between they leave together. */
static void tell_body_and_end(struct talk *t)
{
	bool together = !t->streams && run_may_end(t) && wants_body(t) && (t->f->protocol & NR_BODY) != 0 && t->f->skipped != 'B';
	struct buf tail = { 0 }, macros = { 0 };

	if (!together && !t->streams)
		tell_body(t);
	while (!over(t) && !run_may_end(t))
		run_wait(t->run);
	if (over(t))
		return;
	macros_put(t->run->s, t->f, &event_eom, &tail);
	packet_simple(&tail, 'E');
	if (together) {
		macros_put(t->run->s, t->f, &event_body, &macros);
		tell_chunks(t, t->run->m->body, &macros, &tail);
	} else {
		buf_add(&t->f->out, buf_str(&tail));
		if (filter_flush(t->f, &event_eom) < 0)
			t->v = t->f->standing;
	}
	buf_done(&macros);
	buf_done(&tail);
	t->f->skipped = 0;
	if (!over(t))
		collect(t);
}

void talk_content(struct talk *t)
{
	t->f->at_end = false;
	tell_headers(t);
	if (!over(t))
		tell_eoh(t);
	if (!over(t) && t->streams)
		tell_stream(t);
	if (!over(t))
		tell_body_and_end(t);
	while (!run_turn(t) && !t->cut)
		run_wait(t->run);
	if (t->v.kind == MILTER_GO_ON && t->f->state != FILTER_FAILED && !t->cut)
		make_changes(t);
}
