/* lib/mail/body_edit.c - changing lines of a body in passing. */
#include "lib/mail/body_edit.h"

void body_edit_begin(struct body_edit *ed, struct str body, struct buf *out)
{
	*ed = (struct body_edit){ .body = body, .out = out, .copied = body.p };
}

static void copy_to(struct body_edit *ed, const char *to)
{
	buf_add(ed->out, str_n(ed->copied, (size_t)(to - ed->copied)));
	ed->copied = to;
	ed->changed = true;
}

void body_edit_replace(struct body_edit *ed, struct str line, struct str replacement, bool drop)
{
	const char *end = line.p + line.n, *all = ed->body.p + ed->body.n;

	copy_to(ed, line.p);
	while (end < all && *end == '\r')
		end++;
	if (end < all && *end == '\n')
		end++;
	ed->copied = end;
	while (!drop) {
		struct str one = str_cut(&replacement, '\n');

		if (one.n > 0 && one.p[one.n - 1] == '\r')
			one.n--;
		buf_add(ed->out, one);
		buf_addn(ed->out, "\r\n", 2);
		drop = replacement.n == 0;
	}
}

void body_edit_insert(struct body_edit *ed, struct str before, struct str line)
{
	copy_to(ed, before.p);
	buf_add(ed->out, line);
	buf_addn(ed->out, "\r\n", 2);
}

struct str body_edit_end(struct body_edit *ed)
{
	if (!ed->changed)
		return ed->body;
	copy_to(ed, ed->body.p + ed->body.n);
	return buf_str(ed->out);
}

struct str body_edit_lf(struct str field, struct buf *out)
{
	if (str_chr(field, '\n') < 0)
		return field;
	buf_clear(out);
	for (size_t i = 0; i < field.n; i++)
		if (field.p[i] != '\r')
			buf_addc(out, field.p[i]);
	return buf_str(out);
}
