/* lib/milter/content.c - headers, body and end of message to one filter. Events are gathered, also those that are answered: a small message is
 * one write, and the answers, in the same order, one read. When it may begin, end and change things is up to run.c.
 */
#include <string.h>

#include "lib/base/log.h"
#include "lib/milter/run.h"

#define HEADER_MAX 60000 /* octets of a field shown to filters; more would trip libmilter's packet limit */
#define IOV_MAX_CHUNKS 32
#define GATHER_MAX 65536 /* octets of packets that wait for those behind them */
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

/* ---- events that wait for their answers ---- */

static const struct event *const events[TALK_END] = { &event_header, &event_eoh, &event_body };

static bool owes(const struct talk *t)
{
	return t->owed[TALK_HEADER] + t->owed[TALK_EOH] + t->owed[TALK_BODY] + t->owed[TALK_END] > 0;
}

/* Read the answers that are owed, each for its event, but for that to the end, which is collect()'s; a verdict ends that. What a filter says
 * to events behind its verdict, or whether it says anything, is not known: it is not asked on that connection again. While answers are
 * outstanding, cutting this talk short costs the connection, too. */
static void hear(struct talk *t)
{
	t->awaiting = true;
	for (enum talk_event i = TALK_HEADER; i < TALK_END; i++)
		for (; t->owed[i] > 0 && !over(t); t->owed[i]--) {
			filter_answer(t->run->s, t->f, events[i], &t->v);
			if (t->f->skipped == event_header.command)
				endpoint_judged_early(t->f->set);
		}
	t->awaiting = false;
	if (!over(t))
		return;
	if (!t->cut)
		endpoint_judged_early(t->f->set);
	if (owes(t))
		filter_abandon(t->f);
	memset(t->owed, 0, sizeof t->owed);
}

static void write_out(struct talk *t, const struct event *ev, const struct iovec *iov, int count)
{
	t->awaiting = owes(t);
	if (filter_writev(t->f, ev, iov, count) < 0)
		t->v = t->f->standing;
	t->awaiting = false;
}

/* What was gathered leaves, the last of it ev, and is answered. */
static void settle(struct talk *t, const struct event *ev)
{
	struct iovec iov = { t->f->out.p, t->f->out.n };

	if (!owes(t))
		return;
	write_out(t, ev, &iov, 1);
	hear(t);
}

/* An event, its packet already in f->out: it stays there until there is much, or something to wait for. */
static void told(struct talk *t, enum talk_event which)
{
	const struct event *ev = events[which];

	if ((t->f->protocol & ev->nr) == 0)
		t->owed[which]++;
	if (!t->pipelines || t->f->out.n > GATHER_MAX)
		settle(t, ev);
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
		told(t, TALK_HEADER);
	}
	buf_done(&macros);
}

static void tell_eoh(struct talk *t)
{
	if ((t->f->protocol & WITHOUT_EOH) != 0 || !filter_hears(t->f, &event_eoh))
		return;
	macros_put(t->run->s, t->f, &event_eoh, &t->f->out);
	packet_simple(&t->f->out, 'N');
	told(t, TALK_EOH);
}

/* One chunk, with what was gathered before it, answered. */
static void tell_chunk(struct talk *t, struct str chunk, const struct buf *macros)
{
	struct iovec iov[2];

	buf_add(&t->f->out, buf_str(macros));
	packet_head(&t->f->out, 'B', chunk.n);
	iov[0] = (struct iovec){ t->f->out.p, t->f->out.n };
	iov[1] = (struct iovec){ (void *)(uintptr_t)chunk.p, chunk.n };
	if ((t->f->protocol & NR_BODY) == 0)
		t->owed[TALK_BODY]++;
	write_out(t, &event_body, iov, 2);
	hear(t);
}

/* All chunks, many to a write, behind what was gathered; with `tail` (what follows the body) in the last one. */
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
		write_out(t, &event_body, iov, n);
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

static void tell_body(struct talk *t, struct str body)
{
	struct buf macros = { 0 };

	macros_put(t->run->s, t->f, &event_body, &macros);
	for (; body.n > 0 && !over(t) && filter_hears(t->f, &event_body); body = str_skip(body, PACKET_CHUNK))
		tell_chunk(t, str_sub(body, 0, PACKET_CHUNK), &macros);
	buf_done(&macros);
}

/* While the client still sends: what has come, in the same chunks as ever. The buffer grows under our feet whenever we wait, so a chunk is
 * copied out of it first. */
static void tell_stream(struct talk *t)
{
	bool wanted = (t->f->protocol & WITHOUT_BODY) == 0;
	struct buf macros = { 0 }, copy = { 0 };

	settle(t, &event_eoh);
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
			buf_addn(&copy, t->pending.p, n);
			tell_chunk(t, buf_str(&copy), &macros);
			buf_clear(&copy);
		}
		buf_consume(&t->pending, n);
		run_changed(t->run);
	}
	buf_done(&macros);
	buf_done(&copy);
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

/* The end itself, with a body that was kept for it. */
static void tell_end(struct talk *t, struct str body)
{
	struct buf tail = { 0 }, macros = { 0 };

	macros_put(t->run->s, t->f, &event_eom, &tail);
	packet_simple(&tail, 'E');
	t->owed[TALK_END] = 1;
	if (body.n > 0) {
		macros_put(t->run->s, t->f, &event_body, &macros);
		if ((t->f->protocol & NR_BODY) == 0)
			t->owed[TALK_BODY]++;
		tell_chunks(t, body, &macros, &tail);
	} else {
		buf_add(&t->f->out, buf_str(&tail));
		write_out(t, &event_eom, &(struct iovec){ t->f->out.p, t->f->out.n }, 1);
	}
	buf_done(&macros);
	buf_done(&tail);
	hear(t);
	t->f->skipped = 0;
	t->owed[TALK_END] = 0;
	if (over(t))
		return;
	endpoint_heard_all(t->f->set);
	collect(t);
}

/* A message whose body is one chunk, or gets no answers, leaves as a whole when nobody else must agree to it before. Of a long one the filter
 * is heard first. */
static void tell_body_and_end(struct talk *t)
{
	struct str body = !t->streams && wants_body(t) && t->f->skipped != 'B' ? t->run->m->body : STR_NONE;
	bool single = body.n <= PACKET_CHUNK && t->pipelines;
	bool together = run_may_end(t) && (single || (t->f->protocol & NR_BODY) != 0);

	if (!together || !single)
		settle(t, &event_eoh);
	if (!together && body.n > 0 && !over(t))
		tell_body(t, body);
	while (!over(t) && !run_may_end(t))
		run_wait(t->run);
	if (!over(t))
		tell_end(t, together ? body : STR_NONE);
}

void talk_content(struct talk *t)
{
	t->f->at_end = false;
	t->pipelines = endpoint_pipelines(t->f->set);
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
