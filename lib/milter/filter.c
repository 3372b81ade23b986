/* lib/milter/filter.c - one event told to one filter, and what its answer means. */
#include "lib/milter/filter.h"

#include "lib/base/log.h"

#define OUT_MAX 65536 /* octets kept back for events without answer before they are written */

const struct event event_connect = { 'C', "SMFIC_CONNECT", MILTER_CONNECT, WITHOUT_CONNECT, NR_CONNECT, 0, false, true };
const struct event event_helo = { 'H', "SMFIC_HELO", MILTER_HELO, WITHOUT_HELO, NR_HELO, 0, false, true };
const struct event event_mail = { 'M', "SMFIC_MAIL", MILTER_MAIL, WITHOUT_MAIL, NR_MAIL, 0, false, false };
const struct event event_rcpt = { 'R', "SMFIC_RCPT", MILTER_RCPT, WITHOUT_RCPT, NR_RCPT, 0, false, false };
const struct event event_data = { 'T', "SMFIC_DATA", MILTER_DATA, WITHOUT_DATA, NR_DATA, 4, false, false };
const struct event event_unknown = { 'U', "SMFIC_UNKNOWN", MILTER_UNKNOWN, WITHOUT_UNKNOWN, NR_UNKNOWN, 3, false, false };
const struct event event_header = { 'L', "SMFIC_HEADER", MILTER_EOH, WITHOUT_HEADERS, NR_HEADER, 0, true, false };
const struct event event_eoh = { 'N', "SMFIC_EOH", MILTER_EOH, WITHOUT_EOH, NR_EOH, 0, true, false };
const struct event event_body = { 'B', "SMFIC_BODY", MILTER_EOM, WITHOUT_BODY, NR_BODY, 0, true, false };
const struct event event_eom = { 'E', "SMFIC_BODYEOB", MILTER_EOM, 0, 0, 0, true, false };

/* A verdict at connect or helo is one on the whole session: the filter is not asked again. */
static void finish_session(struct milter_session *s, struct filter *f, const struct verdict *v)
{
	f->standing = *v;
	f->standing.text = arena_dup(s->life, v->text);
	f->state = FILTER_DONE;
	filter_close(f);
}

static void refuse(struct verdict *v, enum milter_verdict kind, struct code code, struct str text)
{
	*v = (struct verdict){ .kind = kind, .code = code, .text = text };
}

static void replycode(struct filter *f, const struct event *ev, struct str text, struct verdict *v)
{
	buf_clear(&f->text);
	if (!reply_text_parse(text, &v->code, &f->text)) {
		log_warn("milter %s: malformed reply: %.*s after event %s", f->set->endpoint, STRF(text), ev->name);
		filter_misconfigured(f);
		*v = f->standing;
		return;
	}
	refuse(v, v->code.smtp == 421 ? MILTER_HANGUP : MILTER_REPLY, v->code, buf_str(&f->text));
}

/* The last word counts; of a shadow, the first objection, because the talk goes on after it. */
static void record(struct filter *f, const struct event *ev, char said, struct code code)
{
	if (f->set->shadow && f->said != 0 && str_chr(STR("acs"), f->said) < 0)
		return;
	f->said = said;
	f->said_at = ev->command;
	f->said_code = code;
}

static void accepted(struct milter_session *s, struct filter *f, const struct event *ev, struct verdict *v)
{
	if (ev->whole_session)
		finish_session(s, f, v);
	else if (ev != &event_unknown) /* there is nothing to accept about an unknown command */
		f->state = FILTER_PASSED;
}

static void discard(struct filter *f, const struct event *ev, struct verdict *v)
{
	if (ev->whole_session || ev == &event_unknown)
		log_warn("milter %s: DISCARD action is not allowed for %s", f->set->endpoint, ev->name);
	else
		v->kind = MILTER_DISCARD;
}

bool filter_final(struct milter_session *s, struct filter *f, const struct event *ev, const struct reply *r, struct verdict *v)
{
	*v = (struct verdict){ .kind = MILTER_GO_ON, .text = STR_NONE };
	record(f, ev, r->command, CODE(0, 0, 0, 0));
	switch (r->command) {
	case 'c':
		return true;
	case 's':
		f->skipped = ev->command;
		return true;
	case 'a':
		accepted(s, f, ev, v);
		return true;
	case 'd':
		discard(f, ev, v);
		return true;
	case 'r':
		refuse(v, MILTER_REPLY, CODE(550, 5, 7, 1), STR("Command rejected"));
		break;
	case 't':
		refuse(v, MILTER_REPLY, CODE(451, 4, 7, 1), STR("Service unavailable - try again later"));
		break;
	case '4':
		refuse(v, MILTER_HANGUP, CODE(421, 4, 7, 0), STR("Server closing connection"));
		break;
	case 'y':
		replycode(f, ev, r->a, v);
		if (f->state != FILTER_FAILED)
			record(f, ev, 'y', v->code);
		break;
	default:
		return false;
	}
	if (ev->whole_session && f->state == FILTER_OPEN)
		finish_session(s, f, v);
	return true;
}

bool filter_hears(struct filter *f, const struct event *ev)
{
	if (f->state != FILTER_OPEN || f->version < ev->since)
		return false;
	if (f->skipped == ev->command)
		return false;
	f->skipped = 0;
	return true;
}

void filter_new_message(struct filter *f)
{
	f->spent_us = 0;
	f->said = 0;
	f->until = 0;
	buf_clear(&f->changed);
	buf_clear(&f->diff);
}

/* A kept connection had not survived, or the filter was restarted: the greeting again, on a new one. True: an answer will come. */
static bool greet_again(struct milter_session *s, struct filter *f)
{
	if (filter_connect(s, f) == 0)
		return filter_say(s, f, &event_connect, buf_str(&s->connect));
	f->now = f->standing;
	return false;
}

bool filter_say(struct milter_session *s, struct filter *f, const struct event *ev, struct str payload)
{
	bool reused;

	f->now = (struct verdict){ .kind = MILTER_GO_ON, .text = STR_NONE };
	if (f->state == FILTER_DONE || f->state == FILTER_FAILED)
		f->now = f->standing;
	if (!filter_hears(f, ev))
		return false;
	macros_put(s, f, ev, &f->out); /* also when the event itself is unwanted: later stages may look at them */
	if ((f->protocol & ev->no) != 0)
		return false;
	f->at_end = false;
	packet_head(&f->out, ev->command, payload.n);
	buf_add(&f->out, payload);
	if ((f->protocol & ev->nr) != 0 && f->out.n <= OUT_MAX)
		return false;
	reused = f->reused;
	if (filter_flush(f, ev) < 0) {
		f->now = f->standing;
		return reused && greet_again(s, f);
	}
	return (f->protocol & ev->nr) == 0;
}

/* The next reply; false: there will be none, and *v is what that means. */
static bool next_reply(struct milter_session *s, struct filter *f, const struct event *ev, struct reply *r, struct verdict *v)
{
	bool reused = f->reused;

	if (filter_read(f, ev, r) == 0) {
		if (reused)
			reuse_worked(f);
		return true;
	}
	if (reused && greet_again(s, f))
		return next_reply(s, f, ev, r, v);
	*v = reused ? f->now : f->standing;
	return false;
}

void filter_answer(struct milter_session *s, struct filter *f, const struct event *ev, struct verdict *v)
{
	struct reply r;
	bool hold = false;

	for (;;) {
		if (!next_reply(s, f, ev, &r, v))
			return;
		if (filter_final(s, f, ev, &r, v))
			break;
		if (r.command == 'q') /* meant for the end of message, tolerated earlier */
			hold = true;
		else if (r.command != 'p') {
			log_warn("milter %s: unexpected filter response %s after event %s", f->set->endpoint, reply_name(r.command),
				ev->name);
			filter_fail(f);
			*v = f->standing;
			return;
		}
	}
	if (v->kind == MILTER_GO_ON)
		v->hold |= hold;
	if (!ev->content || r.command != 'c')
		report_verdict(s, f, ev, v->text);
}

void filter_tell(struct milter_session *s, struct filter *f, const struct event *ev, struct str payload, struct verdict *v)
{
	if (filter_say(s, f, ev, payload))
		filter_answer(s, f, ev, v);
	else
		*v = f->now;
	filter_shadow(f, ev, v);
}

/* What it would have ended goes on without it: it does not hear of this message any more, unless it was about one recipient. */
void filter_shadow(struct filter *f, const struct event *ev, struct verdict *v)
{
	if (!f->set->shadow || (v->kind == MILTER_GO_ON && !v->hold))
		return;
	*v = (struct verdict){ .kind = MILTER_GO_ON, .text = STR_NONE };
	f->standing = *v;
	if (f->state == FILTER_OPEN && ev != &event_rcpt && ev != &event_unknown)
		f->state = FILTER_PASSED;
}
