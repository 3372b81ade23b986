/* lib/table/texthash.c - hash:, texthash: and their kin: the text file itself, "key value" or, as in aliases(5), "key: value" a line. Keys
 * are folded to lower case; quotes and backslashes of a quoted local part are taken off. A later line for the same key is warned of and
 * ignored.
 */
#include <strings.h>

#include "lib/base/log.h"
#include "lib/base/map.h"
#include "lib/base/mem.h"
#include "lib/conf/lines.h"
#include "lib/table/registry.h"
#include "lib/table/source.h"

#define WARNINGS_MAX 20 /* about one file: the operator has understood by then */

struct content {
	struct arena *life;
	struct map *values; /* key -> struct str */
};

/* Length of the key at the front: up to white space (or stop) outside double quotes. */
static size_t key_size(struct str line, char stop)
{
	bool quoted = false;
	size_t i;

	for (i = 0; i < line.n; i++) {
		char c = line.p[i];

		if (c == '\\' && i + 1 < line.n)
			i++;
		else if (c == '"')
			quoted = !quoted;
		else if (!quoted && (c == ' ' || c == '\t' || (stop != '\0' && c == stop)))
			break;
	}
	return i;
}

static bool all_in(struct str s, const char *set)
{
	for (size_t i = 0; i < s.n; i++)
		if (strchr(set, tolower((unsigned char)s.p[i])) == NULL)
			return false;
	return true;
}

enum line_style { STYLE_PLAIN, STYLE_ALIAS, STYLE_EITHER };

/* "name: value" or "name:value" is how alias files look. "[host]:587 secret", "host.example:587 ..." and IPv6 keys are not; "dad:mom" and
 * "name : value", which is a line of transport(5) as well, say nothing. */
static enum line_style line_style(struct str line)
{
	size_t n = key_size(line, ':');
	struct str key = str_sub(line, 0, n), after = str_skip(line, n + 1);

	if (n == 0 || n == line.n)
		return STYLE_PLAIN;
	if (line.p[n] != ':')
		return str_starts(str_trim(after), STR(":")) ? STYLE_EITHER : STYLE_PLAIN;
	if (after.n == 0 || after.p[0] == ' ' || after.p[0] == '\t')
		return STYLE_ALIAS;
	if (str_any(key, ".[@*") >= 0 || after.p[0] == ':' || all_in(str_sub(after, 0, key_size(after, '\0')), "0123456789"))
		return STYLE_PLAIN;
	return all_in(key, "0123456789abcdef") ? STYLE_EITHER : STYLE_ALIAS;
}

/* What most lines are: one slip must not change how all others are read. */
static bool is_alias_file(struct str text)
{
	struct lines l = { text, 1 };
	struct buf line = { 0 };
	size_t count[3] = { 0 };
	int number;

	while (lines_next(&l, &line, &number))
		count[line_style(buf_str(&line))]++;
	buf_done(&line);
	return count[STYLE_ALIAS] > count[STYLE_PLAIN];
}

/* Lower case, without the quotes and backslashes of a quoted part. */
static struct str clean_key(struct arena *a, struct str key)
{
	char *p = arena_alloc(a, key.n + 1);
	size_t n = 0;

	for (size_t i = 0; i < key.n; i++) {
		if (key.p[i] == '"')
			continue;
		if (key.p[i] == '\\' && i + 1 < key.n)
			i++;
		p[n++] = (char)tolower((unsigned char)key.p[i]);
	}
	return str_n(p, n);
}

/* NULL: well; else what is wrong with the line. */
static const char *add_line(struct content *c, struct str line, bool alias)
{
	size_t n = key_size(line, alias ? ':' : '\0');
	struct str key, value, *stored;

	if (alias) {
		key = str_sub(line, 0, n);
		line = str_trim(str_skip(line, n));
		if (line.n == 0 || line.p[0] != ':')
			return "\"name: value\" expected";
		value = str_trim(str_skip(line, 1));
	} else {
		key = str_sub(line, 0, n);
		value = str_trim(str_skip(line, n));
	}
	if (key.n == 0 || value.n == 0)
		return alias ? "\"name: value\" expected" : "\"key value\" expected";
	key = str_any(key, "\"\\") >= 0 ? clean_key(c->life, key) : arena_lower(c->life, key);
	if (map_get(c->values, key) != NULL)
		return "the key has a value already, this one is ignored";
	stored = arena_alloc(c->life, sizeof *stored);
	*stored = arena_dup(c->life, value);
	(void)map_put(c->values, key, stored);
	return NULL;
}

static void *content_parse(const char *file, struct str text, struct err *e)
{
	struct content *c = mem_alloc(sizeof *c);
	bool alias = is_alias_file(text);
	struct lines l = { text, 1 };
	struct buf line = { 0 };
	int number, warnings = 0;

	(void)e; /* a bad line costs itself, not the table */
	c->life = arena_new("table");
	c->values = map_new();
	while (lines_next(&l, &line, &number)) {
		struct str s = buf_str(&line);
		const char *wrong =
			s.p[0] == ' ' || s.p[0] == '\t' ? "the first line must not begin with white space" : add_line(c, s, alias);

		if (wrong != NULL && ++warnings <= WARNINGS_MAX)
			log_warn("%s:%d: %s", file, number, wrong);
	}
	buf_done(&line);
	return c;
}

static void content_free(void *content)
{
	struct content *c = content;

	map_free(c->values, NULL);
	arena_free(c->life);
	mem_free(c);
}

static int text_open(struct table *t, struct str name, struct err *e)
{
	static const struct source_format format = { content_parse, content_free, false };

	t->state = source_open(t, name, &format, e);
	if (t->state == NULL && e->kind == ERR_TEMP)
		(void)err_context(e, "the text file itself is read, no index file is needed");
	return t->state == NULL ? -1 : 0;
}

static enum table_answer text_lookup(struct table *t, struct str key, struct buf *value, struct err *e)
{
	struct buf folded = { 0 };
	struct content *c;
	const struct str *found;

	(void)e; /* memory lookups cannot fail */
	buf_add_lower(&folded, key);
	c = source_use(t->state);
	found = map_get(c->values, buf_str(&folded));
	if (found != NULL)
		buf_add(value, *found);
	source_release(t->state);
	buf_done(&folded);
	return found != NULL ? TABLE_FOUND : TABLE_MISSING;
}

static void text_close(struct table *t)
{
	source_close(t->state);
}

#define TEXT_TYPE(name)                                                                                                                    \
	{                                                                                                                                  \
		name, TABLE_THREAD_OK, text_open, text_lookup, text_close                                                                  \
	}

const struct table_type table_text_types[] = {
	TEXT_TYPE("btree"),
	TEXT_TYPE("cdb"),
	TEXT_TYPE("dbm"),
	TEXT_TYPE("hash"),
	TEXT_TYPE("sdbm"),
	TEXT_TYPE("texthash"),
};
const size_t table_text_type_count = sizeof table_text_types / sizeof *table_text_types;
