/* mta/smtpd/cmd_data.c - DATA and BDAT: the content arrives. RFC 5321 sections 4.1.1.4 and 4.5.2, RFC 3030. */
#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/mail/line.h"
#include "mta/smtpd/data.h"
#include "mta/smtpd/milter.h"
#include "mta/smtpd/proxy_filter.h"
#include "mta/smtpd/session.h"
#include "mta/smtpd/settings.h"

#define FEED_MAX 16384 /* octets of input turned into content at a time: what a session holds while it reads */

/* With smtpd_per_request_deadline the client earns time by sending. */
static void earn_time(struct session *s, size_t octets)
{
	if (s->deadline != 0)
		s->deadline = deadline_min(s->deadline + (int64_t)octets * 1000 / cf.min_data_rate, deadline_in(cf.timeout_ms));
}

/* Is this the moment for content? */
static int content_sequence(struct session *s)
{
	if (s->t.rcpts.count > 0)
		return 0;
	if (!s->t.open)
		return session_reply(s, CODE(503, 5, 5, 1), "Error: need RCPT command");
	return session_reply(s, CODE(554, 5, 5, 1), "Error: no valid recipients");
}

/* 0, or -1 with the reply in s->ruling. */
static int ask_before_content(struct session *s)
{
	if (restrict_data(s) == CHECK_REJECT || session_milter_data(s) < 0)
		return -1;
	return proxy_filter_wanted(s) ? proxy_filter_data(s) : 0;
}

/* The connection broke in the middle of content. */
static int broken(struct session *s, int rc)
{
	session_end_badly(s, rc);
	s->hangup = true;
	return -1;
}

static void note_lines(struct content *c, const struct line_in *l)
{
	c->bare_lf = l->bare_lf;
	c->flags |= (l->eight_bit ? QUEUE_8BIT : 0u) | (l->dot_lines ? QUEUE_DOTS : 0u) | (l->long_lines ? QUEUE_LONG_LINES : 0u);
}

/* Straight from the stream's input buffer; a piece that line_in_feed() cannot decide on yet waits there for more. */
static int read_content(struct session *s, struct content *c)
{
	struct line_in l = { .newline = cf.bare_newline == BARE_REJECT ? LINE_REJECT : LINE_NORMALIZE,
		.at_start = true, .crlf_before = true, .replace_stray = cf.replace_stray };
	struct buf lines = { 0 };
	struct str view;
	size_t undecided = 0;
	bool end = false;
	int rc = STREAM_OK;

	while (!end && rc == STREAM_OK) {
		rc = stream_peek_more(s->io, undecided, &view, session_deadline(s));
		if (rc != STREAM_OK)
			break;
		view = str_sub(view, 0, FEED_MAX);
		buf_clear(&lines);
		undecided = line_in_feed(&l, view, &lines, &end);
		stream_consume(s->io, undecided);
		s->t.received_octets += undecided;
		earn_time(s, undecided);
		undecided = undecided > 0 ? 0 : view.n;
		content_add(s, c, buf_str(&lines));
	}
	buf_done(&lines);
	note_lines(c, &l);
	return rc;
}

int cmd_data(struct session *s, struct str args)
{
	struct content *c;
	int rc;

	if (s->t.bdat != BDAT_NONE)
		return session_reply(s, CODE(503, 5, 5, 1), "Error: DATA after BDAT");
	if (content_sequence(s) < 0)
		return -1;
	if (args.n > 0)
		return session_reply(s, CODE(501, 5, 5, 4), "Syntax: DATA");
	if (ask_before_content(s) < 0)
		return session_reply_with(s, &s->ruling);
	if (cf.forbid_pipelining && stream_buffered(s->io) > 0)
		return session_refuse_early(s);
	c = content_begin(s);
	session_reply(s, CODE(354, 0, 0, 0), "End data with <CR><LF>.<CR><LF>");
	if (stream_flush(s->io, session_deadline(s)) < 0)
		return broken(s, STREAM_EOF);
	rc = read_content(s, c);
	return rc == STREAM_OK ? content_finish(s, c, STR_NONE) : broken(s, rc);
}

/* ---- BDAT ---- */

struct chunk {
	uint64_t size;
	bool last;
};

static bool parse_chunk(struct str args, struct chunk *k)
{
	struct str size = str_word(&args, " \t"), last = str_word(&args, " \t");

	k->last = str_eqiz(last, "LAST");
	return str_to_u64(size, INT64_MAX, &k->size) && (k->last || last.n == 0) && str_trim(args).n == 0;
}

/* Exactly the announced octets, whatever becomes of them: c NULL throws them away. */
static int read_chunk(struct session *s, struct content *c, const struct chunk *k)
{
	uint64_t left = k->size;
	struct str view;
	int rc;

	while (left > 0) {
		if (stream_buffered(s->io) == 0 && stream_flush(s->io, session_deadline(s)) < 0)
			return STREAM_EOF;
		rc = stream_peek(s->io, &view, session_deadline(s));
		if (rc != STREAM_OK)
			return rc;
		view = str_sub(view, 0, left < FEED_MAX ? (size_t)left : FEED_MAX);
		if (c != NULL)
			content_add_chunk(s, c, view, false);
		stream_consume(s->io, view.n);
		s->t.received_octets += view.n;
		earn_time(s, view.n);
		left -= view.n;
	}
	if (c != NULL && k->last)
		content_add_chunk(s, c, STR_NONE, true);
	return STREAM_OK;
}

/* This chunk and the rest of its message are lost. Its octets must be gone before the reply is. */
static int skip_chunk(struct session *s, const struct chunk *k)
{
	int rc = read_chunk(s, NULL, k);

	if (rc != STREAM_OK)
		return broken(s, rc);
	s->t.bdat = BDAT_FAILED;
	return 0;
}

/* With the last chunk ends the transaction, whatever came of it. */
static int answer_chunk(struct session *s, const struct chunk *k, const struct reply *r)
{
	session_reply_with(s, r);
	if (k->last)
		session_forget_mail(s);
	return -1;
}

static int refuse_chunk(struct session *s, const struct chunk *k, struct code code, const char *text)
{
	if (skip_chunk(s, k) < 0)
		return -1;
	return answer_chunk(s, k, &(struct reply){ code, str_z(text) });
}

static int chunk_after_error(struct session *s, const struct chunk *k)
{
	struct str text = arena_printf(session_scratch(s), "Discarded %llu bytes after earlier error", (unsigned long long)k->size);

	if (skip_chunk(s, k) < 0)
		return -1;
	return answer_chunk(s, k, &(struct reply){ CODE(551, 5, 0, 0), text });
}

static bool chunk_too_big(const struct session *s, const struct chunk *k)
{
	uint64_t so_far = s->t.content != NULL ? s->t.content->size : 0;

	return cf.message_limit > 0 && (so_far > (uint64_t)cf.message_limit || k->size > (uint64_t)cf.message_limit - so_far);
}

/* What must hold before the first chunk; 0, or -1 when the chunk was consumed and answered. */
static int first_chunk(struct session *s, const struct chunk *k)
{
	bool refused;

	if (s->t.rcpts.count == 0 && !s->t.open)
		return refuse_chunk(s, k, CODE(503, 5, 5, 1), "Error: need RCPT command");
	if (s->t.rcpts.count == 0)
		return refuse_chunk(s, k, CODE(554, 5, 5, 1), "Error: no valid recipients");
	refused = ask_before_content(s) < 0;
	if (refused && skip_chunk(s, k) < 0)
		return -1;
	if (refused)
		return answer_chunk(s, k, &s->ruling);
	s->t.content = content_begin(s);
	s->t.bdat = BDAT_OPEN;
	return 0;
}

static int take_chunk(struct session *s, const struct chunk *k)
{
	struct content *c = s->t.content;
	int rc = read_chunk(s, c, k);

	if (rc != STREAM_OK)
		return broken(s, rc);
	if (k->last)
		return content_finish(s, c, arena_printf(session_scratch(s), "%llu bytes ", (unsigned long long)s->t.received_octets));
	if (c->fate == CONTENT_GOOD)
		return session_reply(s, CODE(250, 2, 0, 0), "Ok: %llu bytes", (unsigned long long)k->size);
	s->t.bdat = BDAT_FAILED;
	if (c->fate == CONTENT_TOO_BIG)
		return session_reply(s, CODE(552, 5, 3, 4), "Error: message file too big");
	return session_reply(s, CODE(451, 4, 3, 0), "Error: queue file write error");
}

int cmd_bdat(struct session *s, struct str args)
{
	struct chunk k = { 0, false };

	if (s->ehlo_discard & HIDE_CHUNKING)
		return session_reply(s, CODE(521, 5, 5, 1), "Error: command not implemented");
	if (!parse_chunk(args, &k)) {
		log_warn("%s: malformed BDAT command syntax from %.*s: BDAT %.*s", session_queue_id(s), STRF(s->client.namaddr),
			STRF(args));
		return session_reply(s, CODE(521, 5, 5, 4), "Syntax: BDAT count [LAST]");
	}
	if (s->t.bdat == BDAT_FAILED)
		return chunk_after_error(s, &k);
	if (chunk_too_big(s, &k))
		return refuse_chunk(s, &k, CODE(552, 5, 3, 4), "Chunk exceeds message size limit");
	if (k.size == 0 && !k.last)
		return refuse_chunk(s, &k, CODE(551, 5, 7, 1), "Null BDAT request");
	if (s->t.bdat == BDAT_NONE && first_chunk(s, &k) < 0)
		return -1;
	return take_chunk(s, &k);
}
