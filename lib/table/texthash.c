/* lib/table/texthash.c - hash:, texthash: and their kin: the text file itself, "key value" or, as in aliases(5), "key: value" a line. Keys
 * are folded to lower case; addresses with a quoted local part are keys with the quotes, names of aliases without. A later line for the same
 * key is warned of and ignored.
 */
#include <strings.h>

#include "lib/base/hash.h"
#include "lib/base/mem.h"
#include "lib/base/utf8.h"
#include "lib/conf/lines.h"
#include "lib/table/registry.h"
#include "lib/table/source.h"
#include "lib/table/store.h"

#define STYLE_LINES_MAX 2000 /* lines that are looked at to see what kind of file it is */

struct slot { /* of a table with open addressing */
	uint32_t hash, at; /* at: of the key in store, from 1; 0: empty */
	uint32_t line; /* of the file */
};

struct content {
	char *store; /* the text read, made into "key NUL value NUL" in place: a pair is never longer than the lines it comes from */
	size_t used;
	struct slot *slots;
	uint32_t slot_count; /* a power of two, well more than there are keys */
};

static uint32_t hash_of(struct str key)
{
	return (uint32_t)hash_bytes(key);
}

static struct str string_at(const struct content *c, size_t at)
{
	return str_z(c->store + at);
}

/* The slot with this key, or the empty one where the search ended. */
static struct slot *find(const struct content *c, uint32_t hash, struct str key)
{
	uint32_t i = hash & (c->slot_count - 1);

	while (c->slots[i].at != 0 && (c->slots[i].hash != hash || !str_eq(string_at(c, c->slots[i].at - 1), key)))
		i = (i + 1) & (c->slot_count - 1);
	return &c->slots[i];
}

static void add_string(struct content *c, struct str s)
{
	memmove(c->store + c->used, s.p, s.n);
	c->used += s.n;
	c->store[c->used++] = '\0';
}

/* False: the key has a value already. */
static bool add_pair(struct content *c, struct str key, struct str value, int line)
{
	uint32_t hash = hash_of(key);
	struct slot *slot = find(c, hash, key);

	if (slot->at != 0)
		return false;
	*slot = (struct slot){ hash, (uint32_t)c->used + 1, (uint32_t)line };
	add_string(c, key);
	add_string(c, value);
	return true;
}

/* Length of the key at the front: up to white space (or stop) outside double quotes. */
static size_t key_size(struct str line, char stop)
{
	bool quoted = false;
	size_t i;

	for (i = 0; i < line.n; i++) {
		char c = line.p[i];

		if ((unsigned char)c > ' ' && c != '"' && c != '\\' && c != stop)
			continue; /* most are */
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
	struct buf space = { 0 };
	struct str line;
	size_t count[3] = { 0 };
	int number, seen = 0;

	while (seen++ < STYLE_LINES_MAX && lines_cut(&l, &space, &line, &number))
		count[line_style(line)]++;
	buf_done(&space);
	return count[STYLE_ALIAS] > count[STYLE_PLAIN];
}

/* Without the quotes and backslashes of a quoted part. */
static void unquote_key(struct buf *out, struct str key)
{
	for (size_t i = 0; i < key.n; i++) {
		if (key.p[i] == '"')
			continue;
		if (key.p[i] == '\\' && i + 1 < key.n)
			i++;
		buf_addc(out, key.p[i]);
	}
}

struct key_writer {
	bool alias, keep_case;
	struct buf plain, folded;
};

/* A key of the file as it is looked up; lives in w until the next one. */
static struct str write_key(struct key_writer *w, struct str key)
{
	if (w->alias && str_any(key, "\"\\") >= 0) {
		buf_clear(&w->plain);
		unquote_key(&w->plain, key);
		key = buf_str(&w->plain);
	}
	if (w->keep_case)
		return key;
	buf_clear(&w->folded);
	table_fold(&w->folded, key);
	return buf_str(&w->folded);
}

static void key_writer_done(struct key_writer *w)
{
	buf_done(&w->plain);
	buf_done(&w->folded);
}

/* Take a line apart. NULL: well; else what is wrong with it. */
static const char *cut_line(struct str line, bool alias, struct str *key, struct str *value)
{
	size_t n = key_size(line, alias ? ':' : '\0');

	*key = str_sub(line, 0, n);
	*value = str_trim(str_skip(line, n));
	if (line.p[0] == ' ' || line.p[0] == '\t')
		return "the first line must not begin with white space";
	if (memchr(line.p, '\0', line.n) != NULL)
		return "a line must not have a NUL octet";
	if (alias) {
		if (value->n == 0 || value->p[0] != ':')
			return "\"name: value\" expected";
		*value = str_trim(str_skip(*value, 1));
	}
	if (key->n > 0 && value->n > 0)
		return NULL;
	return alias ? "\"name: value\" expected" : "\"key value\" expected";
}

/* Folding makes no ASCII key longer; others may outgrow their line, so that their text begins later than the pairs do. Returns where. */
static size_t make_room(struct buf *text)
{
	size_t beyond_ascii = utf8_beyond_ascii(buf_str(text)), room = TABLE_FOLDED_MAX(beyond_ascii) - beyond_ascii;

	(void)buf_reserve(text, room);
	if (room > 0)
		memmove(text->p + room, text->p, text->n);
	return room;
}

/* Slots for all lines, if each is a pair, and half as many more. */
static void make_slots(struct content *c, size_t lines)
{
	c->slot_count = 64;
	while (c->slot_count < lines + lines / 2)
		c->slot_count *= 2;
	c->slots = mem_array(c->slot_count, sizeof *c->slots);
}

static void *content_parse(const char *file, struct buf *text, struct complaints *complaints)
{
	struct content *c = mem_alloc(sizeof *c);
	struct key_writer w = { .alias = is_alias_file(buf_str(text)) };
	size_t size = text->n, room = make_room(text);
	struct lines l = { str_n(text->p + room, size), 1 };
	struct buf space = { 0 };
	struct str line, key, value;
	int number;

	c->store = text->p;
	*text = (struct buf){ 0 };
	make_slots(c, lines_most(l.rest));
	while (lines_cut(&l, &space, &line, &number)) {
		const char *wrong = cut_line(line, w.alias, &key, &value);

		if (wrong != NULL)
			complain_line(complaints, true, file, number, wrong);
		else if (!add_pair(c, write_key(&w, key), value, number))
			complain_line(complaints, false, file, number, "the key has a value already, this one is ignored");
	}
	key_writer_done(&w);
	buf_done(&space);
	c->store = mem_grow(c->store, c->used + 1, 1);
	return c;
}

void table_read_text(const struct text_reader *r, struct str text)
{
	struct lines l = { text, 1 };
	struct key_writer w = { .alias = r->alias, .keep_case = r->keep_case };
	struct buf space = { 0 };
	struct str line, key, value;
	int number;

	while (lines_cut(&l, &space, &line, &number)) {
		const char *wrong = cut_line(line, r->alias, &key, &value);

		if (wrong != NULL)
			r->wrong(r->ctx, number, wrong);
		else
			r->pair(r->ctx, number, write_key(&w, key), value);
	}
	key_writer_done(&w);
	buf_done(&space);
}

static void content_free(void *content)
{
	struct content *c = content;

	mem_free(c->slots);
	mem_free(c->store);
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
	const struct content *c;
	struct slot slot;

	(void)e; /* memory lookups cannot fail */
	key = table_key(t, key, &folded);
	c = source_use(t->state);
	slot = *find(c, hash_of(key), key);
	if (slot.at != 0) {
		buf_add(value, string_at(c, slot.at + key.n));
		table_found_at(slot.line);
	}
	source_release(t->state);
	buf_done(&folded);
	return slot.at != 0 ? TABLE_FOUND : TABLE_MISSING;
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
	TEXT_TYPE("dbm"),
	TEXT_TYPE("hash"),
	TEXT_TYPE("sdbm"),
	TEXT_TYPE("texthash"),
};
const size_t table_text_type_count = sizeof table_text_types / sizeof *table_text_types;

static int text_each(struct table *t, table_each_fn *fn, void *ctx, struct err *e)
{
	const struct content *c = source_use(t->state);

	(void)e; /* cannot fail */
	for (size_t at = 0; at < c->used;) {
		struct str key = string_at(c, at), value = string_at(c, at + key.n + 1);

		fn(ctx, key, value);
		at += key.n + 1 + value.n + 1;
	}
	source_release(t->state);
	return 0;
}

const struct table_store table_text_store = { &table_text_types[0], "", text_each, NULL, false };
