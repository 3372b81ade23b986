/* lib/mail/header_addr.c - the addresses of a From, To or Cc field: one pass over RFC 5322 section 3.4 and its obsolete forms
 * (section 4.4), lenient, since the text comes from anybody. Declared in header.h. */
#include <string.h>

#include "lib/mail/addr.h"
#include "lib/mail/header.h"

#define ADDRESSES_MAX 10240 /* in one field; Postfix's header_address_token_limit */

struct scan {
	struct arena *a;
	struct str rest;
	struct buf word; /* the address being collected, unquoted */
	bool in_angle, done; /* inside <...>; address complete, only decoration may follow */
	bool gap; /* a blank came after word */
	size_t begun; /* found before this element of the list */
	struct str *found;
	size_t count, cap;
};

static void emit(struct scan *s)
{
	if (s->word.n > 0 && s->count < ADDRESSES_MAX) {
		if (s->count == s->cap) {
			size_t cap = s->cap > 0 ? 2 * s->cap : 8;
			struct str *more = arena_alloc(s->a, cap * sizeof *more);

			if (s->count > 0)
				memcpy(more, s->found, s->count * sizeof *more);
			s->found = more;
			s->cap = cap;
		}
		s->found[s->count++] = arena_dup(s->a, buf_str(&s->word));
	}
	buf_clear(&s->word);
	s->in_angle = s->done = s->gap = false;
}

static void end_element(struct scan *s)
{
	emit(s);
	s->begun = s->count;
}

static char next(struct scan *s)
{
	char c = s->rest.p[0];

	s->rest = str_skip(s->rest, 1);
	return c;
}

static void skip_comment(struct scan *s)
{
	size_t depth = 1;

	while (s->rest.n > 0 && depth > 0) {
		char c = next(s);

		if (c == '\\' && s->rest.n > 0)
			next(s);
		else if (c == '(')
			depth++;
		else if (c == ')')
			depth--;
	}
}

/* "a@b.test c@d.test" are two, unless a "<" shows that they were a display name. */
static bool is_whole(const struct scan *s)
{
	char last = s->word.n > 0 ? s->word.p[s->word.n - 1] : '@';

	return !s->in_angle && last != '@' && last != '.' && str_chr(buf_str(&s->word), '@') > 0;
}

/* Line ends never get into an address. */
static void put(struct scan *s, char c)
{
	if (s->done || c == '\r' || c == '\n' || c == '\0')
		return;
	if (s->gap && c != '@' && c != '.' && is_whole(s))
		emit(s);
	if (s->gap && s->word.n > 0 && c != '@' && c != '.' && s->word.p[s->word.n - 1] != '@' && s->word.p[s->word.n - 1] != '.')
		buf_addc(&s->word, ' ');
	s->gap = false;
	buf_addc(&s->word, c);
}

static void take_quoted(struct scan *s)
{
	while (s->rest.n > 0) {
		char c = next(s);

		if (c == '"')
			return;
		if (c == '\\' && s->rest.n > 0)
			c = next(s);
		put(s, c);
	}
}

static void take_literal(struct scan *s)
{
	put(s, '[');
	while (s->rest.n > 0) {
		char c = next(s);

		put(s, c);
		if (c == ']')
			return;
	}
}

/* What was collected so far was a display name, a group's name, or a source route. */
static void forget(struct scan *s)
{
	buf_clear(&s->word);
	s->gap = false;
}

static void take(struct scan *s, char c)
{
	switch (c) {
	case '(':
		skip_comment(s);
		break;
	case '"':
		take_quoted(s);
		break;
	case '[':
		take_literal(s);
		break;
	case '<':
		if (s->done)
			break;
		forget(s);
		s->count = s->begun;
		s->in_angle = true;
		break;
	case '>':
		s->in_angle = false;
		s->done = true;
		break;
	case ':':
		if (!s->done)
			forget(s);
		break;
	case ',':
		if (!s->in_angle || s->word.n == 0 || s->word.p[0] != '@')
			end_element(s);
		break;
	case ';':
		end_element(s);
		break;
	case ' ':
	case '\t':
	case '\r':
	case '\n':
		s->gap = true;
		break;
	default:
		if (c == '\\' && s->rest.n > 0)
			c = next(s);
		put(s, c);
	}
}

size_t header_addresses(struct arena *a, struct str value, struct str **out)
{
	struct scan s = { .a = a, .rest = value };

	while (s.rest.n > 0)
		take(&s, next(&s));
	emit(&s);
	buf_done(&s.word);
	*out = s.found;
	return s.count;
}
