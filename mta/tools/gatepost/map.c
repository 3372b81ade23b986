/* mta/tools/gatepost/map.c - map: ask any table, like postmap -q; without a question, only see whether the table opens. */
#include <getopt.h>
#include <sysexits.h>

#include "lib/table/table.h"
#include "mta/tools/gatepost/gatepost.h"

#define KEY_LINE_MAX 65536

static void print_value(struct str key, const struct buf *value, bool with_key)
{
	if (with_key)
		printf("%.*s\t", STRF(key));
	printf("%.*s\n", (int)value->n, value->n > 0 ? value->p : "");
}

/* 1 found, 0 missing, -1 failed. */
static int ask(struct tables *ts, struct str key, bool with_key)
{
	struct buf value = { 0 };
	struct err e = ERR_INIT;
	enum table_answer answer = tables_lookup(ts, key, &value, &e);

	if (answer == TABLE_FOUND)
		print_value(key, &value, with_key);
	else if (answer == TABLE_FAILED)
		tool_complain("%s", e.text);
	buf_done(&value);
	return answer == TABLE_FOUND ? 1 : answer == TABLE_MISSING ? 0 : -1;
}

/* Keys from standard input, one a line. */
static int ask_all(struct tables *ts)
{
	char *line = NULL;
	size_t size = 0;
	ssize_t n;
	int found = 0;

	while (found >= 0 && (n = getline(&line, &size, stdin)) > 0) {
		int one = ask(ts, str_trim(str_n(line, (size_t)n)), true);

		found = one < 0 ? -1 : found | one;
	}
	free(line);
	return found;
}

/* "name" alone means default_database_type; tables can be asked without any main.cf, too. */
static void add_spec(const struct tool *t, struct buf *specs, const char *spec)
{
	struct err e = ERR_INIT;
	struct conf *c = strchr(spec, ':') == NULL ? conf_load(t->conf_dir, NULL, 0, NULL, NULL, &e) : NULL;

	if (c != NULL)
		buf_addf(specs, "%s:", conf_str(c, "default_database_type"));
	buf_addf(specs, "%s ", spec);
	conf_free(c);
}

static int open_and_ask(const struct tool *t, char **specs, int count, const char *key)
{
	struct arena *a = arena_new("map");
	struct buf list = { 0 };
	struct tables ts;
	struct err e = ERR_INIT;
	int r = 1;

	for (int i = 0; i < count; i++)
		add_spec(t, &list, specs[i]);
	if (tables_open(a, buf_z(&list), ".", &ts, &e) < 0) {
		tool_complain("%s", e.text);
		return EX_CONFIG;
	}
	if (key != NULL)
		r = strcmp(key, "-") == 0 ? ask_all(&ts) : ask(&ts, str_z(key), false);
	tables_close(&ts);
	buf_done(&list);
	arena_free(a);
	return r > 0 ? EX_OK : r == 0 ? 1 : EX_TEMPFAIL;
}

int verb_map(struct tool *t, int argc, char **argv)
{
	const char *key = NULL;
	int option;

	while ((option = getopt(argc, argv, "c:fnNopq:ruvw")) != -1) { /* what postmap has and we need not is ignored */
		if (option == 'c')
			t->conf_dir = optarg;
		else if (option == 'q')
			key = optarg;
		else if (option == '?')
			return EX_USAGE;
	}
	if (optind >= argc) {
		tool_complain("which table? TYPE:NAME");
		return EX_USAGE;
	}
	return open_and_ask(t, argv + optind, argc - optind, key);
}
