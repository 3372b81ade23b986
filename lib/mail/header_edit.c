/* lib/mail/header_edit.c - addresses in header fields: found where they stand, changed in place, the field folded anew when anything
 * changed. Display names and groups stay as they are.
 */
#include "lib/mail/header_edit.h"

#include "lib/mail/addr.h"

#define FOLD_AT 70 /* octets of a line of a rewritten field */

static const char *const sender_fields[] = { "Errors-To", "From", "Mail-Followup-To", "Reply-To", "Resent-From", "Resent-Sender",
	"Return-Path", "Return-Receipt-To", "Sender", "Disposition-Notification-To" };
static const char *const rcpt_fields[] = { "Apparently-To", "Bcc", "Cc", "Resent-Bcc", "Resent-Cc", "Resent-Reply-To", "Resent-To", "To" };

static bool listed(struct str name, const char *const *list, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (str_eqiz(name, list[i]))
			return true;
	return false;
}

enum header_parties header_parties(struct str name)
{
	if (listed(name, sender_fields, sizeof sender_fields / sizeof *sender_fields))
		return HEADER_SENDERS;
	return listed(name, rcpt_fields, sizeof rcpt_fields / sizeof *rcpt_fields) ? HEADER_RCPTS : HEADER_NEITHER;
}

/* ---- scanning: one element of an address list at a time ---- */

struct element {
	struct str before, address, after; /* address empty: none in here */
	char end; /* ',' ';' ':' or 0 */
	bool bare; /* no <>, no display name */
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
	el.bare = at.n > 0 && sp == &words;
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

/* Comments before a bare address move behind it, as Postfix prints it. */
static void add_bare(struct buf *piece, const struct element *el, struct str address)
{
	struct str comments = str_trim(el->before);

	if (el->before.n > 0 && blank(el->before.p[0]))
		buf_addc(piece, ' ');
	buf_add(piece, address);
	if (comments.n > 0) {
		buf_addc(piece, ' ');
		add_flat(piece, comments);
	}
}

static int edit_element(struct header_edit *ed, struct element *el, struct buf *piece, bool *changed)
{
	struct str old = addr_unquote(ed->life, el->address), address = old, text = el->address;

	if (el->address.n > 0 && ed->edit(ed, &address) < 0)
		return -1;
	if (!str_eq(address, old)) {
		text = addr_quote(ed->life, address);
		*changed = true;
	}
	if (el->bare) {
		add_bare(piece, el, text);
	} else {
		add_flat(piece, el->before);
		add_flat(piece, text);
	}
	add_flat(piece, el->after);
	return 0;
}

/* All elements into o. -1: edit() failed. */
static int edit_list(struct header_edit *ed, struct str value, struct output *o)
{
	struct buf piece = { 0 };
	bool first = true;
	int result = 0;

	while (value.n > 0 && result == 0) {
		struct element el = next_element(&value);

		result = edit_element(ed, &el, &piece, &o->changed);
		if (el.end != 0)
			buf_addc(&piece, el.end);
		if (el.end == ':' && value.n > 0)
			continue; /* the group's name stays with its first member */
		finish_piece(o, &piece, first);
		buf_clear(&piece);
		first = false;
	}
	buf_done(&piece);
	return result;
}

int header_edit(struct header_edit *ed, struct str name, struct str value, struct str *out)
{
	struct output o = { .changed = false };
	int result;

	for (size_t i = 0; i <= name.n; i++) /* "Name:" takes its place on the first line */
		buf_addc(&o.line, 'n');
	result = edit_list(ed, value, &o);
	buf_add(&o.field, buf_str(&o.line));
	if (result == 0 && o.changed)
		*out = arena_dup(ed->life, str_skip(buf_str(&o.field), name.n + 1));
	buf_done(&o.line);
	buf_done(&o.field);
	return result < 0 ? -1 : o.changed;
}
