/* mta/local/alias.c - parses what an alias stands for. */
#include "mta/local/alias.h"

#include <string.h>

struct targets {
	struct arena *a;
	struct target *v;
	size_t count, cap;
};

/* What is being read: quotes and comments taken off. */
struct reading {
	struct targets out;
	struct str rest;
	struct buf word;
	size_t phrase; /* targets before this one: what follows may be a display name, forgotten at its "<" */
	char literal; /* '|', '/' or ':': what the word begins with; parentheses and brackets are its own */
	bool user; /* it began with a backslash */
	bool quoted; /* it began with a quote */
	bool angle; /* within <...> */
	bool gap; /* a blank came after it */
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

static void begin_word(struct reading *r)
{
	buf_clear(&r->word);
	r->literal = '\0';
	r->user = r->quoted = r->angle = r->gap = false;
}

static int end_word(struct reading *r, struct err *e)
{
	struct str text = str_trim(buf_str(&r->word));
	enum target_kind kind = TARGET_ADDRESS;
	int result = 0;

	if (r->user) {
		kind = TARGET_USER;
	} else if (str_starts(text, STR("|"))) {
		kind = TARGET_COMMAND;
		text = str_trim(str_skip(text, 1));
	} else if (str_starts(text, STR("/")) || str_starts(text, STR("~/"))) {
		kind = TARGET_FILE;
	} else if (str_startsi(text, STR(":include:"))) {
		kind = TARGET_INCLUDE;
		text = str_trim(str_skip(text, 9));
	}
	if (text.n > 0)
		result = add_target(&r->out, kind, text, e);
	begin_word(r);
	return result;
}

/* A separator: what was a phrase so far are addresses. */
static int end_item(struct reading *r, struct err *e)
{
	int result = end_word(r, e);

	r->phrase = r->out.count;
	return result;
}

static void put(struct reading *r, char c)
{
	if (r->word.n == 0 && !r->user)
		r->literal = c == '|' || c == '/' || c == ':' ? c : '\0';
	buf_addc(&r->word, c);
}

static char take(struct reading *r)
{
	char c = r->rest.p[0];

	r->rest = str_skip(r->rest, 1);
	return c;
}

/* Up to and with the closing quote. */
static int read_quoted(struct reading *r, struct err *e)
{
	while (r->rest.n > 0) {
		char c = take(r);

		if (c == '"')
			return 0;
		put(r, c == '\\' && r->rest.n > 0 ? take(r) : c);
	}
	return err_perm(e, "quoted text without end");
}

/* Comments nest. */
static int skip_comment(struct reading *r, struct err *e)
{
	for (int level = 1; r->rest.n > 0;) {
		char c = take(r);

		if (c == '\\' && r->rest.n > 0)
			take(r);
		else if (c == '(')
			level++;
		else if (c == ')' && --level == 0)
			return 0;
	}
	return err_perm(e, "comment without end");
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* May quotes begin here? Within a command they are the shell's, but for those around all of it, before the bar or behind. */
static bool quotes_begin(const struct reading *r)
{
	return r->literal != '|' || str_eqz(str_trim(buf_str(&r->word)), "|");
}

/* Of a command without quotes all up to the comma; of a file or a list's name no blank. */
static int read_literal(struct reading *r, char c, struct err *e)
{
	struct str word = buf_str(&r->word);

	if (is_blank(c) && (str_eqz(word, ":") || str_eqiz(word, ":include:")))
		return 0;
	if (is_blank(c) && (r->literal != '|' || r->quoted))
		return end_word(r, e);
	put(r, c);
	return 0;
}

static void read_angle(struct reading *r, char c)
{
	if (c == '\\' && r->rest.n > 0)
		put(r, take(r));
	else if (c == '>')
		r->gap = true;
	else if (!is_blank(c) && !r->gap)
		put(r, c);
}

/* Words are addresses each, but "joe @ example . com" is one. */
static int read_plain(struct reading *r, char c, struct err *e)
{
	static const char joins[] = "@.";

	if (r->gap && r->word.n > 0 && strchr(joins, c) == NULL && strchr(joins, r->word.p[r->word.n - 1]) == NULL && end_word(r, e) < 0)
		return -1;
	r->gap = false;
	if (c == '\\' && r->rest.n > 0) {
		r->user = r->user || r->word.n == 0;
		c = take(r);
	}
	put(r, c);
	return 0;
}

static void forget_phrase(struct reading *r)
{
	r->out.count = r->phrase;
	begin_word(r);
}

/* "[...]" in one piece: it may hold colons. */
static int read_domain_literal(struct reading *r, struct err *e)
{
	if (read_plain(r, '[', e) < 0)
		return -1;
	while (r->rest.n > 0 && r->word.p[r->word.n - 1] != ']')
		put(r, take(r));
	return 0;
}

static int read_special(struct reading *r, char c, struct err *e)
{
	if (is_blank(c)) {
		r->gap = true;
	} else if (c == '<') {
		forget_phrase(r);
		r->angle = true;
	} else if (c == ':' && r->word.n > 0) {
		forget_phrase(r); /* "group: joe, jane;" */
	} else if (c == '[') {
		return read_domain_literal(r, e);
	} else {
		return read_plain(r, c, e);
	}
	return 0;
}

static int read_some(struct reading *r, struct err *e)
{
	char c = take(r);

	if (c == '"' && quotes_begin(r)) {
		if (r->gap && r->word.n > 0 && !r->angle && end_word(r, e) < 0)
			return -1;
		r->quoted = r->word.n == 0;
		return read_quoted(r, e);
	}
	if (c == '(' && !r->literal) {
		r->gap = r->gap || !r->angle;
		return skip_comment(r, e);
	}
	if ((c == ',' || (c == ';' && !r->literal)) && (!r->angle || r->gap))
		return end_item(r, e);
	if (r->angle && r->gap && !is_blank(c) && end_item(r, e) < 0) /* behind ">" */
		return -1;
	if (r->angle) {
		read_angle(r, c);
		return 0;
	}
	return r->literal ? read_literal(r, c, e) : read_special(r, c, e);
}

static int parse_list(struct targets *t, struct str value, struct err *e)
{
	struct reading r = { .out = *t, .rest = value, .phrase = t->count };
	int result = 0;

	while (r.rest.n > 0 && result == 0)
		result = read_some(&r, e);
	if (result == 0)
		result = end_item(&r, e);
	buf_done(&r.word);
	*t = r.out;
	return result;
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
