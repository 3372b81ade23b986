/* policyd/text.c - templates of main.cf with the names of a check filled in. */
#include "policyd/text.h"

#include "lib/base/log.h"

#define VALUE_MAX 200 /* octets of one value in a reply of at most 512 */

struct scope {
	struct request *r;
	const struct text_var *vars;
	size_t count;
};

static const char *find(void *ctx, struct str name)
{
	const struct scope *s = ctx;

	for (size_t i = 0; i < s->count; i++)
		if (str_eqz(name, s->vars[i].name)) {
			struct buf safe = { 0 };
			const char *z;

			buf_add_safe(&safe, str_sub(s->vars[i].value, 0, VALUE_MAX));
			z = arena_z(s->r->life, buf_str(&safe));
			buf_done(&safe);
			return z;
		}
	return conf_lookup(s->r->settings->conf, name);
}

bool text_expand(struct request *r, struct str template, const struct text_var *vars, size_t count, struct str *out, struct err *e)
{
	struct scope s = { r, vars, count };
	struct buf b = { 0 };
	bool good = conf_expand(template, find, &s, &b, e) == 0;

	if (good)
		*out = arena_dup(r->life, str_trim(buf_str(&b)));
	buf_done(&b);
	return good;
}

struct str text_action(struct request *r, const char *parameter, const struct text_var *vars, size_t count)
{
	struct str action = STR_NONE;
	struct err e = ERR_INIT;

	if (!text_expand(r, str_z(conf_raw(r->settings->conf, parameter)), vars, count, &action, &e)) {
		log_warn("parameter %s: %s", parameter, e.text);
		return STR("451 4.3.5 Server configuration error");
	}
	return action.n == 0 || str_eqiz(action, "none") ? STR("DUNNO") : action;
}

const char *text_action_kind(struct str action)
{
	static const struct {
		const char *word, *kind;
	} kinds[] = { { "OK", "permit" }, { "RELAY", "permit" }, { "PERMIT", "permit" }, { "DUNNO", "go on" }, { "PREPEND", "go on" },
		{ "INFO", "go on" }, { "WARN", "go on" }, { "REJECT", "reject" }, { "DEFER", "defer" }, { "DEFER_IF_PERMIT", "defer" },
		{ "DEFER_IF_REJECT", "go on" } };
	struct str word = str_word(&action, " \t");

	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
		if (str_eqiz(word, kinds[i].word))
			return kinds[i].kind;
	return word.n == 3 && word.p[0] == '5' ? "reject" : word.n == 3 && word.p[0] == '4' ? "defer" : "other";
}

bool text_refuses(struct str action)
{
	const char *kind = text_action_kind(action);

	return kind[0] == 'r' || (kind[0] == 'd' && !str_starts(action, STR("DEFER_IF_")));
}
