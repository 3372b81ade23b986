/* mta/cleanup/header_rewrite.c - addresses in header fields: found where they stand, rewritten in place, the field folded anew when
 * anything changed. Comments, display names and groups stay as they are.
 */
#include "lib/mail/addr.h"
#include "mta/cleanup/cleanup.h"
#include "mta/cleanup/settings.h"

#define FOLD_AT 70 /* octets of a line of a rewritten field */

static const char *const sender_fields[] = { "Errors-To", "From", "Reply-To", "Resent-From", "Resent-Reply-To", "Resent-Sender",
	"Return-Path", "Return-Receipt-To", "Sender", "Disposition-Notification-To" };
static const char *const rcpt_fields[] = { "Apparently-To", "Bcc", "Cc", "Mail-Followup-To", "Resent-Bcc", "Resent-Cc", "Resent-To", "To" };

static bool listed(struct str name, const char *const *list, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (str_eqiz(name, list[i]))
			return true;
	return false;
}

static enum map_class field_class(struct str name)
{
	if (listed(name, sender_fields, sizeof sender_fields / sizeof *sender_fields))
		return MAP_HEADER_SENDER;
	return listed(name, rcpt_fields, sizeof rcpt_fields / sizeof *rcpt_fields) ? MAP_HEADER_RCPT : 0;
}

/* ---- scanning: one element of an address list at a time ---- */

struct element {
	struct str before, address, after; /* address empty: none in here */
	char end; /* ',' ';' ':' or 0 */
};

/* Octets of the quoted string, comment or domain literal at the front of s. */
static size_t bracketed(struct str s)
{
	char open = s.p[0], close = open == '(' ? ')' : open == '[' ? ']' : '"';
	size_t depth = 0;

	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '\\')
			i++;
		else if (open == '(' && s.p[i] == '(')
			depth++;
		else if (i > 0 && s.p[i] == close && (open != '(' || --depth == 0))
			return i + 1;
	}
	return s.n;
}

static bool blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

struct span {
	size_t from, to; /* from == to: nothing */
	bool broken; /* blanks inside that are no part of an address */
};

static void span_add(struct span *sp, size_t from, size_t to, char last)
{
	if (sp->from == sp->to)
		sp->from = from;
	else if (sp->to < from && last != '@' && last != '.')
		sp->broken = true;
	sp->to = to;
}

/* Cut the next element off *rest. */
static struct element next_element(struct str *rest)
{
	struct span words = { 0, 0, false }, angle = { 0, 0, false };
	struct element el = { .end = 0 };
	struct str s = *rest, at;
	size_t i = 0;
	bool inside = false;
	struct span *sp;

	while (i < s.n) {
		char c = s.p[i];
		size_t n = 1;

		if (!inside && (c == ',' || c == ';' || c == ':')) {
			el.end = c;
			break;
		}
		if (c == '(' || c == '"' || c == '[')
			n = bracketed(str_skip(s, i));
		if (c == '<' && !inside) {
			inside = true;
			angle = (struct span){ i + 1, i + 1, false };
		} else if (c == '>' && inside) {
			inside = false;
			angle.to = i;
		} else if (!inside && c != '(' && !blank(c)) {
			char last = words.to > words.from ? s.p[words.to - 1] : 0;

			span_add(&words, i, i + n, c == '@' || c == '.' ? '@' : last);
		}
		i += n;
	}
	i = i < s.n ? i : s.n;
	if (inside)
		angle.to = i;
	sp = angle.from > 0 ? &angle : &words;
	at = el.end == ':' || sp->broken ? STR_NONE : str_trim(str_sub(s, sp->from, sp->to - sp->from));
	el.address = at;
	el.before = at.n > 0 ? str_n(s.p, (size_t)(at.p - s.p)) : str_sub(s, 0, i);
	el.after = at.n > 0 ? str_n(at.p + at.n, i - (size_t)(at.p + at.n - s.p)) : STR_NONE;
	*rest = str_skip(s, i + (el.end != 0));
	return el;
}

/* ---- writing ---- */

/* Folds of the old text become blanks. */
static void add_flat(struct buf *out, struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '\r' || s.p[i] == '\n') {
			while (i + 1 < s.n && blank(s.p[i + 1]))
				i++;
			buf_addc(out, ' ');
		} else {
			buf_addc(out, s.p[i]);
		}
	}
}

/* One address in internal form through context and maps. */
static int rewrite_one(struct mail *x, struct str *address, enum map_class what)
{
	if ((x->req.flags & CLEANUP_FIX_HEADERS) != 0) {
		if (rewrite_address(x, address) < 0)
			return -1;
	} else if (addr_split(*address).domain.n == 0) {
		*address = arena_printf(x->life, "%.*s@%s", STRF(*address), set->remote_domain);
	}
	return map_canonical(x, address, what);
}

struct output {
	struct buf line; /* what is being filled; the field's name counts */
	struct buf field; /* lines finished */
	bool changed;
};

static void finish_piece(struct output *o, const struct buf *piece, bool first)
{
	struct str s = first ? buf_str(piece) : str_trim(buf_str(piece));

	if (o->line.n > 0 && !first && o->line.n + 1 + s.n >= FOLD_AT) {
		buf_add(&o->field, buf_str(&o->line));
		buf_addz(&o->field, "\r\n\t");
		buf_clear(&o->line);
	} else if (!first) {
		buf_addc(&o->line, ' ');
	}
	buf_add(&o->line, s);
}

static int rewrite_element(struct mail *x, struct element *el, enum map_class what, struct buf *piece, bool *changed)
{
	struct str old = addr_unquote(x->life, el->address), address = old;

	if (el->address.n > 0 && rewrite_one(x, &address, what) < 0)
		return -1;
	add_flat(piece, el->before);
	if (el->address.n > 0 && !str_eq(address, old)) {
		struct str quoted = addr_quote(x->life, address);

		buf_add(piece, quoted);
		*changed = true;
	} else {
		add_flat(piece, el->address);
	}
	add_flat(piece, el->after);
	return 0;
}

bool header_rewrite(struct mail *x, struct str name, struct str value, struct str *out)
{
	enum map_class what = field_class(name);
	struct output o = { .changed = false };
	struct buf piece = { 0 };
	bool first = true, failed = false;

	if (what == 0 || ((x->req.flags & CLEANUP_FIX_HEADERS) == 0 && set->remote_domain[0] == '\0'))
		return false;
	for (size_t i = 0; i <= name.n; i++) /* "Name:" takes its place on the first line */
		buf_addc(&o.line, 'n');
	while (value.n > 0 && !failed) {
		struct element el = next_element(&value);

		failed = rewrite_element(x, &el, what, &piece, &o.changed) < 0;
		if (el.end != 0)
			buf_addc(&piece, el.end);
		if (el.end == ':' && value.n > 0)
			continue; /* the group's name stays with its first member */
		finish_piece(&o, &piece, first);
		buf_clear(&piece);
		first = false;
	}
	buf_add(&o.field, buf_str(&o.line));
	if (o.changed && !failed)
		*out = arena_dup(x->life, str_skip(buf_str(&o.field), name.n + 1));
	buf_done(&piece);
	buf_done(&o.line);
	buf_done(&o.field);
	return o.changed && !failed;
}
