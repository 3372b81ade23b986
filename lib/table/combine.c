/* lib/table/combine.c - tables made of tables: unionmap:{ a, b } joins all answers with commas, pipemap:{ a, b } asks each with the answer
 * of the one before. Parts may be of any type that the program has.
 */
#include "lib/base/mem.h"
#include "lib/table/registry.h"

#define PARTS_MAX 16

struct parts {
	struct table *t[PARTS_MAX];
	size_t count;
};

static void combine_close(struct table *t)
{
	struct parts *p = t->state;

	for (size_t i = 0; i < p->count; i++)
		table_close(p->t[i]);
	mem_free(p);
}

static int combine_open(struct table *t, struct str name, struct err *e)
{
	struct parts *p;
	struct str rest, word;

	if (name.n < 2 || name.p[0] != '{' || name.p[name.n - 1] != '}')
		return err_perm(e, "\"%s:{ type:name, ... }\" expected", t->type->name);
	p = t->state = mem_alloc(sizeof *p);
	rest = str_sub(name, 1, name.n - 2);
	while ((word = str_word_braced(&rest)).n > 0) {
		if (p->count == PARTS_MAX)
			(void)err_perm(e, "more than %d tables", PARTS_MAX);
		else
			p->t[p->count] = table_open(word, t->conf_dir, e);
		if (p->count == PARTS_MAX || p->t[p->count] == NULL) {
			combine_close(t);
			return -1;
		}
		t->flags |= p->t[p->count]->flags & (TABLE_PATTERN | TABLE_SUSPENDS);
		p->count++;
	}
	return 0;
}

static enum table_answer union_lookup(struct table *t, struct str key, struct buf *value, struct err *e)
{
	const struct parts *p = t->state;
	enum table_answer all = TABLE_MISSING;

	for (size_t i = 0; i < p->count; i++) {
		size_t before = value->n;
		enum table_answer one;

		if (all == TABLE_FOUND)
			buf_addc(value, ',');
		one = table_lookup(p->t[i], key, value, e);
		if (one == TABLE_FAILED)
			return TABLE_FAILED;
		if (one == TABLE_FOUND)
			all = TABLE_FOUND;
		else
			buf_truncate(value, before);
	}
	return all;
}

static enum table_answer pipe_lookup(struct table *t, struct str key, struct buf *value, struct err *e)
{
	const struct parts *p = t->state;
	struct buf in = { 0 }, out = { 0 };
	enum table_answer answer = TABLE_MISSING;

	buf_add(&in, key);
	for (size_t i = 0; i < p->count; i++) {
		buf_clear(&out);
		answer = table_lookup(p->t[i], buf_str(&in), &out, e);
		if (answer != TABLE_FOUND)
			break;
		buf_clear(&in);
		buf_add(&in, buf_str(&out));
	}
	if (answer == TABLE_FOUND)
		buf_add(value, buf_str(&in));
	buf_done(&in);
	buf_done(&out);
	return answer;
}

const struct table_type table_pipemap = { "pipemap", TABLE_THREAD_OK, combine_open, pipe_lookup, combine_close };
const struct table_type table_unionmap = { "unionmap", TABLE_THREAD_OK, combine_open, union_lookup, combine_close };
