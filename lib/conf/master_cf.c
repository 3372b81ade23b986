/* lib/conf/master_cf.c - rows of master.cf: eight columns, then arguments with -o settings and { } quoting. */
#include "lib/conf/master_cf.h"

#include "lib/base/fs.h"
#include "lib/conf/lines.h"
#include "lib/conf/value.h"

#define MASTER_FILE_MAX (4 * 1024 * 1024)
#define ROWS_MAX 4096
#define ARGS_MAX 1024 /* of one row */

static const struct {
	const char *word;
	enum service_type type;
} types[] = {
	{ "inet", SERVICE_INET },
	{ "unix", SERVICE_UNIX },
	{ "fifo", SERVICE_FIFO },
	{ "pass", SERVICE_PASS },
	{ "unix-dgram", SERVICE_DGRAM },
};

struct reading { /* one row being read */
	struct arena *a;
	const char *file;
	int line;
	struct err *e;
};

static int complain(const struct reading *r, const char *what, struct str text)
{
	return err_perm(r->e, "%s:%d: %s: \"%.*s\"", r->file, r->line, what, (int)(text.n > 80 ? 80 : text.n), text.p);
}

static int read_type(const struct reading *r, struct str word, enum service_type *out)
{
	for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
		if (str_eqz(word, types[i].word)) {
			*out = types[i].type;
			return 0;
		}
	}
	return complain(r, "service type must be inet, unix, unix-dgram, fifo or pass", word);
}

static int read_flag(const struct reading *r, struct str word, bool fallback, bool *out)
{
	*out = fallback;
	if (str_eqz(word, "-"))
		return 0;
	if (!str_eqz(word, "y") && !str_eqz(word, "n"))
		return complain(r, "column must be y, n or -", word);
	*out = word.p[0] == 'y';
	return 0;
}

static int read_wakeup(const struct reading *r, struct str word, struct service_row *row)
{
	int64_t n = 0;

	row->wakeup_lazy = word.n > 1 && word.p[word.n - 1] == '?';
	if (row->wakeup_lazy)
		word.n--;
	if (!str_eqz(word, "-") && (!value_parse_int(word, &n) || n < 0))
		return complain(r, "wakeup time must be seconds, or -", word);
	row->wakeup_s = (int)n;
	return 0;
}

static int read_limit(const struct reading *r, struct str word, struct service_row *row)
{
	int64_t n = -1;

	if (!str_eqz(word, "-") && (!value_parse_int(word, &n) || n < 0))
		return complain(r, "process limit must be a number, or -", word);
	row->max_clients = (int)n;
	return 0;
}

static int read_columns(const struct reading *r, struct str *rest, struct service_row *row)
{
	struct str word[8];

	for (int i = 0; i < 8; i++) {
		word[i] = str_word(rest, " \t\r\n");
		if (word[i].n == 0)
			return complain(r, "eight columns expected: service type private unpriv chroot wakeup maxproc command", word[0]);
	}
	row->name = arena_z(r->a, word[0]);
	row->command = arena_z(r->a, word[7]);
	row->line = r->line;
	if (str_chr(word[7], '/') >= 0)
		return complain(r, "command must be a daemon's name without directory", word[7]);
	if (read_type(r, word[1], &row->type) < 0 || read_flag(r, word[2], row->type != SERVICE_INET, &row->is_private) < 0)
		return -1;
	if (row->type == SERVICE_INET && row->is_private)
		return complain(r, "an inet service cannot be private", word[0]);
	if (read_flag(r, word[3], true, &row->unprivileged) < 0 || read_flag(r, word[4], false, &row->chroot) < 0)
		return -1;
	return read_wakeup(r, word[5], row) < 0 || read_limit(r, word[6], row) < 0 ? -1 : 0;
}

/* One argument: a word, or "{ words }" of which the braces go. -1: a brace lacks its partner. */
static int cut_argument(const struct reading *r, struct str *rest, struct str *arg)
{
	int level = 0;

	*rest = str_trim(*rest);
	if (rest->n == 0 || rest->p[0] != '{') {
		*arg = str_word(rest, " \t\r\n");
		return 0;
	}
	for (size_t i = 0; i < rest->n; i++) {
		level += rest->p[i] == '{';
		level -= rest->p[i] == '}';
		if (level > 0)
			continue;
		*arg = str_trim(str_sub(*rest, 1, i - 1));
		*rest = str_skip(*rest, i + 1);
		if (rest->n > 0 && strchr(" \t\r\n", rest->p[0]) == NULL)
			return complain(r, "blank expected after \"}\"", *rest);
		return 0;
	}
	return complain(r, "\"{\" without \"}\"", *rest);
}

/* "name = value" to "name=value". */
static int read_override(const struct reading *r, struct str setting, const char **out)
{
	ptrdiff_t at = str_chr(setting, '=');
	struct str name;

	name = at < 0 ? STR_NONE : str_trim(str_sub(setting, 0, (size_t)at));
	if (name.n == 0 || str_any(name, " \t") >= 0)
		return complain(r, "-o needs name=value", setting);
	setting = str_trim(str_skip(setting, (size_t)at + 1));
	*out = arena_printf(r->a, "%.*s=%.*s", STRF(name), STRF(setting)).p;
	return 0;
}

/* Options come first; the first word that is none begins the command's own arguments. */
static int read_arguments(const struct reading *r, struct str rest, struct service_row *row)
{
	const char **args = arena_alloc(r->a, (rest.n / 2 + 2) * sizeof *args),
		   **overrides = arena_alloc(r->a, (rest.n / 2 + 2) * sizeof *overrides);
	bool options = true;
	struct str arg;

	row->args = args;
	row->overrides = overrides;
	while ((rest = str_trim(rest)).n > 0) {
		if (row->arg_count + row->override_count >= ARGS_MAX)
			return complain(r, "too many arguments", str_z(row->name));
		if (cut_argument(r, &rest, &arg) < 0)
			return -1;
		if (options && str_starts(arg, STR("-o"))) {
			struct str setting = str_skip(arg, 2);

			if (setting.n == 0 && cut_argument(r, &rest, &setting) < 0)
				return -1;
			if (read_override(r, setting, &overrides[row->override_count++]) < 0)
				return -1;
			continue;
		}
		options = options && arg.n > 1 && arg.p[0] == '-';
		args[row->arg_count++] = arena_z(r->a, arg);
	}
	return 0;
}

/* A row for the same name and type replaces the earlier one, in place. */
static struct service_row *row_place(struct service_row *rows, size_t *count, const struct service_row *row)
{
	for (size_t i = 0; i < *count; i++)
		if (rows[i].type == row->type && strcmp(rows[i].name, row->name) == 0)
			return &rows[i];
	return &rows[(*count)++];
}

static size_t count_lines(struct str text)
{
	struct lines l = { text, 1 };
	struct buf line = { 0 };
	size_t count = 0;
	int number;

	while (lines_next(&l, &line, &number))
		count++;
	buf_done(&line);
	return count;
}

int master_cf_parse(const char *file, struct str text, struct arena *a, struct service_row **rows, size_t *count, struct err *e)
{
	struct lines l = { text, 1 };
	struct buf line = { 0 };
	struct reading r = { a, file, 0, e };
	size_t most = count_lines(text);
	int result = 0;

	*count = 0;
	if (most > ROWS_MAX || memchr(text.p, '\0', text.n) != NULL)
		return err_perm(e, "%s: more than %d services, or a NUL byte: this is no master.cf", file, ROWS_MAX);
	*rows = arena_alloc(a, (most + 1) * sizeof **rows);
	while (result == 0 && lines_next(&l, &line, &r.line)) {
		struct str rest = buf_str(&line);
		struct service_row row = { 0 };

		if (strchr(" \t", rest.p[0]) != NULL)
			result = complain(&r, "the first line must not begin with white space", rest);
		else if (read_columns(&r, &rest, &row) < 0 || read_arguments(&r, rest, &row) < 0)
			result = -1;
		else
			*row_place(*rows, count, &row) = row;
	}
	buf_done(&line);
	return result;
}

int master_cf_load(const char *dir, struct arena *a, struct service_row **rows, size_t *count, struct err *e)
{
	const char *file = arena_printf(a, "%s/master.cf", dir).p;
	struct buf text = { 0 };
	int r = fs_read_file(file, MASTER_FILE_MAX, &text, e);

	if (r == 0)
		r = master_cf_parse(file, buf_str(&text), a, rows, count, e);
	buf_done(&text);
	return r;
}

static size_t append(const char **to, size_t at, const struct service_row *row)
{
	for (size_t i = 0; i < row->override_count; i++)
		to[at++] = row->overrides[i];
	return at;
}

static void join(struct arena *a, struct service_row *screen, const struct service_row *behind)
{
	const char **overrides = arena_alloc(a, (1 + behind->override_count + screen->override_count) * sizeof *overrides);

	overrides[0] = "smtpd_early_checks=yes";
	screen->override_count = append(overrides, append(overrides, 1, behind), screen);
	screen->overrides = overrides;
	screen->max_clients = behind->max_clients;
}

void master_cf_join_postscreen(struct arena *a, struct service_row *rows, size_t count, const char *smtpd_service_name)
{
	static const struct service_row none = { .max_clients = -1 };
	const struct service_row *behind = &none;

	for (size_t i = 0; i < count; i++)
		if (rows[i].type == SERVICE_PASS && strcmp(rows[i].name, smtpd_service_name) == 0)
			behind = &rows[i];
	for (size_t i = 0; i < count; i++)
		if (strcmp(rows[i].command, "postscreen") == 0)
			join(a, &rows[i], behind);
}
