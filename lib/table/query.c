/* lib/table/query.c - settings, questions and answers of tables that ask a database. */
#include "lib/table/query.h"

#include "lib/base/fs.h"
#include "lib/base/mem.h"
#include "lib/conf/lines.h"
#include "lib/table/registry.h"

#define SETTINGS_FILE_MAX 65536
#define PARTS_MAX 9 /* of a domain, %1 to %9 */

/* ---- the settings file ---- */

static const char *const common_names[] = { "domain", "expansion_limit", "result_format", NULL };

static bool is_listed(struct str name, const char *const *names)
{
	for (; *names != NULL; names++)
		if (str_eqz(name, *names))
			return true;
	return false;
}

/* Settings that Postfix has beyond ours, and what to write instead. */
static const struct {
	const char *name, *remedy;
} foreign[] = {
	{ "additional_conditions", "write them into the query" },
	{ "result_filter", "it is called result_format" },
	{ "sasl_authz_id", "there is no SASL for ldap: tables, use bind_dn and bind_pw" },
	{ "sasl_mechs", "there is no SASL for ldap: tables, use bind_dn and bind_pw" },
	{ "sasl_minssf", "there is no SASL for ldap: tables, use start_tls or ldaps:" },
	{ "sasl_realm", "there is no SASL for ldap: tables, use bind_dn and bind_pw" },
	{ "select_field", "write \"query = SELECT select_field FROM table WHERE where_field = '%s'\"" },
	{ "select_function", "write \"query = SELECT select_function('%s')\"" },
	{ "table", "write \"query = SELECT select_field FROM table WHERE where_field = '%s'\"" },
	{ "where_field", "write \"query = SELECT select_field FROM table WHERE where_field = '%s'\"" },
};

static int refuse_setting(const char *name, struct err *e)
{
	for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++)
		if (strcmp(name, foreign[i].name) == 0)
			return err_perm(e, "setting \"%s\" is not supported: %s", name, foreign[i].remedy);
	return err_perm(e, "unknown setting \"%s\"", name);
}

static int add_setting(struct query *q, struct str line, const char *const *names, struct err *e)
{
	struct str value = line, name = str_trim(str_cut(&value, '='));
	char *name_z = arena_z(q->life, name);

	if (name.n == 0 || name.n == line.n)
		return err_perm(e, "\"name = value\" expected");
	if (!is_listed(name, common_names) && !is_listed(name, names))
		return refuse_setting(name_z, e);
	if (q->setting_count == QUERY_SETTINGS_MAX)
		return err_perm(e, "more than %d settings", QUERY_SETTINGS_MAX);
	q->settings[q->setting_count++] = (struct setting){ name_z, arena_z(q->life, str_trim(value)) };
	return 0;
}

static int read_settings(struct query *q, const char *path, const char *const *names, struct err *e)
{
	struct buf text = { 0 }, line = { 0 };
	int number = 0, r = fs_read_file(path, SETTINGS_FILE_MAX, &text, e);
	struct lines l = { buf_str(&text), 1 };

	while (r == 0 && lines_next(&l, &line, &number)) {
		r = add_setting(q, buf_str(&line), names, e);
		if (r < 0)
			(void)err_context(e, "%s:%d", path, number);
	}
	buf_done(&line);
	buf_done(&text);
	return r;
}

const char *query_setting(const struct query *q, const char *name, const char *fallback)
{
	for (size_t i = q->setting_count; i > 0; i--) /* the last one counts, as in main.cf */
		if (strcmp(q->settings[i - 1].name, name) == 0)
			return q->settings[i - 1].value;
	return fallback;
}

int query_number(const struct query *q, const char *name, uint64_t max, uint64_t fallback, uint64_t *out, struct err *e)
{
	const char *text = query_setting(q, name, NULL);

	*out = fallback;
	if (text == NULL || str_to_u64(str_z(text), max, out))
		return 0;
	return err_perm(e, "%s = %s: a number from 0 to %llu expected", name, text, (unsigned long long)max);
}

static int use_common(struct query *q, const struct table *t, struct err *e)
{
	uint64_t limit;

	q->result_format = query_setting(q, "result_format", "%s");
	q->domains = query_setting(q, "domain", "");
	if (query_number(q, "expansion_limit", QUERY_VALUES_MAX, 0, &limit, e) < 0)
		return -1;
	q->expansion_limit = limit == 0 ? QUERY_VALUES_MAX : (size_t)limit;
	if (*q->domains == '\0')
		return 0;
	q->domain_list = matchlist_open(q->domains, MATCH_HOST | MATCH_WHOLE, t->conf_dir, e);
	return q->domain_list == NULL ? err_context(e, "domain") : 0;
}

int query_open(struct query *q, const struct table *t, struct str name, const char *const *names, struct err *e)
{
	char *path;
	int r;

	*q = (struct query){ .life = arena_new("database table") };
	if (name.n == 0 || (name.p[0] != '/' && name.p[0] != '.'))
		r = err_perm(e, "\"%s:/file\" expected, a file with the settings of the table (settings in main.cf, \"%.*s_...\", are not read)",
			t->type->name, STRF(name));
	else {
		path = table_path(t, name, "");
		r = read_settings(q, path, names, e);
		mem_free(path);
	}
	if (r == 0)
		r = use_common(q, t, e);
	if (r < 0)
		query_close(q);
	return r;
}

void query_close(struct query *q)
{
	matchlist_close(q->domain_list);
	arena_free(q->life);
}

/* ---- the key ---- */

static struct str local_part(struct str s)
{
	ptrdiff_t at = str_rchr(s, '@');

	return at < 0 ? s : str_sub(s, 0, (size_t)at);
}

static struct str domain_part(struct str s)
{
	ptrdiff_t at = str_rchr(s, '@');

	return at < 0 ? STR_NONE : str_skip(s, (size_t)at + 1);
}

enum table_answer query_wants(const struct query *q, struct str key, struct err *e)
{
	struct str domain = domain_part(key);

	if (key.n == 0 || key.n > QUERY_KEY_MAX || memchr(key.p, '\0', key.n) != NULL)
		return TABLE_MISSING;
	if (q->domain_list == NULL)
		return TABLE_FOUND;
	if (domain.n == 0 || domain.n == key.n - 1) /* with a list of domains only whole addresses are asked about */
		return TABLE_MISSING;
	return matchlist_host(q->domain_list, domain, e);
}

/* The nth part of a domain from the right, 1 is the top level domain. Empty: there is none. */
static struct str domain_label(struct str domain, unsigned number)
{
	ptrdiff_t dot;

	for (; number > 1; number--) {
		dot = str_rchr(domain, '.');
		if (dot < 0)
			return STR_NONE;
		domain = str_sub(domain, 0, (size_t)dot);
	}
	dot = str_rchr(domain, '.');
	return dot < 0 ? domain : str_skip(domain, (size_t)dot + 1);
}

/* What a letter stands for. value: what %s and its kin mean; key: what %S and its kin mean. */
static bool letter_part(char letter, struct str value, struct str key, struct str *part)
{
	switch (letter) {
	case 's':
		*part = value;
		break;
	case 'u':
		*part = local_part(value);
		break;
	case 'd':
		*part = domain_part(value);
		break;
	case 'S':
		*part = key;
		break;
	case 'U':
		*part = local_part(key);
		break;
	case 'D':
		*part = domain_part(key);
		break;
	default:
		if (letter < '1' || letter > '0' + PARTS_MAX)
			return false;
		*part = domain_label(domain_part(key), (unsigned)(letter - '0'));
	}
	return part->n > 0;
}

static bool expand(const char *format, struct str value, struct str key, query_quote_fn *quote, void *ctx, struct buf *out)
{
	struct str part;

	for (; *format != '\0'; format++) {
		if (*format != '%') {
			buf_addc(out, *format);
			continue;
		}
		format++;
		if (*format == '%') {
			buf_addc(out, '%');
			continue;
		}
		if (*format == '\0' || !letter_part(*format, value, key, &part))
			return false;
		quote(ctx, part, out);
	}
	return true;
}

bool query_expand(const char *format, struct str key, query_quote_fn *quote, void *ctx, struct buf *out)
{
	return expand(format, key, key, quote, ctx, out);
}

/* ---- the answer ---- */

static void as_it_is(void *ctx, struct str part, struct buf *out)
{
	(void)ctx;
	buf_add(out, part);
}

int query_add_value(struct query_result *r, struct str value, struct err *e)
{
	size_t before = r->values.n;

	if (value.n == 0)
		return 0;
	if (before > 0)
		buf_addc(&r->values, ',');
	if (!expand(r->query->result_format, value, r->key, as_it_is, NULL, &r->values)) {
		buf_truncate(&r->values, before);
		return 0;
	}
	if (++r->count > r->query->expansion_limit)
		return err_temp(e, "more than %zu values (expansion_limit)", r->query->expansion_limit);
	return 0;
}
