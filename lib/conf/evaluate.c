/* lib/conf/evaluate.c - expand values and check them against type and range. */
#include "lib/conf/state.h"
#include "lib/conf/value.h"

struct lookup {
	struct conf *c;
	struct value *asker;
};

/* $name inside the value of asker. A name without value is empty, as in Postfix. */
static const char *find_value(void *ctx, struct str name)
{
	struct lookup *l = ctx;
	struct value *v = map_get(l->c->values, name);

	if (v == NULL) {
		if (l->asker->set)
			conf_problem(
				l->c, false, "%s: %s refers to $%.*s, which has no value", l->asker->source, l->asker->name, STRF(name));
		return NULL;
	}
	if (v->progress == VALUE_BUSY) {
		conf_problem(l->c, true, "%s: %s refers to itself through $%.*s", l->asker->source, l->asker->name, STRF(name));
		return NULL;
	}
	conf_evaluate(l->c, v);
	return v->text;
}

static bool expand_value(struct conf *c, struct value *v, struct buf *out)
{
	struct lookup l = { c, v };
	struct err e = ERR_INIT;

	if (!v->set && conf_host_default(c, v->name, out))
		return true;
	if (v->param != NULL && v->param->type == PARAM_RAW) {
		buf_addz(out, v->raw);
		return true;
	}
	if (conf_expand(str_z(v->raw), find_value, &l, out, &e) == 0)
		return true;
	conf_problem(c, true, "%s: %s: %s", v->source, v->name, e.text);
	return false;
}

static const char *const type_words[] = {
	[PARAM_INT] = "a whole number",
	[PARAM_SIZE] = "a size such as 51200, 50k or 10m",
	[PARAM_TIME] = "a time such as 30s, 5m, 2h or 1d",
	[PARAM_BOOL] = "yes or no",
};

static bool parse_number(enum param_type type, char unit, struct str text, int64_t *number)
{
	bool yes;

	switch (type) {
	case PARAM_INT:
		return value_parse_int(text, number);
	case PARAM_SIZE:
		return value_parse_size(text, number);
	case PARAM_TIME:
		return conf_parse_time(text, unit, number);
	case PARAM_BOOL:
		if (!conf_parse_bool(text, &yes))
			return false;
		*number = yes;
		return true;
	case PARAM_STR:
	case PARAM_RAW:
		break;
	}
	return true;
}

static void check_range(struct conf *c, const struct value *v)
{
	const struct param *p = v->param;
	int64_t n = p->type == PARAM_TIME ? v->number / 1000 : v->number;

	if (p->min == 0 && p->max == 0)
		return;
	if (n < p->min)
		conf_problem(c, true, "%s: %s = %s: must be at least %lld%s", v->source, v->name, v->text, (long long)p->min,
			p->type == PARAM_TIME ? "s" : "");
	else if (n > p->max)
		conf_problem(c, true, "%s: %s = %s: must be at most %lld%s", v->source, v->name, v->text, (long long)p->max,
			p->type == PARAM_TIME ? "s" : "");
}

static void check_value(struct conf *c, struct value *v)
{
	enum param_type type = v->param != NULL ? v->param->type : v->family != NULL ? v->family->type : PARAM_STR;
	char unit = v->param != NULL && type == PARAM_TIME ? v->param->unit[0] : 's';

	if (!parse_number(type, unit, str_z(v->text), &v->number)) {
		conf_problem(c, true, "%s: %s = %s: must be %s", v->source, v->name, v->text, type_words[type]);
		return;
	}
	if (v->param != NULL)
		check_range(c, v);
	else if (v->number < 0)
		conf_problem(c, true, "%s: %s = %s: must not be negative", v->source, v->name, v->text);
}

void conf_evaluate(struct conf *c, struct value *v)
{
	struct buf text = { 0 };
	bool expanded;

	if (v->progress != VALUE_NEW)
		return;
	v->progress = VALUE_BUSY;
	v->text = "";
	expanded = expand_value(c, v, &text);
	v->text = arena_z(c->life, buf_str(&text));
	v->progress = VALUE_DONE;
	buf_done(&text);
	if (expanded)
		check_value(c, v);
}
