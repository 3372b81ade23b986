/* lib/milter/macros.c - which macros go with an event, and their values: asked of the owner, known from before, or given defaults. */
#include "lib/milter/filter.h"

struct str macro_word(struct str *list)
{
	struct str w = str_word(list, " \t\r\n,");

	if (w.n > 2 && w.p[0] == '{' && w.p[w.n - 1] == '}')
		return str_sub(w, 1, w.n - 2);
	return w;
}

/* milter_macro_defaults: "name=value", "{name}=value" or "{ name = value }" items. */
static bool next_default(struct str *rest, struct str *name, struct str *value)
{
	struct str item = str_word_braced(rest);

	if (item.n == 0)
		return false;
	if (item.p[0] == '{' && str_chr(item, '=') < 0 && rest->n > 0 && rest->p[0] == '=') {
		*name = macro_word(&item);
		*rest = str_skip(*rest, 1);
		*value = str_word(rest, " \t\r\n,");
		return true;
	}
	if (item.p[0] == '{' && item.n > 1)
		item = str_sub(item, 1, item.n - 2);
	*value = item;
	*name = str_trim(str_cut(value, '='));
	*name = macro_word(name);
	*value = str_trim(*value);
	return true;
}

static bool default_value(const char *defaults, struct str name, struct str *value)
{
	struct str rest = str_z(defaults), key, found;

	while (next_default(&rest, &key, &found)) {
		if (str_eq(key, name)) {
			*value = found;
			return true;
		}
	}
	return false;
}

static bool known_value(const struct milter_session *s, struct str name, struct str *value)
{
	for (size_t i = 0; i < s->known_count; i++) {
		if (str_eq(s->known[2 * i], name)) {
			*value = s->known[2 * i + 1];
			return true;
		}
	}
	return false;
}

bool macro_value(struct milter_session *s, struct str name, struct str *value)
{
	if (s->macro != NULL && s->macro(s->macro_ctx, name, value))
		return true;
	return known_value(s, name, value) || default_value(s->macros.defaults, name, value);
}

/* The names for that event: the filter's wish, or ours. */
static const char *wanted(const struct milter_session *s, const struct filter *f, enum milter_stage stage)
{
	return f->macros[stage] != NULL ? f->macros[stage] : s->macros.names[stage];
}

void macros_put(struct milter_session *s, const struct filter *f, const struct event *ev, struct buf *out)
{
	struct str list = str_z(wanted(s, f, ev->stage)), rest = list, word;
	size_t at = packet_begin(out, 'D');

	buf_addc(out, ev->command);
	for (word = macro_word(&rest); word.n > 0; word = macro_word(&rest)) {
		struct str value;

		if (!macro_value(s, word, &value))
			continue;
		if (word.n > 1) { /* one-letter names travel bare */
			buf_addc(out, '{');
			buf_add(out, word);
			buf_addn(out, "}", 2);
		} else {
			packet_z(out, word);
		}
		packet_z(out, value);
	}
	packet_end(out, at);
}
