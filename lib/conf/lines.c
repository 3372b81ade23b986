/* lib/conf/lines.c - logical lines of Postfix's configuration and table files. */
#include "lib/conf/lines.h"

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\f' || c == '\v';
}

static struct str without_trailing_blanks(struct str s)
{
	while (s.n > 0 && is_blank(s.p[s.n - 1]))
		s.n--;
	return s;
}

/* Empty lines and lines whose first visible character is '#'. */
static bool says_nothing(struct str s)
{
	size_t i = 0;

	while (i < s.n && is_blank(s.p[i]))
		i++;
	return i == s.n || s.p[i] == '#';
}

/* Can the text behind a line not continue it? Then it need not be looked at more closely. */
static bool begins_line(char first)
{
	return !is_blank(first) && first != '#' && first != '\n';
}

bool lines_cut(struct lines *l, struct buf *space, struct str *text, int *line)
{
	bool begun = false, joined = false;

	while (l->rest.n > 0 && !(begun && begins_line(l->rest.p[0]))) {
		struct str one = str_cut(&l->rest, '\n');

		l->next++;
		if (says_nothing(one))
			continue;
		one = without_trailing_blanks(one);
		if (!begun) {
			*text = one;
			*line = l->next - 1;
			begun = true;
			continue;
		}
		if (!joined) {
			buf_clear(space);
			buf_add(space, *text);
			joined = true;
		}
		buf_add(space, one);
	}
	if (joined)
		*text = buf_str(space);
	return begun;
}

bool lines_next(struct lines *l, struct buf *text, int *line)
{
	struct buf space = { 0 };
	struct str found = STR_NONE;
	bool more = lines_cut(l, &space, &found, line);

	buf_clear(text);
	buf_add(text, found);
	buf_done(&space);
	return more;
}

size_t lines_most(struct str text)
{
	size_t count = 1; /* the first line, whatever it begins with */
	ptrdiff_t end;

	while ((end = str_chr(text, '\n')) >= 0) {
		text = str_skip(text, (size_t)end + 1);
		count += text.n > 0 && begins_line(text.p[0]);
	}
	return count;
}
