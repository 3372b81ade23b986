/* mta/smtpd/reply.c - what the client is told: reply lines with enhanced codes, the reject footer, the price of errors. */
#include <stdarg.h>

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/metrics.h"
#include "lib/mail/date.h"
#include "lib/mail/dsn.h"
#include "lib/net/fiber.h"
#include "lib/net/story.h"
#include "mta/smtpd/session.h"
#include "mta/smtpd/settings.h"
#include "mta/smtpd/transcript.h"

#define LINE_USUAL 64 /* octets of a short reply */
#define REPLY_LINE_MAX 510 /* octets of one line, codes included, before its end: RFC 5321 section 4.5.3.1.5 */

/* Bytes that could end the line or confuse a terminal become blanks; a policy server's words are not ours. */
static void add_line_text(struct buf *out, struct str text)
{
	size_t from = out->n;

	buf_add(out, text);
	for (size_t i = from; i < out->n; i++)
		if ((unsigned char)out->p[i] < ' ' || out->p[i] == 127)
			out->p[i] = ' ';
}

static void add_line(struct buf *out, struct code code, bool last, struct str text)
{
	size_t from = out->n;

	buf_addf(out, "%03d%c", code.smtp, last ? ' ' : '-');
	if (code.c != 0)
		buf_addf(out, "%u.%u.%u ", (unsigned)code.c, (unsigned)code.s, (unsigned)code.d);
	add_line_text(out, str_sub(text, 0, REPLY_LINE_MAX - (out->n - from)));
	buf_addz(out, "\r\n");
}

/* A footer that begins with "\c" continues the last line; else it makes lines of its own. */
static struct str join_footer(struct buf *tmp, struct str text, struct str footer)
{
	if (footer.n == 0)
		return text;
	buf_add(tmp, text);
	if (str_starts(footer, STR("\\c")))
		footer = str_skip(footer, 2);
	else
		buf_addc(tmp, '\n');
	buf_add(tmp, footer);
	return buf_str(tmp);
}

void reply_format(struct buf *out, struct code code, struct str text, struct str footer)
{
	struct buf tmp = { 0 };
	struct str rest = join_footer(&tmp, text, footer);
	ptrdiff_t at;

	buf_reserve(out, 2 * rest.n + LINE_USUAL);
	while ((at = str_chr(rest, '\n')) >= 0) {
		add_line(out, code, false, str_trim(str_sub(rest, 0, (size_t)at)));
		rest = str_skip(rest, (size_t)at + 1);
	}
	add_line(out, code, true, rest);
	buf_done(&tmp);
}

/* ---- the footer template ---- */

struct footer_values {
	struct session *s;
	struct buf time;
};

static const char *footer_value(void *ctx, struct str name)
{
	struct footer_values *v = ctx;

	if (str_eqz(name, "client_address"))
		return arena_z(session_scratch(v->s), v->s->client.addr);
	if (str_eqz(name, "client_port"))
		return arena_z(session_scratch(v->s), v->s->client.port);
	if (str_eqz(name, "server_name"))
		return cf.myhostname;
	if (!str_eqz(name, "localtime"))
		return "";
	if (v->time.n == 0)
		date_asctime(&v->time, clock_wall_us());
	return buf_z(&v->time);
}

/* "\n" as two characters in the template is a line break. */
static void unescape_lines(struct buf *out, struct str text)
{
	for (size_t i = 0; i < text.n; i++)
		if (text.p[i] == '\\' && i + 1 < text.n && text.p[i + 1] == 'n') {
			buf_addc(out, '\n');
			i++;
		} else {
			buf_addc(out, text.p[i]);
		}
}

static struct str footer_for(struct session *s, struct code code, struct str text, struct buf *out)
{
	struct buf template = { 0 }, whole = { 0 }, expanded = { 0 };
	struct footer_values v = { .s = s };
	const struct wording *w = session_wording(s);
	struct err e = ERR_INIT;

	if (w->footer_maps.count > 0) {
		buf_addf(&whole, "%03d %u.%u.%u %.*s", code.smtp, (unsigned)code.c, (unsigned)code.s, (unsigned)code.d, STRF(text));
		if (tables_lookup(&w->footer_maps, buf_str(&whole), &template, &e) == TABLE_FAILED)
			log_warn("%s", e.text);
	}
	if (template.n == 0)
		buf_addz(&template, w->reject_footer);
	if (template.n > 0 && conf_expand(buf_str(&template), footer_value, &v, &expanded, &e) == 0)
		unescape_lines(out, buf_str(&expanded));
	buf_done(&template);
	buf_done(&whole);
	buf_done(&expanded);
	buf_done(&v.time);
	return buf_str(out);
}

/* ---- sending ---- */

/* A client that makes nothing but errors is made to wait for every answer. */
static void slow_down(struct session *s)
{
	if (s->errors < (uint64_t)cf.soft_error_limit || cf.error_sleep_ms == 0)
		return;
	if (stream_flush(s->io, session_deadline(s)) < 0)
		s->closed = true;
	fiber_sleep(cf.error_sleep_ms);
}

static void count_refusal(struct session *s, struct code code)
{
	struct arena *a = session_scratch(s);

	metric_count(METRIC_SMTPD_REFUSALS, s->where, arena_printf(a, "%d", code.smtp).p,
		arena_printf(a, "%u.%u.%u", (unsigned)code.c, (unsigned)code.s, (unsigned)code.d).p);
}

/* The safety net: nobody gives up on a message because of what we say while soft_bounce is on. */
struct code reply_soften(struct code code)
{
	if (cf.soft_bounce && code.smtp >= 500) {
		code.smtp = (short)(code.smtp - 100);
		code.c = code.c > 0 ? 4 : 0;
	}
	return code;
}

static int send_reply(struct session *s, struct code code, struct str text)
{
	struct buf out = { 0 }, footer = { 0 };
	bool refused = code.smtp >= 400;
	const struct wording *w = session_wording(s);
	bool wants_footer = refused && (*w->reject_footer != '\0' || w->footer_maps.count > 0);

	code = reply_soften(code);
	if (refused)
		count_refusal(s, code);
	slow_down(s);
	if (refused && cf.reply_token)
		text = arena_printf(session_scratch(s), "%.*s [%s]", STRF(text), s->sid);
	reply_format(&out, code, text, wants_footer ? footer_for(s, code, text, &footer) : STR_NONE);
	transcript_reply(s, code, buf_str(&out));
	if (!s->closed && stream_write(s->io, buf_str(&out), session_deadline(s)) < 0)
		s->closed = true;
	if (story_wanted())
		s->told = arena_dup(session_scratch(s), str_trim(buf_str(&out)));
	buf_done(&out);
	buf_done(&footer);
	if (code.smtp == 421 || code.smtp == 521)
		s->hangup = true;
	return refused ? -1 : 0;
}

int session_reply(struct session *s, struct code code, const char *fmt, ...)
{
	struct buf text = { 0 };
	va_list ap;
	int rc;

	va_start(ap, fmt);
	buf_addfv(&text, fmt, ap);
	va_end(ap);
	rc = send_reply(s, code, buf_str(&text));
	buf_done(&text);
	return rc;
}

int session_reply_with(struct session *s, const struct reply *r)
{
	return send_reply(s, r->code, r->text);
}

int session_reply_plain(struct session *s, int code, struct str text)
{
	return send_reply(s, CODE((short)code, 0, 0, 0), text);
}
