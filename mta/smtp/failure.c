/* mta/smtp/failure.c - the words for what went wrong, as Postfix's logs have them. */
#include <stdarg.h>

#include "mta/smtp/smtp.h"

static void from_reply(const struct session *s, struct failure *out)
{
	out->code = s->reply.code;
	if (out->code.c != 4 && out->code.c != 5) /* 2xx or 3xx where none belongs */
		out->code = CODE(out->code.smtp, 4, 5, 0);
	out->remote = true;
}

void failure_said(struct arena *a, const struct session *s, const char *during, struct failure *out)
{
	from_reply(s, out);
	out->text = arena_printf(a, "host %.*s said: %.*s (in reply to %s command)", STRF(s->peer), STRF(buf_str(&s->reply.text)), during);
}

void failure_refused(struct arena *a, const struct session *s, struct failure *out)
{
	from_reply(s, out);
	out->text = arena_printf(a, "host %.*s refused to talk to me: %.*s", STRF(s->peer), STRF(buf_str(&s->reply.text)));
}

void failure_broken(struct arena *a, const struct session *s, int result, const struct err *e, const char *during, struct failure *out)
{
	*out = (struct failure){ .code = CODE(0, 4, 4, 2) };
	if (result == STREAM_OK) {
		out->code = CODE(0, 4, 5, 0);
		out->text = arena_printf(a, "host %.*s sent a %s while %s", STRF(s->peer), e->text, during);
	} else if (result == STREAM_TIMEOUT) {
		out->text = arena_printf(a, "conversation with %.*s timed out while %s", STRF(s->peer), during);
	} else {
		out->text = arena_printf(a, "lost connection with %.*s while %s", STRF(s->peer), during);
	}
}

void failure_local(struct arena *a, struct code code, struct failure *out, const char *fmt, ...)
{
	struct buf b = { 0 };
	va_list ap;

	va_start(ap, fmt);
	buf_addfv(&b, fmt, ap);
	va_end(ap);
	*out = (struct failure){ .code = code, .text = arena_dup(a, buf_str(&b)) };
	buf_done(&b);
}

void failure_soften(struct failure *f)
{
	if (f->code.c == 5)
		f->code.c = 4;
}
