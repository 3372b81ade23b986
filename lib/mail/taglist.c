/* lib/mail/taglist.c - tag lists: split at semicolons, each part at its first equals sign. */
#include "lib/mail/taglist.h"

#include <ctype.h>
#include <string.h>

/* tag-name = ALPHA *ALNUMPUNC */
static bool is_name(struct str s)
{
	if (s.n == 0 || !isalpha((unsigned char)s.p[0]))
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (!isalnum((unsigned char)s.p[i]) && s.p[i] != '_')
			return false;
	return true;
}

/* Printable bytes and the white space of folds. Bytes above 127 are let in: they are in records out there, and in U-labels. */
static bool is_value(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] < ' ' && strchr("\t\r\n", s.p[i]) == NULL)
			return false;
	return str_chr(s, '\0') < 0 && str_chr(s, 0x7f) < 0;
}

static const char *add(struct taglist *l, struct str part)
{
	struct str value = part, name = str_trim(str_cut(&value, '='));

	if (str_chr(part, '=') < 0)
		return "a tag without \"=\"";
	if (!is_name(name))
		return "a tag's name is malformed";
	if (!is_value(value))
		return "a tag's value has control characters";
	for (size_t i = 0; i < l->count; i++)
		if (str_eq(l->tags[i].name, name))
			return "a tag occurs twice";
	if (l->count == TAGS_MAX)
		return "too many tags";
	l->tags[l->count++] = (struct tag){ name, str_trim(value) };
	return NULL;
}

bool taglist_parse(struct str text, struct taglist *out, const char **why)
{
	struct str rest = text;

	out->count = 0;
	*why = NULL;
	while (rest.n > 0 && *why == NULL) {
		struct str part = str_cut(&rest, ';');

		/* Only the last semicolon may have nothing behind it. */
		if (str_trim(part).n == 0 && str_trim(rest).n == 0 && out->count > 0)
			break;
		*why = add(out, part);
	}
	if (*why == NULL && out->count == 0)
		*why = "no tags";
	return *why == NULL;
}

static const struct tag *find(const struct taglist *l, const char *name)
{
	for (size_t i = 0; i < l->count; i++)
		if (str_eqz(l->tags[i].name, name))
			return &l->tags[i];
	return NULL;
}

struct str taglist_get(const struct taglist *l, const char *name)
{
	const struct tag *t = find(l, name);

	return t == NULL ? STR_NONE : t->value;
}

bool taglist_has(const struct taglist *l, const char *name)
{
	return find(l, name) != NULL;
}

struct str taglist_plain(const struct taglist *l, const char *name, struct arena *a)
{
	struct str value = taglist_get(l, name);
	char *plain = arena_alloc(a, value.n + 1);
	size_t n = 0;

	for (size_t i = 0; i < value.n; i++)
		if (strchr(" \t\r\n", value.p[i]) == NULL)
			plain[n++] = value.p[i];
	return str_n(plain, n);
}
