/* lib/table/texthash.c - hash:, texthash: and their kin: the text file itself, "key value" or, as in aliases(5), "key: value" a line. Keys
 * are folded to lower case; addresses with a quoted local part are keys with the quotes, names of aliases without. A later line for the same
 * key is warned of and ignored.
 */
#include <strings.h>

#include "lib/base/hash.h"
#include "lib/base/mem.h"
#include "lib/conf/lines.h"
#include "lib/table/registry.h"
#include "lib/table/source.h"
#include "lib/table/store.h"

#define STYLE_LINES_MAX 2000 /* lines that are looked at to see what kind of file it is */

struct pair { /* in store: the key, then the value */
	size_t at;
	uint32_t key_size, value_size;
};

struct slot { /* of a table with open addressing */
	uint32_t hash, number; /* number: of the pair, from 1; 0: empty */
};

struct content {
	char *store; /* room for the whole file, which holds no key or value twice, and for what folding adds */
	size_t used;
	struct pair *pairs;
	uint32_t count, cap;
	struct slot *slots;
	uint32_t slot_count; /* a power of two, more than count */
};

static uint32_t hash_of(struct str key)
{
	return (uint32_t)hash_bytes(key);
}

static struct str key_of(const struct content *c, uint32_t number)
{
	const struct pair *p = &c->pairs[number - 1];

	return str_n(c->store + p->at, p->key_size);
}

/* The slot with this key, or the empty one where the search ended. */
static struct slot *find(const struct content *c, uint32_t hash, struct str key)
{
	uint32_t i = hash & (c->slot_count - 1);

	while (c->slots[i].number != 0 && (c->slots[i].hash != hash || !str_eq(key_of(c, c->slots[i].number), key)))
		i = (i + 1) & (c->slot_count - 1);
	return &c->slots[i];
}

/* Twice the slots. */
static void widen(struct content *c)
{
	struct slot *old = c->slots;
	uint32_t old_count = c->slot_count;

	c->slot_count = old_count == 0 ? 64 : old_count * 2;
	c->slots = mem_array(c->slot_count, sizeof *c->slots);
	for (uint32_t k = 0; k < old_count; k++) {
		uint32_t i = old[k].hash & (c->slot_count - 1);

		if (old[k].number == 0)
			continue;
		while (c->slots[i].number != 0)
			i = (i + 1) & (c->slot_count - 1);
		c->slots[i] = old[k];
	}
	mem_free(old);
}

/* False: the key has a value already. */
static bool add_pair(struct content *c, struct str key, struct str value)
{
	uint32_t hash = hash_of(key);
	struct slot *slot;

	if (c->count >= c->slot_count / 3 * 2)
		widen(c);
	slot = find(c, hash, key);
	if (slot->number != 0)
		return false;
	if (c->count == c->cap) {
		c->cap = c->cap == 0 ? 64 : c->cap * 2;
		c->pairs = mem_grow(c->pairs, c->cap, sizeof *c->pairs);
	}
	memcpy(c->store + c->used, key.p, key.n);
	memcpy(c->store + c->used + key.n, value.p, value.n);
	c->pairs[c->count++] = (struct pair){ c->used, (uint32_t)key.n, (uint32_t)value.n };
	*slot = (struct slot){ hash, c->count };
	c->used += key.n + value.n;
	return true;
}

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
	int number, seen = 0;

	while (seen++ < STYLE_LINES_MAX && lines_next(&l, &line, &number))
		count[line_style(buf_str(&line))]++;
	buf_done(&line);
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

/* Folding makes no ASCII key longer. */
static size_t store_size(struct str text)
{
	size_t beyond_ascii = 0;

	for (size_t i = 0; i < text.n; i++)
		beyond_ascii += (unsigned char)text.p[i] >> 7;
	return text.n + TABLE_FOLDED_MAX(beyond_ascii) + 1;
}

/* Take a line apart. NULL: well; else what is wrong with it. */
static const char *cut_line(struct str line, bool alias, struct str *key, struct str *value)
{
	size_t n = key_size(line, alias ? ':' : '\0');

	*key = str_sub(line, 0, n);
	*value = str_trim(str_skip(line, n));
	if (line.p[0] == ' ' || line.p[0] == '\t')
		return "the first line must not begin with white space";
	if (alias) {
		if (value->n == 0 || value->p[0] != ':')
			return "\"name: value\" expected";
		*value = str_trim(str_skip(*value, 1));
	}
	if (key->n > 0 && value->n > 0)
		return NULL;
	return alias ? "\"name: value\" expected" : "\"key value\" expected";
}

static void *content_parse(const char *file, struct str text, struct complaints *complaints)
{
	struct content *c = mem_alloc(sizeof *c);
	struct key_writer w = { .alias = is_alias_file(text) };
	struct lines l = { text, 1 };
	struct buf line = { 0 };
	struct str key, value;
	int number;

	c->store = mem_alloc(store_size(text));
	widen(c);
	while (lines_next(&l, &line, &number)) {
		const char *wrong = cut_line(buf_str(&line), w.alias, &key, &value);

		if (wrong != NULL)
			complain_line(complaints, true, file, number, wrong);
		else if (!add_pair(c, write_key(&w, key), value))
			complain_line(complaints, false, file, number, "the key has a value already, this one is ignored");
	}
	key_writer_done(&w);
	buf_done(&line);
	return c;
}

void table_read_text(const struct text_reader *r, struct str text)
{
	struct lines l = { text, 1 };
	struct key_writer w = { .alias = r->alias, .keep_case = r->keep_case };
	struct buf line = { 0 };
	struct str key, value;
	int number;

	while (lines_next(&l, &line, &number)) {
		const char *wrong = cut_line(buf_str(&line), r->alias, &key, &value);

		if (wrong != NULL)
			r->wrong(r->ctx, number, wrong);
		else
			r->pair(r->ctx, number, write_key(&w, key), value);
	}
	key_writer_done(&w);
	buf_done(&line);
}

static void content_free(void *content)
{
	struct content *c = content;

	mem_free(c->slots);
	mem_free(c->pairs);
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
	uint32_t number;

	(void)e; /* memory lookups cannot fail */
	key = table_key(t, key, &folded);
	c = source_use(t->state);
	number = find(c, hash_of(key), key)->number;
	if (number != 0)
		buf_addn(value, c->store + c->pairs[number - 1].at + key.n, c->pairs[number - 1].value_size);
	source_release(t->state);
	buf_done(&folded);
	return number != 0 ? TABLE_FOUND : TABLE_MISSING;
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
	for (uint32_t i = 0; i < c->count; i++)
		fn(ctx, key_of(c, i + 1), str_n(c->store + c->pairs[i].at + c->pairs[i].key_size, c->pairs[i].value_size));
	source_release(t->state);
	return 0;
}

const struct table_store table_text_store = { &table_text_types[0], "", text_each, NULL, false };
