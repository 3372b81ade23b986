/* mta/bounce/notice.c - builds the text of a notification. */
#include "mta/bounce/notice.h"

#include "lib/base/utf8.h"
#include "lib/mail/addr.h"
#include "lib/mail/date.h"
#include "lib/mail/dsn.h"

#define WORD_MAX 900 /* octets of a word before it is cut: a line must stay below 998 */
#define INDENT "    "

/* ---- lines ---- */

static void add_clean(struct buf *out, struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		buf_addc(out, (unsigned char)s.p[i] < ' ' || s.p[i] == 127 ? ' ' : s.p[i]);
}

/* The next line, without a blank at the end of this one. */
static size_t next_line(struct buf *out)
{
	if (out->n > 0 && out->p[out->n - 1] == ' ')
		buf_truncate(out, out->n - 1);
	buf_addz(out, "\r\n" INDENT);
	return sizeof INDENT - 1;
}

void notice_wrap(struct buf *out, size_t column, struct str text)
{
	bool first = true; /* word on this line */
	struct str word;

	while ((word = str_word(&text, " \t\r\n")).n > 0) {
		if (word.n > WORD_MAX) {
			text = str_n(word.p + WORD_MAX, (size_t)(text.p + text.n - (word.p + WORD_MAX)));
			word = str_sub(word, 0, WORD_MAX);
		}
		if (column > sizeof INDENT && column + (first ? 0 : 1) + word.n > NOTICE_WIDTH) {
			column = next_line(out);
			first = true;
		}
		if (!first) {
			buf_addc(out, ' ');
			column++;
		}
		add_clean(out, word);
		column += word.n;
		first = false;
	}
	buf_addz(out, "\r\n");
}

/* "Name: value", wrapped. */
static void field(struct buf *out, const char *name, struct str value)
{
	size_t start = out->n;

	buf_addf(out, "%s: ", name);
	notice_wrap(out, out->n - start, value);
}

/* A field whose value is one word of ours or an address: never broken. */
static void fieldf(struct buf *out, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void fieldf(struct buf *out, const char *fmt, ...)
{
	struct buf line = { 0 };
	va_list ap;

	va_start(ap, fmt);
	buf_addfv(&line, fmt, ap);
	va_end(ap);
	add_clean(out, buf_str(&line));
	buf_addz(out, "\r\n");
	buf_done(&line);
}

/* An encoded value in the clear; what is not what it should be stays as it is. */
static void add_decoded(struct buf *out, bool (*decode)(struct buf *out, struct str in), struct str encoded)
{
	struct buf clear = { 0 };

	add_clean(out, decode(&clear, encoded) ? buf_str(&clear) : encoded);
	buf_done(&clear);
}

static void add_address(struct buf *out, struct str address)
{
	struct arena *a = arena_new("address");

	add_clean(out, addr_quote_original(a, address));
	arena_free(a);
}

static void date_field(struct buf *out, const char *name, int64_t us)
{
	buf_addf(out, "%s: ", name);
	date_rfc5322(out, us);
	buf_addz(out, "\r\n");
}

/* mail_name as part of a field name. */
static void add_token(struct buf *out, struct str name)
{
	for (size_t i = 0; i < name.n; i++) {
		char c = name.p[i];

		buf_addc(out, (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ? c : '-');
	}
}

static void add_boundary(struct buf *out, const struct notice *n)
{
	buf_addf(out, "%s.%lld/%.*s", n->about->m.id, (long long)(n->now_us / 1000000), STRF(n->hostname));
}

static void next_part(struct buf *out, const struct notice *n, const char *description)
{
	buf_addz(out, "\r\n--");
	add_boundary(out, n);
	buf_addf(out, "\r\nContent-Description: %s\r\n", description);
}

/* ---- what kind of bytes ---- */

static bool reasons_8bit(const struct notice *n)
{
	for (size_t i = 0; i < n->rcpt_count; i++)
		if (!utf8_ascii(n->rcpts[i]->text) || !utf8_ascii(n->rcpts[i]->rcpt.addr))
			return true;
	return false;
}

static bool text_8bit(const struct notice *n)
{
	return n->eight_bit || !utf8_ascii(n->text) || reasons_8bit(n);
}

static bool original_8bit(const struct notice *n)
{
	return n->eight_bit || (n->about->m.flags & (QUEUE_8BIT | QUEUE_UTF8)) != 0;
}

bool notice_8bit(const struct notice *n)
{
	return text_8bit(n) || original_8bit(n);
}

static void encoding(struct buf *out, bool eight_bit)
{
	if (eight_bit)
		buf_addz(out, "Content-Transfer-Encoding: 8bit\r\n");
}

/* ---- header ---- */

static void from_field(struct buf *out, const struct notice *n)
{
	if (n->from.n > 0)
		fieldf(out, "From: %.*s", STRF(n->from));
	else if (n->old_from)
		fieldf(out, "From: MAILER-DAEMON@%.*s (Mail Delivery System)", STRF(n->origin));
	else
		fieldf(out, "From: Mail Delivery System <MAILER-DAEMON@%.*s>", STRF(n->origin));
}

static void message_id(struct buf *out, const struct notice *n)
{
	buf_addz(out, "Message-Id: <");
	date_compact(out, n->now_us);
	buf_addf(out, ".%.*s@%.*s>\r\n", STRF(n->new_id), STRF(n->hostname));
}

static void header(const struct notice *n, struct buf *out)
{
	date_field(out, "Date", n->now_us);
	from_field(out, n);
	fieldf(out, "Subject: %.*s", STRF(n->subject));
	buf_addz(out, "To: ");
	add_address(out, n->to);
	buf_addz(out, "\r\n");
	fieldf(out, "Auto-Submitted: %s", n->to_postmaster ? "auto-generated" : "auto-replied");
	buf_addz(out, "MIME-Version: 1.0\r\nContent-Type: multipart/report; report-type=delivery-status;\r\n\tboundary=\"");
	add_boundary(out, n);
	buf_addz(out, "\"\r\n");
	encoding(out, notice_8bit(n));
	if (n->references.n > 0)
		field(out, "References", n->references);
	if (n->in_reply_to.n > 0)
		field(out, "In-Reply-To", n->in_reply_to);
	message_id(out, n);
	buf_addz(out, "\r\nThis is a MIME-encapsulated message.\r\n");
}

void notice_received(const struct notice *n, struct buf *out)
{
	buf_addf(out, "Received: by %.*s (%.*s)\r\n\tid %.*s; ", STRF(n->hostname), STRF(n->mail_name), STRF(n->new_id));
	date_rfc5322(out, n->now_us);
}

/* ---- first part: for people ---- */

/* What happened; reports and successes also say by which way. */
static void add_reason(const struct notice *n, struct buf *out, size_t column, const struct bounce_rcpt *r)
{
	bool reported = n->about->kind == BOUNCE_REPORT && r->relay.n > 0 && !str_eqz(r->relay, "none");
	struct buf text = { 0 };

	if (reported || (n->about->kind == BOUNCE_SUCCESS && r->remote_mta.n > 0))
		buf_addf(&text, "delivery via %.*s: ", STRF(r->relay));
	buf_add(&text, r->text);
	notice_wrap(out, column, buf_str(&text));
	buf_done(&text);
}

static void reason_line(const struct notice *n, struct buf *out, const struct bounce_rcpt *r)
{
	size_t start = out->n;

	buf_addc(out, '<');
	add_address(out, r->rcpt.addr);
	buf_addc(out, '>');
	if (r->rcpt.orig.n > 0 && !str_eqi(r->rcpt.orig, r->rcpt.addr)) {
		buf_addz(out, " (expanded from <");
		add_address(out, r->rcpt.orig);
		buf_addz(out, ">)");
	}
	buf_addz(out, ": ");
	add_reason(n, out, out->n - start, r);
}

static void add_text(struct buf *out, struct str text)
{
	while (text.n > 0) {
		add_clean(out, str_cut(&text, '\n'));
		buf_addz(out, "\r\n");
	}
}

static void part_for_people(const struct notice *n, struct buf *out)
{
	bool eight_bit = text_8bit(n);

	next_part(out, n, "Notification");
	if (eight_bit && str_eqiz(n->charset, "us-ascii"))
		buf_addz(out, "Content-Type: text/plain; charset=utf-8\r\n");
	else
		fieldf(out, "Content-Type: text/plain; charset=%.*s", STRF(n->charset));
	encoding(out, eight_bit);
	buf_addz(out, "\r\n");
	add_text(out, n->text);
	for (size_t i = 0; i < n->rcpt_count; i++) {
		buf_addz(out, "\r\n");
		reason_line(n, out, n->rcpts[i]);
	}
}

/* ---- second part: for programs ---- */

static const char *action(const struct notice *n, const struct bounce_rcpt *r)
{
	static const char *const successes[] = { "relayed", "delivered", "relayed", "expanded" };
	enum bounce_kind kind = n->about->kind;

	if (kind == BOUNCE_REPORT && (n->about->m.flags & QUEUE_PROBE))
		return r->code.c == 2 ? "deliverable" : "undeliverable";
	if (kind == BOUNCE_DELAY || (kind == BOUNCE_REPORT && r->code.c == 4))
		return "delayed";
	if (kind == BOUNCE_FAILURE || (kind == BOUNCE_REPORT && r->code.c == 5))
		return "failed";
	return r->action == DELIVER_PLAIN && r->remote_mta.n == 0 ? "delivered" : successes[r->action];
}

/* What the remote host answered, out of "host H said: 550 ... (in reply to RCPT TO command)"; empty when it did not. */
static struct str remote_words(const struct bounce_rcpt *r)
{
	static const struct str said = STR_INIT(" said: "), refused = STR_INIT(" refused to talk to me: ");
	ptrdiff_t at = str_find(r->text, said);
	struct str words;

	if (r->remote_mta.n == 0)
		return STR_NONE;
	if (at >= 0)
		words = str_skip(r->text, (size_t)at + said.n);
	else if ((at = str_find(r->text, refused)) >= 0)
		words = str_skip(r->text, (size_t)at + refused.n);
	else
		words = r->text; /* a success: the answer itself */
	at = str_rchr(words, '(');
	if (at > 0 && str_starts(str_skip(words, (size_t)at), STR("(in reply to ")))
		words = str_sub(words, 0, (size_t)at - 1);
	return words.n > 0 && words.p[0] >= '2' && words.p[0] <= '5' ? words : STR_NONE;
}

static void diagnostic_field(const struct notice *n, struct buf *out, const struct bounce_rcpt *r)
{
	struct str words = remote_words(r);
	size_t start = out->n;

	buf_addz(out, "Diagnostic-Code: ");
	if (words.n > 0) {
		buf_addz(out, "smtp; ");
		notice_wrap(out, out->n - start, words);
	} else {
		buf_addz(out, "X-");
		add_token(out, n->mail_name);
		buf_addz(out, "; ");
		add_reason(n, out, out->n - start, r);
	}
}

/* The client's ORCPT, decoded (RFC 3461 section 6.3, RFC 6533 section 3), else what it named without the parameter. */
static void original_field(const struct notice *n, struct buf *out, const struct bounce_rcpt *r)
{
	buf_addz(out, "Original-Recipient: ");
	if (r->rcpt.orcpt.n > 0) {
		struct str address = r->rcpt.orcpt, type = str_cut(&address, ';');

		add_clean(out, type);
		buf_addc(out, ';');
		add_decoded(out, (n->about->m.flags & QUEUE_UTF8) && str_eqiz(type, "utf-8") ? addr_unitext_decode : addr_xtext_decode, address);
	} else {
		buf_addz(out, "rfc822;");
		add_address(out, r->rcpt.orig.n > 0 ? r->rcpt.orig : r->rcpt.addr);
	}
	buf_addz(out, "\r\n");
}

static void rcpt_fields(const struct notice *n, struct buf *out, const struct bounce_rcpt *r)
{
	bool utf8 = (n->about->m.flags & QUEUE_UTF8) && !utf8_ascii(r->rcpt.addr);

	buf_addf(out, "\r\nFinal-Recipient: %s; ", utf8 ? "utf-8" : "rfc822");
	add_address(out, r->rcpt.addr);
	buf_addz(out, "\r\n");
	original_field(n, out, r);
	buf_addf(out, "Action: %s\r\nStatus: ", action(n, r));
	dsn_print(out, r->code);
	buf_addz(out, "\r\n");
	if (r->remote_mta.n > 0)
		fieldf(out, "Remote-MTA: dns; %.*s", STRF(r->remote_mta));
	diagnostic_field(n, out, r);
	if (n->about->kind == BOUNCE_DELAY)
		date_field(out, "Will-Retry-Until", n->about->retry_until_us);
}

static void private_field(const struct notice *n, struct buf *out, const char *name)
{
	buf_addz(out, "X-");
	add_token(out, n->mail_name);
	buf_addf(out, "-%s: ", name);
}

static void part_for_programs(const struct notice *n, struct buf *out)
{
	const struct queue_message *m = &n->about->m;

	next_part(out, n, "Delivery report");
	buf_addf(out, "Content-Type: message/%sdelivery-status\r\n", (m->flags & QUEUE_UTF8) ? "global-" : "");
	encoding(out, (m->flags & QUEUE_UTF8) || reasons_8bit(n));
	buf_addz(out, "\r\n");
	fieldf(out, "Reporting-MTA: dns; %.*s", STRF(n->hostname));
	if (m->envid.n > 0) {
		buf_addz(out, "Original-Envelope-Id: ");
		add_decoded(out, addr_xtext_decode, m->envid);
		buf_addz(out, "\r\n");
	}
	private_field(n, out, "Queue-ID");
	buf_addf(out, "%s\r\n", m->id);
	private_field(n, out, "Sender");
	buf_addz(out, utf8_ascii(m->sender) ? "rfc822; " : "utf-8; ");
	if (m->sender.n > 0)
		add_address(out, m->sender);
	else
		buf_addf(out, "MAILER-DAEMON@%.*s", STRF(n->hostname)); /* who stands for nobody */
	buf_addz(out, "\r\n");
	date_field(out, "Arrival-Date", m->arrival_us);
	for (size_t i = 0; i < n->rcpt_count; i++)
		rcpt_fields(n, out, n->rcpts[i]);
}

/* ---- third part: the message ---- */

static void part_message(const struct notice *n, struct buf *out)
{
	bool utf8 = (n->about->m.flags & QUEUE_UTF8) != 0;

	next_part(out, n,
		n->about->kind >= BOUNCE_SUCCESS ? "Message Headers"
		: n->whole                       ? "Undelivered Message"
						 : "Undelivered Message Headers");
	if (n->whole)
		buf_addf(out, "Content-Type: message/%s\r\n", utf8 ? "global" : "rfc822");
	else
		buf_addf(out, "Content-Type: %s\r\n", utf8 ? "message/global-headers" : "text/rfc822-headers");
	encoding(out, original_8bit(n));
	buf_addz(out, "\r\nReturn-Path: <");
	add_address(out, n->about->m.sender);
	buf_addz(out, ">\r\n");
}

void notice_front(const struct notice *n, struct buf *out)
{
	header(n, out);
	part_for_people(n, out);
	part_for_programs(n, out);
	part_message(n, out);
}

void notice_back(const struct notice *n, struct buf *out)
{
	buf_addz(out, "\r\n--");
	add_boundary(out, n);
	buf_addz(out, "--\r\n");
}
