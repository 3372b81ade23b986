/* lib/conf/conf.c - load main.cf and overrides, and answer for values. Loading goes: settings, overrides, defaults, unknown names,
 * expansion. */
#include "lib/conf/conf.h"

#include "lib/base/fs.h"
#include "lib/base/mem.h"
#include "lib/conf/lines.h"
#include "lib/conf/state.h"

#define CONF_FILE_MAX (4 * 1024 * 1024) /* octets of main.cf or master.cf */

void conf_problem(struct conf *c, bool fatal, const char *fmt, ...)
{
	struct buf text = { 0 };
	va_list ap;

	va_start(ap, fmt);
	buf_addfv(&text, fmt, ap);
	va_end(ap);
	if (fatal && !c->failed) {
		c->failed = true;
		(void)err_perm(c->e, "%s", buf_z(&text));
	}
	if (c->report != NULL)
		c->report(c->report_ctx, fatal, buf_z(&text));
	buf_done(&text);
}

static void set_value(struct conf *c, struct str name, struct str raw, const char *source)
{
	struct value *v = map_get(c->values, name);

	if (v == NULL) {
		v = arena_alloc(c->life, sizeof *v);
		v->name = arena_z(c->life, name);
		v->param = conf_param_find(name);
		if (v->param == NULL) {
			struct str service;

			v->family = conf_family_find(name, &service);
		}
		(void)map_put(c->values, name, v);
	}
	v->raw = arena_z(c->life, raw);
	v->source = source;
	v->set = true;
	v->order = c->settings++;
}

static bool name_valid(struct str name)
{
	for (size_t i = 0; i < name.n; i++)
		if (!isalnum((unsigned char)name.p[i]) && name.p[i] != '_' && name.p[i] != '-' && name.p[i] != '.')
			return false;
	return name.n > 0;
}

/* "name = value" split and trimmed. False: no such thing. */
static bool split_setting(struct str line, struct str *name, struct str *raw)
{
	ptrdiff_t at = str_chr(line, '=');

	if (at < 0)
		return false;
	*name = str_trim(str_sub(line, 0, (size_t)at));
	*raw = str_trim(str_skip(line, (size_t)at + 1));
	return name_valid(*name);
}

static void read_setting(struct conf *c, const char *file, struct str line, int number)
{
	struct str name, raw;
	const struct value *before;
	const char *where = arena_printf(c->life, "%s:%d", file, number).p;

	if (line.p[0] == ' ' || line.p[0] == '\t') {
		conf_problem(c, true, "%s: the first line must not begin with white space", where);
		return;
	}
	if (!split_setting(line, &name, &raw)) {
		conf_problem(c, true, "%s: \"name = value\" expected, found \"%.*s\"", where, (int)(line.n > 60 ? 60 : line.n), line.p);
		return;
	}
	before = map_get(c->values, name);
	if (before != NULL && str_starts(str_z(before->source), str_z(file)))
		conf_problem(c, false, "%s: %.*s was set before, in %s: the last setting counts", where, STRF(name), before->source);
	set_value(c, name, raw, where);
}

static void read_settings(struct conf *c, const char *file, struct str text)
{
	struct lines l = { text, 1 };
	struct buf line = { 0 };
	int number = 0;

	if (memchr(text.p, '\0', text.n) != NULL)
		conf_problem(c, true, "%s: contains a NUL byte: this is no configuration file", file);
	else
		while (lines_next(&l, &line, &number))
			read_setting(c, file, buf_str(&line), number);
	buf_done(&line);
}

static void read_overrides(struct conf *c, const char *const *overrides, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct str line = str_trim(str_z(overrides[i])), name, raw;

		if (line.n > 1 && line.p[0] == '{' && line.p[line.n - 1] == '}')
			line = str_trim(str_sub(line, 1, line.n - 2));
		if (split_setting(line, &name, &raw))
			set_value(c, name, raw, "-o");
		else
			conf_problem(c, true, "-o %s: \"name=value\" expected", overrides[i]);
	}
}

static void add_defaults(struct conf *c)
{
	for (size_t i = 0; i < conf_area_count; i++) {
		for (size_t k = 0; k < *conf_areas[i].count; k++) {
			const struct param *p = &conf_areas[i].rows[k];
			struct value *v = map_get(c->values, str_z(p->name));

			if (v != NULL)
				continue;
			v = arena_alloc(c->life, sizeof *v);
			v->name = p->name;
			v->param = p;
			v->raw = p->fallback;
			v->source = "default";
			(void)map_put(c->values, str_z(p->name), v);
		}
	}
}

/* "$config_directory/access" means the directory that is read, wherever the program was installed for. */
static void know_own_directory(struct conf *c)
{
	struct value *v = map_get(c->values, STR("config_directory"));

	if (!v->set)
		v->raw = c->dir;
}

static void evaluate_all(struct conf *c)
{
	size_t at = 0;
	struct str name;
	void *v;

	while (map_next(c->values, &at, &name, &v))
		conf_evaluate(c, v);
}

/* What a configuration is read from. */
struct sources {
	struct buf main_file, main, own_file, own, master; /* paths and texts; own: a daemon's settings over main.cf's */
};

static void sources_done(struct sources *s)
{
	buf_done(&s->main_file);
	buf_done(&s->main);
	buf_done(&s->own_file);
	buf_done(&s->own);
	buf_done(&s->master);
}

static struct conf *load(const char *dir, struct sources *from, const char *const *overrides, size_t count, conf_report_fn *report, void *ctx,
	struct err *e)
{
	struct arena *life = arena_new("configuration");
	struct conf *c = arena_alloc(life, sizeof *c);

	*c = (struct conf){
		.life = life, .dir = arena_z(life, str_z(dir)), .values = map_new(), .report = report, .report_ctx = ctx, .e = e
	};
	read_settings(c, buf_z(&from->main_file), buf_str(&from->main));
	read_settings(c, buf_z(&from->own_file), buf_str(&from->own));
	read_overrides(c, overrides, count);
	add_defaults(c);
	know_own_directory(c);
	if (!c->failed) {
		conf_check_names(c, buf_str(&from->main), buf_str(&from->master));
		evaluate_all(c);
	}
	c->report = NULL;
	c->e = NULL;
	if (!c->failed)
		return c;
	conf_free(c);
	return NULL;
}

struct conf *conf_parse(struct str text, const char *const *overrides, size_t count, conf_report_fn *report, void *ctx, struct err *e)
{
	struct sources from = { 0 };
	struct conf *c;

	buf_addz(&from.main_file, "main.cf");
	buf_add(&from.main, text);
	c = load(".", &from, overrides, count, report, ctx, e);
	sources_done(&from);
	return c;
}

/* dir/name into path and text. A file that is not there is empty when it may be missing. */
static int read_source(const char *dir, const char *name, bool may_miss, struct buf *path, struct buf *text, struct err *e)
{
	buf_addf(path, "%s/%s", dir, name);
	if (may_miss && !fs_exists(buf_z(path)))
		return 0;
	return fs_read_file(buf_z(path), CONF_FILE_MAX, text, e) < 0 ? err_context(e, "cannot read the configuration") : 0;
}

struct conf *conf_load_own(const char *dir, const char *own_file, const char *const *overrides, size_t count, conf_report_fn *report,
	void *ctx, struct err *e)
{
	struct sources from = { 0 };
	struct buf path = { 0 };
	struct err ignored = ERR_INIT;
	struct conf *c = NULL;

	if (read_source(dir, "main.cf", own_file != NULL, &from.main_file, &from.main, e) < 0 ||
		(own_file != NULL && read_source(dir, own_file, true, &from.own_file, &from.own, e) < 0)) {
		if (report != NULL)
			report(ctx, true, e->text);
	} else {
		if (read_source(dir, "master.cf", true, &path, &from.master, &ignored) < 0)
			buf_clear(&from.master); /* who needs it complains; here it only tells which names are referred to */
		c = load(dir, &from, overrides, count, report, ctx, e);
	}
	sources_done(&from);
	buf_done(&path);
	return c;
}

struct conf *conf_load(const char *dir, const char *const *overrides, size_t count, conf_report_fn *report, void *ctx, struct err *e)
{
	return conf_load_own(dir, NULL, overrides, count, report, ctx, e);
}

void conf_free(struct conf *c)
{
	if (c == NULL)
		return;
	map_free(c->values, NULL);
	arena_free(c->life);
}

const char *conf_dir(const struct conf *c)
{
	return c->dir;
}

/* ---- getters ---- */

static const struct value *declared(const struct conf *c, const char *name, enum param_type type, enum param_type or_type)
{
	const struct value *v = map_get(c->values, str_z(name));

	check(v != NULL && v->param != NULL); /* add the row to lib/conf/params_<area>.c */
	check(v->param->type == type || v->param->type == or_type);
	return v;
}

const char *conf_str(const struct conf *c, const char *name)
{
	return declared(c, name, PARAM_STR, PARAM_RAW)->text;
}

int64_t conf_int(const struct conf *c, const char *name)
{
	return declared(c, name, PARAM_INT, PARAM_SIZE)->number;
}

int64_t conf_size(const struct conf *c, const char *name)
{
	return conf_int(c, name);
}

int64_t conf_time_ms(const struct conf *c, const char *name)
{
	return declared(c, name, PARAM_TIME, PARAM_TIME)->number;
}

bool conf_bool(const struct conf *c, const char *name)
{
	return declared(c, name, PARAM_BOOL, PARAM_BOOL)->number != 0;
}

const char *conf_lookup(const struct conf *c, struct str name)
{
	const struct value *v = map_get(c->values, name);

	return v == NULL ? NULL : v->text;
}

/* "<service>_<suffix>" when it is set or declared, else the family's base, else NULL. */
static const struct value *family_value(const struct conf *c, const char *service, const char *suffix)
{
	const struct param_family *f = conf_family(suffix);
	struct buf name = { 0 };
	const struct value *v;

	check(f != NULL);
	buf_addf(&name, "%s_%s", service, suffix);
	v = map_get(c->values, buf_str(&name));
	buf_done(&name);
	if (v == NULL && f->base != NULL)
		v = map_get(c->values, str_z(f->base));
	return v;
}

int64_t conf_transport_int(const struct conf *c, const char *transport, const char *suffix)
{
	return family_value(c, transport, suffix)->number;
}

int64_t conf_transport_time_ms(const struct conf *c, const char *transport, const char *suffix)
{
	return family_value(c, transport, suffix)->number;
}

const char *conf_transport_str(const struct conf *c, const char *transport, const char *suffix)
{
	return family_value(c, transport, suffix)->text;
}

int64_t conf_workers(const struct conf *c, const char *service, int64_t fallback)
{
	const struct value *v = family_value(c, service, "workers");

	return v == NULL ? fallback : v->number;
}

const char *conf_source(const struct conf *c, const char *name)
{
	const struct value *v = map_get(c->values, str_z(name));

	return v == NULL ? NULL : v->source;
}

const char *conf_raw(const struct conf *c, const char *name)
{
	const struct value *v = map_get(c->values, str_z(name));

	return v == NULL ? NULL : v->raw;
}

bool conf_is_set(const struct conf *c, const char *name)
{
	const struct value *v = map_get(c->values, str_z(name));

	return v != NULL && v->set;
}

static int name_compare(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

size_t conf_names(const struct conf *c, struct arena *a, const char *const **names)
{
	size_t count = map_count(c->values), at = 0, i = 0;
	const char **list = arena_alloc(a, (count + 1) * sizeof *list);
	struct str name;
	void *v;

	while (map_next(c->values, &at, &name, &v) && i < count)
		list[i++] = ((struct value *)v)->name;
	qsort(list, i, sizeof *list, name_compare);
	*names = list;
	return i;
}
