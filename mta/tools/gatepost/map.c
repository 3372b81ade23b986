/* mta/tools/gatepost/map.c - map and alias: ask, list and make tables, with the options of postmap and postalias. */
#include <getopt.h>
#include <string.h>
#include <sysexits.h>

#include "lib/base/mem.h"
#include "mta/tools/gatepost/map.h"

/* Options without a value that set a switch. */
static const struct {
	char letter;
	size_t at;
} switches[] = {
	{ 'F', offsetof(struct map_options, base64) },
	{ 'b', offsetof(struct map_options, ask_body) },
	{ 'f', offsetof(struct map_options, keep_case) },
	{ 'h', offsetof(struct map_options, ask_header) },
	{ 'i', offsetof(struct map_options, incremental) },
	{ 'm', offsetof(struct map_options, mime) },
	{ 'o', offsetof(struct map_options, keep_root) },
	{ 'p', offsetof(struct map_options, usual_mode) },
	{ 'r', offsetof(struct map_options, replace) },
	{ 's', offsetof(struct map_options, list) },
	{ 'u', offsetof(struct map_options, any_bytes) },
	{ 'w', offsetof(struct map_options, quiet_repeats) },
};

static void set_switch(struct map_options *o, int option)
{
	for (size_t i = 0; i < sizeof switches / sizeof *switches; i++)
		if (switches[i].letter == option)
			*(bool *)(void *)((char *)o + switches[i].at) = true; /* U and v: nothing to set */
}

/* False: usage. */
static bool read_options(struct tool *t, struct map_options *o, int argc, char **argv)
{
	int option;

	while ((option = getopt(argc, argv, "FNUbc:d:fhimnopq:rsuvw")) != -1) {
		if (option == '?')
			return false;
		if (option == 'c')
			t->conf_dir = optarg;
		else if (option == 'q')
			o->ask = optarg;
		else if (option == 'd')
			o->delete = optarg;
		else if (option == 'n' || option == 'N')
			o->nul = option == 'N' ? MAP_NUL_YES : MAP_NUL_NO;
		else
			set_switch(o, option);
	}
	if (o->list + (o->ask != NULL) + (o->delete != NULL) > 1) {
		tool_complain("specify only one of -s -q or -d");
		return false;
	}
	if ((o->ask_header || o->ask_body) && (o->ask == NULL || strcmp(o->ask, "-") != 0)) {
		tool_complain("-b and -h need -q -");
		return false;
	}
	return true;
}

/* "name" alone means default_database_type; tables can be asked without any main.cf, too. */
static struct str with_type(const struct tool *t, struct arena *a, const char *spec)
{
	struct err e = ERR_INIT;
	struct conf *c = strchr(spec, ':') == NULL ? conf_load(t->conf_dir, NULL, 0, NULL, NULL, &e) : NULL;
	struct str whole = str_z(spec);

	if (c != NULL)
		whole = arena_printf(a, "%s:%s", conf_str(c, "default_database_type"), spec);
	conf_free(c);
	return whole;
}

static int open_and_ask(const struct map_options *o, const struct str *specs, size_t count)
{
	struct table **tables = mem_array(count, sizeof(struct table *));
	struct err e = ERR_INIT;
	size_t opened = 0;
	int status = EX_OK;

	while (opened < count && (tables[opened] = table_open(specs[opened], ".", &e)) != NULL)
		tables[opened++]->flags |= o->keep_case ? TABLE_KEEP_CASE : 0;
	if (opened < count) {
		tool_complain("%s", e.text);
		status = EX_CONFIG;
	} else if (o->ask != NULL) {
		status = map_ask(o, tables, count);
	} else {
		for (size_t i = 0; i < count && status == EX_OK; i++)
			status = map_list(o, tables[i]);
	}
	while (opened > 0)
		table_close(tables[--opened]);
	mem_free(tables);
	return status;
}

static int run(const struct map_options *o, const struct str *specs, size_t count)
{
	int status = o->delete != NULL ? 1 : EX_OK;

	if (o->ask != NULL || o->list)
		return open_and_ask(o, specs, count);
	for (size_t i = 0; i < count; i++) {
		int one = o->delete != NULL ? map_delete(o, specs[i]) : map_make(o, specs[i]);

		if (o->delete != NULL ? one != 1 : one != EX_OK) /* a key is found when one table had it */
			status = one;
		if (one > 1)
			break;
	}
	return status;
}

/* Scripts know 0 and 1 only. */
static bool called_as_postfix(const char *argv0)
{
	const char *slash = strrchr(argv0, '/');

	return str_starts(str_z(slash != NULL ? slash + 1 : argv0), STR("post"));
}

static int map_or_alias(struct tool *t, struct map_options *o, int argc, char **argv)
{
	struct arena *a = arena_new("map");
	struct str *specs = NULL;
	size_t count;
	int status = EX_USAGE;

	if (!read_options(t, o, argc, argv))
		return called_as_postfix(argv[0]) ? 1 : EX_USAGE;
	count = (size_t)(argc - optind);
	if (count == 0 && o->alias) {
		count = conf_list(a, conf_str(tool_conf(t), "alias_database"), &specs);
		status = EX_OK; /* none set is nothing to do */
	} else {
		specs = arena_alloc(a, (count + 1) * sizeof *specs);
		for (size_t i = 0; i < count; i++)
			specs[i] = with_type(t, a, argv[optind + (int)i]);
	}
	if (count > 0)
		status = run(o, specs, count);
	else if (status != EX_OK)
		tool_complain("which table? TYPE:NAME");
	arena_free(a);
	return status > 1 && called_as_postfix(argv[0]) ? 1 : status;
}

int verb_map(struct tool *t, int argc, char **argv)
{
	struct map_options o = { .alias = false };

	return map_or_alias(t, &o, argc, argv);
}

int verb_alias(struct tool *t, int argc, char **argv)
{
	struct map_options o = { .alias = true };

	return map_or_alias(t, &o, argc, argv);
}
