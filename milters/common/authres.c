/* milters/common/authres.c - the Authentication-Results field, RFC 8601. Values come out of strangers' mail. */
#include "milters/common/authres.h"

/* Blanks, folds and nested comments off the front (CFWS, RFC 5322 section 3.2.2). */
static struct str skip_cfws(struct str s)
{
	size_t depth = 0, i;

	for (i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (depth > 0 && c == '\\')
			i++;
		else if (c == '(')
			depth++;
		else if (c == ')' && depth > 0)
			depth--;
		else if (depth == 0 && strchr(" \t\r\n", c) == NULL)
			break;
	}
	return str_skip(s, i);
}

static void unquote(struct str s, struct buf *out)
{
	for (size_t i = 1; i < s.n && s.p[i] != '"'; i++) {
		if (s.p[i] == '\\' && i + 1 < s.n)
			i++;
		buf_addc(out, s.p[i]);
	}
}

bool authres_claims(struct str value, struct str id)
{
	struct buf name = { 0 };
	struct str s = skip_cfws(value);
	bool same;

	if (s.n > 0 && s.p[0] == '"') {
		unquote(s, &name);
	} else {
		ptrdiff_t end = str_any(s, "; \t\r\n(");

		buf_add(&name, end < 0 ? s : str_sub(s, 0, (size_t)end));
	}
	same = str_eqi(buf_str(&name), id);
	buf_done(&name);
	return same;
}

/* RFC 2045 section 5.1. */
static bool is_token(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] <= ' ' || s.p[i] > '~' || strchr("()<>@,;:\\\"/[]?=", s.p[i]) != NULL)
			return false;
	return s.n > 0;
}

void authres_add_value(struct buf *out, struct str value)
{
	struct buf safe = { 0 };
	struct str s;

	buf_add_safe(&safe, value);
	s = buf_str(&safe);
	if (is_token(s)) {
		buf_add(out, s);
	} else {
		buf_addc(out, '"');
		for (size_t i = 0; i < s.n; i++)
			buf_addf(out, "%s%c", s.p[i] == '"' || s.p[i] == '\\' ? "\\" : "", s.p[i]);
		buf_addc(out, '"');
	}
	buf_done(&safe);
}

void authres_add_comment(struct buf *out, struct str text)
{
	size_t from;

	buf_add(out, STR(" ("));
	from = out->n;
	buf_add_safe(out, text);
	for (size_t i = from; i < out->n; i++)
		if (strchr("()\\", out->p[i]) != NULL)
			out->p[i] = '?';
	buf_addc(out, ')');
}
