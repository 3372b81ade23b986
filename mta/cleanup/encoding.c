/* mta/cleanup/encoding.c - what kind of octets a message has: 8-bit parts made 7-bit where that is wanted, and whether it needs SMTPUTF8. */
#include "lib/base/utf8.h"
#include "lib/mail/mime_7bit.h"
#include "mta/cleanup/cleanup.h"
#include "mta/cleanup/settings.h"

static bool keep_all(struct mime_7bit *m)
{
	(void)m; /* the new body is wanted in one piece */
	return true;
}

/* Only what says of itself that it is 8-bit; of the rest nobody knows what it is. */
void encoding_convert(struct mail *x)
{
	struct mime_7bit text = {
		.life = x->life, .nesting = set->mime_nesting, .boundary_length = set->boundary_length, .out = &x->converted, .full = keep_all
	};

	if (!set->force_7bit || !(x->content.flags & QUEUE_8BIT))
		return;
	mime_7bit_header(&text, &x->header);
	if (!mime_7bit_body(&text, x->body))
		mime_refuse(x, MIME_TOO_DEEP, STR_NONE);
	x->body = buf_str(&x->converted);
	x->body_edited = true;
	x->content.flags = 0; /* found out again when it is stored */
	x->m.flags &= ~(unsigned)QUEUE_BODY_8BITMIME;
}

/* ---- SMTPUTF8 ---- */

static unsigned origin(const struct mail *x)
{
	if (x->m.flags & QUEUE_BOUNCE)
		return x->m.sender.n == 0 ? ORIGIN_BOUNCE : ORIGIN_NOTIFY;
	if (x->non_smtp)
		return ORIGIN_SENDMAIL;
	return x->m.flags & QUEUE_LOCAL ? ORIGIN_FORWARD : ORIGIN_SMTPD;
}

/* Octets that are no UTF-8 do not become any by saying so. */
static bool is_utf8(struct str s)
{
	return !utf8_ascii(s) && utf8_valid(s);
}

static bool has_utf8(const struct mail *x)
{
	bool found = is_utf8(x->m.sender);

	for (size_t i = 0; i < x->rcpts.count && !found; i++)
		found = is_utf8(x->rcpts.v[i].addr);
	for (size_t i = 0; i < x->header.count && !found; i++)
		found = !x->header.fields[i].deleted && is_utf8(x->header.fields[i].text);
	return found;
}

void encoding_detect(struct mail *x)
{
	if ((set->utf8_origins & origin(x)) && has_utf8(x))
		x->m.flags |= QUEUE_UTF8;
}
