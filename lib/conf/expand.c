/* lib/conf/expand.c - $name and ${name?text:text} in configuration values, with Postfix's rules for braces, conditions and comparisons. */
#include "lib/conf/conf.h"

#define EXPAND_DEPTH_MAX 32 /* ${a?{${b?{...}}}}: nobody writes more than three by hand */
#define EXPAND_SIZE_MAX (1024 * 1024) /* octets of one value */

struct expansion {
	const char *(*find)(void *ctx, struct str name);
	void *ctx;
	struct buf *out;
	struct err *e;
	int depth;
	bool *whole; /* until a value is missing */
};

static int expand_text(struct expansion *x, struct str text);

static bool name_char(char c)
{
	return isalnum((unsigned char)c) || c == '_';
}

static struct str cut_name(struct str *rest)
{
	size_t n = 0;
	struct str name;

	while (n < rest->n && name_char(rest->p[n]))
		n++;
	name = str_sub(*rest, 0, n);
	*rest = str_skip(*rest, n);
	return name;
}

static struct str skip_blank(struct str s)
{
	while (s.n > 0 && (s.p[0] == ' ' || s.p[0] == '\t'))
		s = str_skip(s, 1);
	return s;
}

static void put_value(struct expansion *x, struct str name)
{
	struct str value = str_z(x->find(x->ctx, name));

	if (value.n == 0)
		*x->whole = false;
	buf_add(x->out, value);
}

/* The text between s[0], an opening bracket, and its partner; *rest is what follows. -1: no partner. */
static int cut_group(struct str s, struct str *inside, struct str *rest)
{
	char open = s.p[0], shut = open == '{' ? '}' : ')';
	int level = 0;

	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == open)
			level++;
		else if (s.p[i] == shut && --level == 0) {
			*inside = str_sub(s, 1, i - 1);
			*rest = str_skip(s, i + 1);
			return 0;
		}
	}
	return -1;
}

/* "{text}" with blanks around it, as in ${name ? {a} : {b}}. */
static int cut_braced(struct expansion *x, struct str *rest, struct str *inside)
{
	*rest = skip_blank(*rest);
	if (rest->n == 0 || rest->p[0] != '{' || cut_group(*rest, inside, rest) < 0)
		return err_perm(x->e, "\"{text}\" expected at \"%.*s\"", STRF(*rest));
	*rest = skip_blank(*rest);
	return 0;
}

/* What follows a condition: "?{a}:{b}", "?{a}", ":{b}", or the older "?text" and ":text" up to the end. */
static int expand_choice(struct expansion *x, bool holds, struct str rest)
{
	struct str yes = STR_NONE, no = STR_NONE;
	char first = rest.p[0];

	if (first != '?' && first != ':')
		return err_perm(x->e, "\"?\" or \":\" expected at \"%.*s\"", STRF(rest));
	rest = str_skip(rest, 1);
	if (skip_blank(rest).n == 0 || skip_blank(rest).p[0] != '{')
		return holds == (first == '?') ? expand_text(x, rest) : 0;
	if (cut_braced(x, &rest, first == '?' ? &yes : &no) < 0)
		return -1;
	if (first == '?' && rest.n > 0 && rest.p[0] == ':') {
		rest = str_skip(rest, 1);
		if (cut_braced(x, &rest, &no) < 0)
			return -1;
	}
	if (rest.n > 0)
		return err_perm(x->e, "unexpected \"%.*s\" after a condition", STRF(rest));
	return expand_text(x, holds ? yes : no);
}

/* Three numbers of a release "3.6.1" compared part by part. */
static int level_compare(struct str a, struct str b)
{
	for (int i = 0; i < 3; i++) {
		uint64_t m = 0, n = 0;

		(void)str_to_u64(str_cut(&a, '.'), UINT32_MAX, &m); /* a missing or odd part counts as 0 */
		(void)str_to_u64(str_cut(&b, '.'), UINT32_MAX, &n);
		if (m != n)
			return m < n ? -1 : 1;
	}
	return 0;
}

/* Numbers compare as numbers, anything else as text. */
static int value_compare(struct str a, struct str b)
{
	uint64_t m, n;

	if (str_to_u64(a, UINT64_MAX, &m) && str_to_u64(b, UINT64_MAX, &n))
		return m < n ? -1 : m > n;
	return str_cmp(a, b);
}

enum { LESS = 1, EQUAL = 2, MORE = 4 };

static const struct {
	const char *word;
	int accepts;
	int (*compare)(struct str a, struct str b);
} operators[] = {
	{ "<=level", LESS | EQUAL, level_compare }, /* longer words first */
	{ ">=level", MORE | EQUAL, level_compare },
	{ "==level", EQUAL, level_compare },
	{ "!=level", LESS | MORE, level_compare },
	{ "<level", LESS, level_compare },
	{ ">level", MORE, level_compare },
	{ "<=", LESS | EQUAL, value_compare },
	{ ">=", MORE | EQUAL, value_compare },
	{ "==", EQUAL, value_compare },
	{ "!=", LESS | MORE, value_compare },
	{ "<", LESS, value_compare },
	{ ">", MORE, value_compare },
};

/* Expand text into its own buffer. */
static int expand_apart(struct expansion *x, struct str text, struct buf *out)
{
	struct expansion sub = *x;

	sub.out = out;
	return expand_text(&sub, text);
}

/* "{left} operator {right} ? {a} : {b}" */
static int expand_comparison(struct expansion *x, struct str rest)
{
	struct str left, right;
	struct buf a = { 0 }, b = { 0 };
	size_t op;
	int order, r = -1;

	if (cut_braced(x, &rest, &left) < 0)
		return -1;
	for (op = 0; op < sizeof operators / sizeof *operators; op++)
		if (str_starts(rest, str_z(operators[op].word)))
			break;
	if (op == sizeof operators / sizeof *operators)
		return err_perm(x->e, "comparison expected at \"%.*s\"", STRF(rest));
	rest = str_skip(rest, strlen(operators[op].word));
	if (cut_braced(x, &rest, &right) < 0)
		return -1;
	if (expand_apart(x, left, &a) == 0 && expand_apart(x, right, &b) == 0) {
		order = operators[op].compare(buf_str(&a), buf_str(&b));
		order = order < 0 ? LESS : order > 0 ? MORE : EQUAL;
		if (rest.n == 0) /* the bare condition is its truth */
			r = operators[op].accepts & order ? (buf_addz(x->out, "true"), 0) : 0;
		else
			r = expand_choice(x, operators[op].accepts & order, rest);
	}
	buf_done(&a);
	buf_done(&b);
	return r;
}

/* The inside of ${...} or $(...). */
static int expand_group(struct expansion *x, struct str inside)
{
	struct str rest = skip_blank(inside), name;

	if (rest.n > 0 && rest.p[0] == '{')
		return expand_comparison(x, rest);
	name = cut_name(&rest);
	if (name.n == 0)
		return err_perm(x->e, "bad parameter name in \"${%.*s}\"", STRF(inside));
	if (skip_blank(rest).n > 0 && (rest.p[0] == ' ' || rest.p[0] == '\t'))
		rest = skip_blank(rest);
	if (skip_blank(rest).n > 0)
		return expand_choice(x, str_z(x->find(x->ctx, name)).n > 0, rest);
	put_value(x, name);
	return 0;
}

/* One reference: text begins behind its '$'. */
static int expand_reference(struct expansion *x, struct str *text)
{
	struct str inside, name;

	if (text->n > 0 && text->p[0] == '$') {
		buf_addc(x->out, '$');
		*text = str_skip(*text, 1);
		return 0;
	}
	if (text->n > 0 && (text->p[0] == '{' || text->p[0] == '(')) {
		if (cut_group(*text, &inside, text) < 0)
			return err_perm(x->e, "unbalanced brackets in \"$%.*s\"", STRF(*text));
		return expand_group(x, inside);
	}
	name = cut_name(text);
	if (name.n == 0)
		return err_perm(x->e, "no parameter name after \"$\" (write \"$$\" for the character)");
	put_value(x, name);
	return 0;
}

static int expand_text(struct expansion *x, struct str text)
{
	if (++x->depth > EXPAND_DEPTH_MAX)
		return err_perm(x->e, "expansions nested deeper than %d", EXPAND_DEPTH_MAX);
	for (;;) {
		ptrdiff_t at = str_chr(text, '$');

		buf_add(x->out, at < 0 ? text : str_sub(text, 0, (size_t)at));
		if (at < 0)
			break;
		text = str_skip(text, (size_t)at + 1);
		if (expand_reference(x, &text) < 0)
			return -1;
		if (x->out->n > EXPAND_SIZE_MAX)
			return err_perm(x->e, "expands to more than %d octets", EXPAND_SIZE_MAX);
	}
	x->depth--;
	return 0;
}

int conf_expand_whole(
	struct str text, const char *(*find)(void *ctx, struct str name), void *ctx, struct buf *out, bool *whole, struct err *e)
{
	struct expansion x = { find, ctx, out, e, 0, whole };

	*whole = true;
	return expand_text(&x, text);
}

int conf_expand(struct str text, const char *(*find)(void *ctx, struct str name), void *ctx, struct buf *out, struct err *e)
{
	bool whole;

	return conf_expand_whole(text, find, ctx, out, &whole, e);
}
