/* lib/conf/names.c - settings whose name nobody knows: an error with the nearest known name, unless main.cf or master.cf use the name
 * themselves ($name, a restriction class, "<service>_..."). What Postfix knows and we do not is a warning.
 */
#include "lib/conf/state.h"

#include <stdlib.h>

#define NAME_MAX_COMPARED 80 /* longer names have no typing errors worth finding */

bool conf_postfix_knows(const char *name)
{
	size_t low = 0, high = conf_postfix_name_count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;
		int order = strcmp(name, conf_postfix_names[mid]);

		if (order == 0)
			return true;
		if (order < 0)
			high = mid;
		else
			low = mid + 1;
	}
	return false;
}

static unsigned min3(unsigned a, unsigned b, unsigned c)
{
	unsigned m = a < b ? a : b;

	return m < c ? m : c;
}

/* Least number of letters to insert, delete, change or swap with their neighbour to make b from a. */
static unsigned edit_distance(struct str a, struct str b)
{
	unsigned rows[3][NAME_MAX_COMPARED + 1];
	unsigned *older = rows[0], *old = rows[1], *now = rows[2];

	for (unsigned k = 0; k <= b.n; k++)
		old[k] = k;
	for (size_t i = 1; i <= a.n; i++) {
		unsigned *spare = older;

		now[0] = (unsigned)i;
		for (size_t k = 1; k <= b.n; k++) {
			now[k] = min3(old[k] + 1, now[k - 1] + 1, old[k - 1] + (a.p[i - 1] != b.p[k - 1]));
			if (i > 1 && k > 1 && a.p[i - 1] == b.p[k - 2] && a.p[i - 2] == b.p[k - 1])
				now[k] = min3(now[k], now[k], older[k - 2] + 1);
		}
		older = old;
		old = now;
		now = spare;
	}
	return old[b.n];
}

static void consider(struct str name, const char *known, unsigned *best, const char **nearest)
{
	struct str k = str_z(known);
	unsigned d;

	if (k.n > NAME_MAX_COMPARED)
		return;
	d = edit_distance(name, k);
	if (d < *best) {
		*best = d;
		*nearest = known;
	}
}

/* NULL: nothing is near. */
static const char *nearest_name(struct str name)
{
	unsigned best = 2 + (unsigned)name.n / 6;
	const char *nearest = NULL;

	if (name.n > NAME_MAX_COMPARED)
		return NULL;
	for (size_t i = 0; i < conf_area_count; i++)
		for (size_t k = 0; k < *conf_areas[i].count; k++)
			consider(name, conf_areas[i].rows[k].name, &best, &nearest);
	for (size_t i = 0; i < conf_postfix_name_count; i++)
		consider(name, conf_postfix_names[i], &best, &nearest);
	return nearest;
}

/* Does text have "$name", "${name" or "$(name"? */
static bool text_refers_to(struct str text, struct str name)
{
	ptrdiff_t at;

	while ((at = str_chr(text, '$')) >= 0) {
		text = str_skip(text, (size_t)at + 1);
		while (text.n > 0 && strchr("{( \t", text.p[0]) != NULL)
			text = str_skip(text, 1);
		if (str_starts(text, name) && (text.n == name.n || (!isalnum((unsigned char)text.p[name.n]) && text.p[name.n] != '_')))
			return true;
	}
	return false;
}

static bool set_values_refer_to(const struct conf *c, struct str name)
{
	size_t at = 0;
	struct str key;
	void *entry;

	while (map_next(c->values, &at, &key, &entry)) {
		const struct value *v = entry;

		if (v->set && text_refers_to(str_z(v->raw), name))
			return true;
	}
	return false;
}

static bool is_restriction_class(const struct conf *c, struct str name)
{
	static const char *const lists[] = { "smtpd_restriction_classes", "policyd_restriction_classes" };

	for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
		const struct value *v = map_get(c->values, str_z(lists[i]));
		struct str rest = str_z(v->raw), word;

		while ((word = str_word(&rest, ", \t\r\n")).n > 0)
			if (str_eq(word, name))
				return true;
	}
	return false;
}

static void check_name(struct conf *c, const struct value *v, struct str main_text, struct str master_text)
{
	struct str name = str_z(v->name);
	const char *nearest;

	if (v->param != NULL || v->family != NULL)
		return;
	if (conf_postfix_knows(v->name)) {
		conf_problem(c, false, "%s: %s is a parameter of Postfix that has no effect here", v->source, v->name);
		return;
	}
	if (is_restriction_class(c, name) || text_refers_to(main_text, name) || text_refers_to(master_text, name) ||
		set_values_refer_to(c, name))
		return;
	nearest = nearest_name(name);
	if (nearest != NULL)
		conf_problem(c, true, "%s: unknown parameter \"%s\": did you mean \"%s\"?", v->source, v->name, nearest);
	else
		conf_problem(c, true, "%s: unknown parameter \"%s\" (and nothing refers to $%s)", v->source, v->name, v->name);
}

static int by_order(const void *a, const void *b)
{
	const struct value *const *left = a, *const *right = b;

	return (*left)->order < (*right)->order ? -1 : 1;
}

void conf_check_names(struct conf *c, struct str main_text, struct str master_text)
{
	const struct value **set = arena_alloc(c->life, map_count(c->values) * sizeof *set);
	size_t at = 0, count = 0;
	struct str key;
	void *entry;

	while (map_next(c->values, &at, &key, &entry))
		if (((struct value *)entry)->set)
			set[count++] = entry;
	qsort(set, count, sizeof *set, by_order); /* complaints in file order */
	for (size_t i = 0; i < count; i++)
		check_name(c, set[i], main_text, master_text);
}
