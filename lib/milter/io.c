/* lib/milter/io.c - bytes to and from one filter, each wait within the filter's timeouts, and what happens when that fails. */
#include <stdio.h>
#include <sys/socket.h>

#include "lib/base/log.h"
#include "lib/base/metrics.h"
#include "lib/milter/filter.h"

#define OUT_KEEP 65536 /* a larger packet buffer is returned to the heap after use */

/* What a filter's failure means to the mail, by default action. */
static const struct failure {
	enum milter_verdict kind;
	bool hold;
	struct code broken, misconfigured;
} failures[] = {
	[MILTER_ACCEPT] = { .kind = MILTER_GO_ON },
	[MILTER_REJECT] = { MILTER_REPLY, false, { 550, 5, 5, 0 }, { 451, 4, 3, 5 } },
	[MILTER_TEMPFAIL] = { MILTER_REPLY, false, { 451, 4, 7, 1 }, { 451, 4, 3, 5 } },
	[MILTER_QUARANTINE] = { .kind = MILTER_GO_ON, .hold = true },
	[MILTER_SHUTDOWN] = { MILTER_HANGUP, false, { 421, 4, 7, 1 }, { 421, 4, 3, 5 } },
};

void filter_close(struct filter *f)
{
	stream_close(f->io);
	f->io = NULL;
	buf_done(&f->out);
	reuse_left(f);
}

/* Not its fault, or nothing lost: it may be asked on a new connection. */
static bool forgivable(struct filter *f)
{
	bool reused = f->reused, dropped = f->dropped;

	if (reused)
		reuse_failed(f);
	f->dropped = false;
	return reused || dropped;
}

static void start_anew(struct filter *f)
{
	f->state = FILTER_NEW;
	f->standing = (struct verdict){ .kind = MILTER_GO_ON, .text = STR_NONE };
}

static int fail(struct filter *f, bool broken)
{
	const struct failure *fail = &failures[f->set->shadow ? MILTER_ACCEPT : f->set->on_failure];

	filter_close(f);
	if (forgivable(f)) {
		start_anew(f);
		return -1;
	}
	metric_count(METRIC_MILTER_FAILURES, f->set->endpoint, NULL, NULL);
	endpoint_failed(f->set, f->wait_us);
	f->said = '!';
	f->said_at = f->telling;
	f->state = FILTER_FAILED;
	f->standing = (struct verdict){ .kind = fail->kind, .hold = fail->hold, .code = broken ? fail->broken : fail->misconfigured };
	f->standing.text = !broken                    ? STR("Server configuration problem - try again later")
			   : fail->broken.smtp == 550 ? STR("Service unavailable")
						      : STR("Service unavailable - try again later");
	return -1;
}

int filter_fail(struct filter *f)
{
	return fail(f, true);
}

int filter_misconfigured(struct filter *f)
{
	return fail(f, false);
}

void filter_drop(struct filter *f)
{
	if (f->io == NULL)
		return;
	f->dropped = true;
	f->said = 'x';
	(void)shutdown(stream_fd(f->io), SHUT_RDWR);
}

void filter_abandon(struct filter *f)
{
	if (f->state != FILTER_OPEN && f->state != FILTER_PASSED)
		return;
	endpoint_worked(f->set);
	filter_close(f);
	start_anew(f);
}

void filter_lost(struct filter *f)
{
	filter_close(f);
	f->state = FILTER_FAILED;
	f->standing = (struct verdict){ .kind = MILTER_REPLY, .code = CODE(451, 4, 3, 0), .text = STR("Error: queue file write error") };
}

/* ---- waiting ---- */

static int64_t event_deadline(const struct filter *f, const struct event *ev)
{
	int64_t ms = ev->content ? f->set->content_ms : f->set->command_ms, left = f->set->budget_ms - f->spent_us / 1000;

	if (f->set->budget_ms > 0 && left < ms)
		ms = left > 0 ? left : 0;
	return f->until > 0 ? deadline_min(deadline_in(ms), f->until) : deadline_in(ms);
}

/* Count what a wait that began then took. */
static void charge(struct filter *f, int64_t began_us)
{
	f->wait_us = clock_mono_us() - began_us;
	f->spent_us += f->wait_us;
}

/* A deadline in whole milliseconds may come this much early. */
#define EARLY_US 2000

/* Whose patience ended, when it was not that of the filter's own timeout. */
static const char *limit(const struct filter *f, int result)
{
	if (result != STREAM_TIMEOUT)
		return "";
	if (f->set->budget_ms > 0 && (f->spent_us + EARLY_US) / 1000 >= f->set->budget_ms)
		return " (its budget for a message is used up)";
	return f->until > 0 && clock_mono_ms() >= f->until ? " (milter_message_time_limit)" : "";
}

const char *filter_trouble(const struct filter *f, int result)
{
	return result == STREAM_TIMEOUT ? "Connection timed out" : stream_strerror((enum stream_result)result, f->io);
}

/* ---- writing ---- */

static int write_failed(struct filter *f, const struct event *ev, int result)
{
	if (!f->dropped && !f->reused)
		log_warn("milter %s: can't write %s packet: %s%s", f->set->endpoint, ev->name, filter_trouble(f, result), limit(f, result));
	return filter_fail(f);
}

int filter_writev(struct filter *f, const struct event *ev, const struct iovec *iov, int count)
{
	int64_t began = clock_mono_us();
	int r;

	f->telling = ev->command;
	r = stream_writev(f->io, iov, count, event_deadline(f, ev));

	charge(f, began);
	if (r < 0)
		return write_failed(f, ev, r);
	if (f->out.cap > OUT_KEEP)
		buf_done(&f->out);
	buf_clear(&f->out);
	return 0;
}

int filter_flush(struct filter *f, const struct event *ev)
{
	struct iovec iov = { f->out.p, f->out.n };

	return f->out.n > 0 ? filter_writev(f, ev, &iov, 1) : 0;
}

/* ---- reading ---- */

static int read_failed(struct filter *f, const struct event *ev, const char *what, int result)
{
	if (!f->dropped && !f->reused)
		log_warn("milter %s: can't read %s reply packet %s: %s%s", f->set->endpoint, ev->name, what, filter_trouble(f, result),
			limit(f, result));
	return filter_fail(f);
}

static int unexpected(struct filter *f, const struct event *ev, char command)
{
	const char *name = reply_name(command);
	char number[16];

	if (name == NULL) {
		snprintf(number, sizeof number, "0x%02x", (unsigned char)command);
		name = number;
	}
	log_warn("milter %s: unexpected filter response %s after event %s", f->set->endpoint, name, ev->name);
	return filter_fail(f);
}

static int bad_length(struct filter *f, const struct event *ev, const unsigned char *head)
{
	log_warn("milter %s: unreasonable packet length: %u > %u after event %s", f->set->endpoint, packet_length(head), PACKET_REPLY_MAX,
		ev->name);
	return filter_fail(f);
}

static int read_payload(struct filter *f, size_t n, char *command, int64_t deadline)
{
	int result = stream_read_full(f->io, command, 1, deadline);

	if (result < 0)
		return result;
	buf_clear(&f->in);
	buf_reserve(&f->in, n);
	result = n > 0 ? stream_read_full(f->io, f->in.p, n, deadline) : 0;
	f->in.n = result == 0 ? n : 0;
	return result;
}

static int read_packet(struct filter *f, const struct event *ev, char *command)
{
	int64_t deadline = event_deadline(f, ev), began = clock_mono_us();
	unsigned char head[PACKET_HEAD] = { 0 };
	const char *part = "header";
	size_t n;
	int result;

	f->telling = ev->command;
	result = stream_read_full(f->io, head, 4, deadline);
	if (result == 0 && !packet_head_parse(head, &n, command))
		return bad_length(f, ev, head);
	if (result == 0) {
		part = "data";
		result = read_payload(f, n, command, deadline);
	}
	charge(f, began);
	return result < 0 ? read_failed(f, ev, part, result) : 0;
}

int filter_read(struct filter *f, const struct event *ev, struct reply *r)
{
	char command;

	if (read_packet(f, ev, &command) < 0)
		return -1;
	if (!reply_parse(command, buf_str(&f->in), r))
		return unexpected(f, ev, command);
	return 0;
}
