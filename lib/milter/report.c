/* lib/milter/report.c - what filters said of a message, in words for the log, and each verdict for the message's story. */
#include "lib/base/metrics.h"
#include "lib/base/json.h"
#include "lib/milter/filter.h"
#include "lib/net/story.h"

static const struct {
	char said;
	const char *word;
} words[] = {
	{ '!', "failed" },
	{ '4', "shutdown" },
	{ 'a', "accept" },
	{ 'c', "continue" },
	{ 'd', "discard" },
	{ 'r', "reject" },
	{ 's', "skip" },
	{ 't', "tempfail" },
	{ 'x', "cut-short" },
};

static const struct event *const events[] = { &event_negotiate, &event_connect, &event_helo, &event_mail, &event_rcpt, &event_data, &event_unknown,
	&event_header, &event_eoh, &event_body };

static const char *word_of(const struct filter *f)
{
	for (size_t i = 0; i < sizeof words / sizeof *words; i++)
		if (words[i].said == f->said)
			return words[i].word;
	return f->said_code.smtp >= 500 ? "reject" : "tempfail"; /* in its own words */
}

static void add_verdict(const struct filter *f, struct buf *out)
{
	if (f->said == 'y')
		buf_addf(out, " reply=%d", f->said_code.smtp);
	else
		buf_addf(out, " %s", word_of(f));
	for (size_t i = 0; i < sizeof events / sizeof *events; i++)
		if (events[i]->command == f->said_at)
			buf_addf(out, " at=%s", events[i]->name + sizeof "SMFIC_" - 1);
}

static void add_changes(const struct filter *f, struct buf *out)
{
	if (f->changed.n > 0)
		buf_addf(out, " changes=%.*s", STRF(f->changed));
	if (f->set->shadow)
		buf_addz(out, " (shadow)");
}

void report_verdict(struct milter_session *s, const struct filter *f, const struct event *ev, struct str text)
{
	int64_t us = ev->content ? f->spent_us : f->wait_us;
	struct buf event = { 0 }, said = { 0 };
	struct str id = STR_NONE;

	if (!story_wanted())
		return;
	macro_value(s, STR("i"), &id);
	buf_addf(&said, "filter %s", f->set->endpoint);
	add_verdict(f, &said);
	if (text.n > 0)
		buf_addf(&said, " (%.*s)", STRF(text));
	add_changes(f, &said);
	buf_addf(&said, ", %lld.%03lld ms", (long long)(us / 1000), (long long)(us % 1000));
	story_begin(&event, "filter", arena_z(s->life, id));
	json_add_member(&event, "text", buf_str(&said));
	json_add_number(&event, "us", us);
	if (ev == &event_eom)
		json_add_member(&event, "changes", buf_str(&f->diff));
	story_tell(&event);
	buf_done(&said);
}

void milter_report(const struct milter_session *s, struct buf *out)
{
	for (size_t i = 0; i < s->count; i++) {
		const struct filter *f = &s->filters[i];

		if (f->said == 0)
			continue;
		metric_count(METRIC_MILTER_VERDICTS, f->set->endpoint, word_of(f), NULL);
		metric_observe(METRIC_MILTER_SECONDS, (uint64_t)f->spent_us, f->set->endpoint, NULL);
		if (out->n > 0)
			buf_addz(out, "; ");
		buf_addz(out, f->set->endpoint);
		add_verdict(f, out);
		buf_addf(out, " delay=%lld.%03lld", (long long)(f->spent_us / 1000000), (long long)(f->spent_us / 1000 % 1000));
		add_changes(f, out);
	}
}
