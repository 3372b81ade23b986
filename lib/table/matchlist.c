/* lib/table/matchlist.c - lists of patterns as in mynetworks and mydestination: names, .domains, addresses, networks, "!" for not, files of
 * more patterns, tables. First match wins.
 */
#include "lib/base/fs.h"
#include "lib/base/mem.h"
#include "lib/conf/lines.h"
#include "lib/mail/ip.h"
#include "lib/table/table.h"

#define MATCH_DEPTH_MAX 10 /* files naming files */
#define MATCH_ITEMS_MAX 1000000
#define MATCH_FILE_MAX (64UL * 1024 * 1024)

enum item_kind { ITEM_NAME, ITEM_NET, ITEM_TABLE };

struct item {
	enum item_kind kind;
	bool negated;
	struct str name; /* lower case */
	struct ip_net net;
	struct table *table;
};

struct matchlist {
	struct arena *life;
	unsigned flags;
	struct item *items;
	size_t count, cap;
};

static int add_words(struct matchlist *m, struct str text, bool negated, const char *conf_dir, int depth, struct err *e);

static int add_file(struct matchlist *m, struct str path, bool negated, const char *conf_dir, int depth, struct err *e)
{
	const char *file = arena_z(m->life, path);
	struct buf text = { 0 }, line = { 0 };
	struct lines l;
	int number = 0, r;

	if (depth >= MATCH_DEPTH_MAX)
		return err_perm(e, "%s: files of patterns nested deeper than %d", file, MATCH_DEPTH_MAX);
	r = fs_read_file(file, MATCH_FILE_MAX, &text, e);
	l = (struct lines){ buf_str(&text), 1 };
	while (r == 0 && lines_next(&l, &line, &number)) {
		r = add_words(m, buf_str(&line), negated, conf_dir, depth + 1, e);
		if (r < 0)
			(void)err_context(e, "%s:%d", file, number);
	}
	buf_done(&line);
	buf_done(&text);
	return r;
}

static int add_item(struct matchlist *m, const struct item *item, struct err *e)
{
	if (m->count >= MATCH_ITEMS_MAX)
		return err_perm(e, "more than %d patterns", MATCH_ITEMS_MAX);
	if (m->count == m->cap) {
		m->cap = m->cap == 0 ? 16 : m->cap * 2;
		m->items = mem_grow(m->items, m->cap, sizeof *m->items);
	}
	m->items[m->count++] = *item;
	return 0;
}

/* Digits, dots and a slash: meant as an IPv4 address or network even when it is not a good one. */
static bool looks_like_address(struct str w)
{
	for (size_t i = 0; i < w.n; i++)
		if (strchr("0123456789./", w.p[i]) == NULL)
			return w.p[0] == '[';
	return true;
}

static int add_word(struct matchlist *m, struct str word, bool negated, const char *conf_dir, int depth, struct err *e)
{
	struct item item = { .kind = ITEM_NAME };
	const char *why = "";

	while (word.n > 0 && word.p[0] == '!') {
		negated = !negated;
		word = str_trim(str_skip(word, 1));
	}
	if (word.n == 0)
		return err_perm(e, "a pattern is missing after \"!\"");
	if (word.p[0] == '/')
		return add_file(m, word, negated, conf_dir, depth, e);
	item.negated = negated;
	if ((m->flags & MATCH_ADDR) && ip_net_parse(word, &item.net, &why)) {
		item.kind = ITEM_NET;
	} else if ((m->flags & MATCH_ADDR) && looks_like_address(word)) {
		return err_perm(e, "%s: \"%.*s\"", why, STRF(word));
	} else if (str_chr(word, ':') >= 0 && word.p[0] != '[') {
		item.kind = ITEM_TABLE;
		item.table = table_open(word, conf_dir, e);
		if (item.table == NULL)
			return -1;
	} else {
		item.name = arena_lower(m->life, word);
	}
	if (add_item(m, &item, e) == 0)
		return 0;
	table_close(item.table);
	return -1;
}

static int add_words(struct matchlist *m, struct str text, bool negated, const char *conf_dir, int depth, struct err *e)
{
	struct str word;

	while ((word = str_word_braced(&text)).n > 0)
		if (add_word(m, word, negated, conf_dir, depth, e) < 0)
			return -1;
	return 0;
}

struct matchlist *matchlist_open(const char *value, unsigned flags, const char *conf_dir, struct err *e)
{
	struct matchlist *m = mem_alloc(sizeof *m);

	m->life = arena_new("match list");
	m->flags = flags;
	if (add_words(m, str_z(value), false, conf_dir, 0, e) == 0)
		return m;
	matchlist_close(m);
	return NULL;
}

void matchlist_close(struct matchlist *m)
{
	if (m == NULL)
		return;
	for (size_t i = 0; i < m->count; i++)
		table_close(m->items[i].table);
	mem_free(m->items);
	arena_free(m->life);
	mem_free(m);
}

static enum table_answer ask_table(struct table *t, struct str key, struct err *e)
{
	struct buf unused = { 0 };
	enum table_answer answer = table_lookup(t, key, &unused, e);

	buf_done(&unused);
	return answer;
}

/* The name, then its parents: "parent" with MATCH_PARENT, else ".parent". */
static enum table_answer ask_host_table(const struct matchlist *m, struct table *t, struct str name, struct err *e)
{
	enum table_answer answer = ask_table(t, name, e);
	ptrdiff_t dot;

	if (table_is_pattern(t) || (m->flags & MATCH_WHOLE) || (name.n > 0 && name.p[0] == '['))
		return answer;
	while (answer == TABLE_MISSING && (dot = str_chr(name, '.')) >= 0) {
		name = str_skip(name, (size_t)dot + 1);
		if (name.n > 0)
			answer = ask_table(t, m->flags & MATCH_PARENT ? name : str_n(name.p - 1, name.n + 1), e);
	}
	return answer;
}

static bool name_matches(const struct matchlist *m, struct str pattern, struct str name)
{
	if (str_eqi(pattern, name))
		return true;
	if ((m->flags & MATCH_WHOLE) || name.n <= pattern.n || !str_endsi(name, pattern))
		return false;
	if (pattern.n > 0 && pattern.p[0] == '.')
		return true;
	return (m->flags & MATCH_PARENT) && name.p[name.n - pattern.n - 1] == '.';
}

static enum table_answer verdict(const struct item *item)
{
	return item->negated ? TABLE_MISSING : TABLE_FOUND;
}

enum table_answer matchlist_host(const struct matchlist *m, struct str name, struct err *e)
{
	for (size_t i = 0; i < m->count; i++) {
		const struct item *item = &m->items[i];
		enum table_answer answer = TABLE_MISSING;

		if (item->kind == ITEM_TABLE)
			answer = ask_host_table(m, item->table, name, e);
		else if (item->kind == ITEM_NAME && name_matches(m, item->name, name))
			answer = TABLE_FOUND;
		if (answer == TABLE_FAILED)
			return TABLE_FAILED;
		if (answer == TABLE_FOUND)
			return verdict(item);
	}
	return TABLE_MISSING;
}

enum table_answer matchlist_addr(const struct matchlist *m, struct str ip, struct err *e)
{
	struct ip addr;
	bool valid = ip_parse(ip, &addr);

	for (size_t i = 0; i < m->count; i++) {
		const struct item *item = &m->items[i];
		enum table_answer answer = TABLE_MISSING;

		if (item->kind == ITEM_TABLE)
			answer = ask_table(item->table, ip, e);
		else if (item->kind == ITEM_NET && valid && ip_in_net(&addr, &item->net))
			answer = TABLE_FOUND;
		if (answer == TABLE_FAILED)
			return TABLE_FAILED;
		if (answer == TABLE_FOUND)
			return verdict(item);
	}
	return TABLE_MISSING;
}
