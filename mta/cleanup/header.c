/* mta/cleanup/header.c - the header block: our own fields on top, header checks, fields that are dropped, addresses rewritten, hops
 * counted, and what is missing in mail from here added at the end.
 */
#include <string.h>

#include "lib/base/log.h"
#include "lib/mail/addr.h"
#include "lib/mail/date.h"
#include "lib/mail/header.h"
#include "mta/cleanup/cleanup.h"
#include "mta/cleanup/settings.h"

/* ---- reading ---- */

static struct str field_text(struct arena *a, struct str name, struct str value)
{
	return arena_printf(a, "%.*s:%.*s", STRF(name), STRF(value));
}

/* "Name : value" loses the blanks before the colon; a field over header_size_limit loses its end. */
static void normalise(struct mail *x, struct header_field *f)
{
	struct str value = f->value;

	if (f->name.n + 1 + value.n > set->header_limit) {
		size_t name = f->name.n + 1, limit = (size_t)set->header_limit;

		value = str_sub(value, 0, limit > name ? limit - name : 0);
		while (value.n > 0 && (value.p[value.n - 1] == '\r' || value.p[value.n - 1] == '\n'))
			value.n--;
	} else if (f->text.n == f->name.n + 1 + value.n) {
		return;
	}
	f->text = field_text(x->life, f->name, value);
	f->name = str_sub(f->text, 0, f->name.n);
	f->value = str_skip(f->text, f->name.n + 1);
}

static void put_field(struct mail *x, size_t at, struct str text)
{
	struct str value = text, name = str_cut(&value, ':');

	header_insert(&x->header, at, name, value, false);
}

/* PREPEND actions of smtpd on top, then the Received field that says how we got it, then what the client sent. */
static void read_header(struct mail *x)
{
	struct str all = x->front.n > 0 ? x->front : content_view(x);
	bool missing_blank;
	size_t at = 0;

	x->body_at = header_parse(&x->header, all, &missing_blank);
	x->body = str_skip(all, x->body_at);
	for (size_t i = 0; i < x->header.count; i++)
		normalise(x, &x->header.fields[i]);
	for (; at < x->req.prepend_count; at++)
		put_field(x, at, x->req.prepend[at]);
	if (x->req.received.n > 0) {
		put_field(x, at, x->req.received);
		x->header.fields[at].hidden = true;
	}
}

/* ---- checks ---- */

/* Tables see folds as LF. */
static struct str with_lf(struct arena *a, struct str s)
{
	struct buf b = { 0 };
	struct str copy;

	if (str_chr(s, '\r') < 0)
		return s;
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] != '\r' || i + 1 == s.n || s.p[i + 1] != '\n')
			buf_addc(&b, s.p[i]);
	copy = arena_dup(a, buf_str(&b));
	buf_done(&b);
	return copy;
}

/* Returns the position of the last field that came of field i. */
static size_t check_field(struct mail *x, size_t i)
{
	struct header_field *f = &x->header.fields[i];
	enum check_kind kind = header_is_mime(f->name) ? CHECK_MIME_HEADER : CHECK_HEADER;
	struct str text = with_lf(x->life, f->text), before;
	bool hidden = f->hidden;

	switch (checks_run(x, kind, &text, &before)) {
	case CHECK_DROP:
		f->deleted = true;
		return i;
	case CHECK_CHANGED: /* what the table said is not asked about again */
		f->deleted = true;
		put_field(x, ++i, text);
		x->header.fields[i].hidden = hidden;
		break;
	case CHECK_KEEP:
		break;
	}
	if (before.n > 0)
		put_field(x, i++, before);
	return i;
}

static void run_checks(struct mail *x)
{
	if ((x->req.flags & CLEANUP_NO_CHECKS) != 0 || (!checks_any(CHECK_HEADER) && !checks_any(CHECK_MIME_HEADER)))
		return;
	for (size_t i = 0; i < x->header.count && !mail_refused(x) && !x->discard && !x->checks_passed; i++)
		i = check_field(x, i);
}

/* ---- the rest of what happens to a field ---- */

static bool dropped(struct str name)
{
	for (size_t i = 0; i < set->drop_header_count; i++)
		if (str_eqi(name, set->drop_headers[i]))
			return true;
	return false;
}

static void log_message_id(struct mail *x, const char *what, struct str value)
{
	struct buf b = { 0 };

	buf_add_safe(&b, str_trim(header_unfold(x->life, value)));
	log_info("%s: %s=%.*s", x->m.id, what, STRF(b));
	buf_done(&b);
}

static void check_7bit(struct mail *x, const struct header_field *f)
{
	for (size_t i = 0; i < f->text.n; i++) {
		if ((unsigned char)f->text.p[i] < 128)
			continue;
		mime_refuse(x, "improper use of 8-bit data in message header", f->text);
		return;
	}
}

static void count_hop(struct mail *x)
{
	if (++x->hops < set->hop_limit || mail_refused(x))
		return;
	log_warn("%s: message rejected: hopcount exceeded", x->m.id);
	mail_refuse(x, CODE(554, 5, 4, 0), STR("Error: too many hops"));
}

static void look_at_field(struct mail *x, struct header_field *f)
{
	struct str value;

	x->resent |= str_startsi(f->name, STR("Resent-"));
	if (dropped(f->name)) {
		f->deleted = true;
		return;
	}
	if (str_eqi(f->name, STR("Received")))
		count_hop(x);
	if (set->strict_7bit_headers && (x->m.flags & QUEUE_UTF8) == 0)
		check_7bit(x, f);
	if (set->detect_8bit && str_eqi(f->name, STR("Content-Transfer-Encoding")) && str_eqi(str_trim(f->value), STR("8bit")))
		x->m.flags |= QUEUE_BODY_8BITMIME;
	if (header_rewrite(x, f->name, f->value, &value))
		header_replace(&x->header, f, value, false);
}

/* ---- what is missing ---- */

static bool present(struct mail *x, const char *name)
{
	return header_find(&x->header, name, 1) != NULL;
}

static void append(struct mail *x, const char *prefix, const char *name, struct str value)
{
	struct str full = arena_printf(x->life, "%s%s", prefix, name);

	header_append(&x->header, full, value, true);
}

static void add_message_id(struct mail *x, const char *prefix)
{
	struct buf b = { 0 };

	buf_addc(&b, '<');
	date_compact(&b, x->m.arrival_us);
	buf_addf(&b, ".%s@%s>", x->m.id, set->myhostname);
	append(x, prefix, "Message-Id", buf_str(&b));
	buf_done(&b);
}

static void add_date(struct mail *x, const char *prefix)
{
	struct buf b = { 0 };

	date_rfc5322(&b, x->m.arrival_us);
	append(x, prefix, "Date", buf_str(&b));
	buf_done(&b);
}

static void add_from(struct mail *x, const char *prefix)
{
	struct str from = addr_quote(x->life, x->m.sender);

	if (from.n == 0)
		from = arena_printf(x->life, "Mail Delivery System <MAILER-DAEMON@%s>", set->myorigin);
	append(x, prefix, "From", from);
}

static bool any_rcpt_field(struct mail *x)
{
	return present(x, "To") || present(x, "Cc") || present(x, "Resent-To") || present(x, "Resent-Cc");
}

/* RFC 6409 section 8: completing is for the host where mail enters; transit mail stays as it is, or its signatures would break. */
static void add_missing(struct mail *x)
{
	bool resent = x->resent;
	const char *prefix = resent ? "Resent-" : "";

	if ((x->req.flags & CLEANUP_FIX_HEADERS) == 0 && !set->always_add_missing)
		return;
	if (!present(x, resent ? "Resent-Message-Id" : "Message-Id"))
		add_message_id(x, prefix);
	if (!present(x, resent ? "Resent-Date" : "Date"))
		add_date(x, prefix);
	if (!present(x, resent ? "Resent-From" : "From"))
		add_from(x, prefix);
	if (set->undisclosed[0] != '\0' && !any_rcpt_field(x))
		put_field(x, x->header.count, str_z(set->undisclosed));
}

static void log_ids(struct mail *x)
{
	const struct header_field *id = header_find(&x->header, "Message-Id", 1), *resent = header_find(&x->header, "Resent-Message-Id", 1);

	if (id == NULL && resent == NULL)
		log_info("%s: message-id=<>", x->m.id);
	if (id != NULL)
		log_message_id(x, "message-id", id->value);
	if (resent != NULL)
		log_message_id(x, "resent-message-id", resent->value);
}

void header_stage(struct mail *x)
{
	read_header(x);
	encoding_convert(x);
	if (mail_refused(x))
		return;
	run_checks(x);
	for (size_t i = 0; i < x->header.count; i++)
		if (!x->header.fields[i].deleted)
			look_at_field(x, &x->header.fields[i]);
	if (mail_refused(x) || x->discard)
		return;
	add_missing(x);
	log_ids(x);
}
