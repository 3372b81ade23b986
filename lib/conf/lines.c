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

bool lines_next(struct lines *l, struct buf *text, int *line)
{
	bool begun = false;

	buf_clear(text);
	while (l->rest.n > 0) {
		struct str rest = l->rest, one = str_cut(&rest, '\n');

		if (!says_nothing(one)) {
			if (begun && !is_blank(one.p[0]))
				break;
			if (!begun)
				*line = l->next;
			begun = true;
			buf_add(text, without_trailing_blanks(one));
		}
		l->rest = rest;
		l->next++;
	}
	return begun;
}
