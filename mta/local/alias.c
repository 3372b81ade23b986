/* mta/local/alias.c - parses what an alias stands for. */
#include "mta/local/alias.h"

#include <string.h>

struct targets {
	struct arena *a;
	struct target *v;
	size_t count, cap;
};

/* One item as it is read: quotes and comments taken off. */
struct item {
	struct buf text;
	bool literal; /* begins with | / or : - parentheses and angle brackets are its own */
	bool angle; /* text began again at "<"; what follows ">" is not part of it */
	bool closed;
	bool user; /* began with a backslash */
};

static int add_target(struct targets *t, enum target_kind kind, struct str text, struct err *e)
{
	if (t->count == ALIAS_TARGETS_MAX)
		return err_perm(e, "more than %d targets", ALIAS_TARGETS_MAX);
	if (t->count == t->cap) {
		struct target *more = arena_alloc(t->a, (t->cap * 2 + 8) * sizeof *more);

		if (t->count > 0)
			memcpy(more, t->v, t->count * sizeof *more);
		t->v = more;
		t->cap = t->cap * 2 + 8;
	}
	t->v[t->count++] = (struct target){ kind, arena_dup(t->a, text) };
	return 0;
}

static int finish_item(struct targets *t, struct item *i, struct err *e)
{
	struct str text = str_trim(buf_str(&i->text));
	enum target_kind kind = TARGET_ADDRESS;

	if (i->user) {
		kind = TARGET_USER;
	} else if (str_starts(text, STR("|"))) {
		kind = TARGET_COMMAND;
		text = str_trim(str_skip(text, 1));
	} else if (str_starts(text, STR("/"))) {
		kind = TARGET_FILE;
	} else if (str_startsi(text, STR(":include:"))) {
		kind = TARGET_INCLUDE;
		text = str_trim(str_skip(text, 9));
	}
	return text.n > 0 ? add_target(t, kind, text, e) : 0;
}

static void put(struct item *i, char c)
{
	if (!i->closed)
		buf_addc(&i->text, c);
}

/* rest begins behind the opening quote. Returns the octets up to and with the closing one, or -1. */
static ptrdiff_t read_quoted(struct item *i, struct str rest)
{
	for (size_t at = 0; at < rest.n; at++) {
		char c = rest.p[at];

		if (c == '"')
			return (ptrdiff_t)at + 1;
		if (c == '\\' && at + 1 < rest.n)
			c = rest.p[++at];
		if (i->text.n == 0)
			i->literal = c == '|' || c == '/' || c == ':';
		put(i, c);
	}
	return -1;
}

/* A comment, nested ones within. rest begins behind "(". */
static ptrdiff_t skip_comment(struct str rest)
{
	int level = 1;

	for (size_t at = 0; at < rest.n; at++) {
		if (rest.p[at] == '\\')
			at++;
		else if (rest.p[at] == '(')
			level++;
		else if (rest.p[at] == ')' && --level == 0)
			return (ptrdiff_t)at + 1;
	}
	return -1;
}

/* Anything but quotes, comments and commas. Returns the octets used. */
static size_t read_plain(struct item *i, struct str rest)
{
	char c = rest.p[0];

	if (c == '\\' && rest.n > 1 && !i->literal) {
		if (i->text.n == 0)
			i->user = true;
		put(i, rest.p[1]);
		return 2;
	}
	if (c == '<' && !i->literal) {
		buf_clear(&i->text);
		i->angle = true;
	} else if (c == '>' && i->angle) {
		i->closed = true;
	} else if (i->text.n > 0 || strchr(" \t\r\n", c) == NULL) {
		if (i->text.n == 0)
			i->literal = c == '|' || c == '/' || c == ':';
		put(i, c);
	}
	return 1;
}

/* May quotes begin here? Within a command they are the shell's, but for those around all of it, before the bar or behind. */
static bool quotes_begin(const struct item *i)
{
	return !i->literal || i->text.n == 0 || str_eqz(str_trim(buf_str(&i->text)), "|");
}

/* One item up to its comma; *rest is what follows. */
static int read_item(struct str *rest, struct item *i, struct err *e)
{
	while (rest->n > 0) {
		ptrdiff_t used;

		if (rest->p[0] == ',' || (rest->p[0] == '\n' && i->text.n == 0)) {
			*rest = str_skip(*rest, 1);
			return 0;
		}
		if (rest->p[0] == '"' && quotes_begin(i))
			used = read_quoted(i, str_skip(*rest, 1)) + 1;
		else if (rest->p[0] == '(' && !i->literal)
			used = skip_comment(str_skip(*rest, 1)) + 1;
		else
			used = (ptrdiff_t)read_plain(i, *rest);
		if (used == 0)
			return err_perm(e, "%s without end", rest->p[0] == '"' ? "quoted text" : "comment");
		*rest = str_skip(*rest, (size_t)used);
	}
	return 0;
}

static int parse_list(struct targets *t, struct str value, struct err *e)
{
	while (value.n > 0) {
		struct item i = { .user = false };
		int r = read_item(&value, &i, e);

		if (r == 0)
			r = finish_item(t, &i, e);
		buf_done(&i.text);
		if (r < 0)
			return -1;
	}
	return 0;
}

int alias_parse(struct arena *a, struct str value, struct target **out, size_t *count, struct err *e)
{
	struct targets t = { .a = a };
	int r = parse_list(&t, value, e);

	*out = t.v;
	*count = t.count;
	return r;
}

int alias_parse_file(struct arena *a, struct str text, struct target **out, size_t *count, struct err *e)
{
	struct targets t = { .a = a };
	int r = 0;

	while (text.n > 0 && r == 0) {
		struct str line = str_trim(str_cut(&text, '\n'));

		if (!str_starts(line, STR("#")))
			r = parse_list(&t, line, e);
	}
	*out = t.v;
	*count = t.count;
	return r;
}
