/* mta/tools/gatepost/config.c - config: parameters, their values, where those come from and what they mean; options as postconf has them.
 */
#include <getopt.h>
#include <sysexits.h>

#include "lib/table/table.h"
#include "mta/tools/gatepost/gatepost.h"

struct style {
	bool defaults, only_set, bare, expanded, why, json, types;
};

static const char *value_of(const struct conf *c, const char *name, const struct style *s)
{
	const struct param *p = conf_param_find(str_z(name));

	if (s->defaults)
		return p != NULL ? p->fallback : "";
	if (s->expanded || (p != NULL && !conf_is_set(c, name) && *p->fallback == '\0')) /* computed ones have no other form */
		return conf_lookup(c, str_z(name));
	return conf_raw(c, name);
}

static void print_json(const struct conf *c, const char *name, const struct style *s)
{
	const struct param *p = conf_param_find(str_z(name));

	printf("{\"name\": ");
	tool_print_json(str_z(name));
	printf(", \"value\": ");
	tool_print_json(str_z(value_of(c, name, s)));
	printf(", \"expanded\": ");
	tool_print_json(str_z(conf_lookup(c, str_z(name))));
	printf(", \"source\": ");
	tool_print_json(str_z(conf_source(c, name)));
	if (p != NULL) {
		printf(", \"default\": ");
		tool_print_json(str_z(p->fallback));
		printf(", \"doc\": ");
		tool_print_json(str_z(p->doc));
	}
	printf("}\n");
}

static void print_why(const struct conf *c, const char *name)
{
	const struct param *p = conf_param_find(str_z(name));

	if (p != NULL)
		printf("    # %s.\n    # default: %s\n", p->doc, p->fallback);
	printf("    # from: %s\n", conf_source(c, name));
}

static void print_one(const struct conf *c, const char *name, const struct style *s)
{
	const char *value;

	if (s->json) {
		print_json(c, name, s);
		return;
	}
	value = value_of(c, name, s);
	if (s->bare)
		printf("%s\n", value);
	else
		printf("%s =%s%s\n", name, *value != '\0' ? " " : "", value);
	if (s->why)
		print_why(c, name);
}

static int print_named(const struct conf *c, char **names, const struct style *s)
{
	int status = EX_OK;

	for (; *names != NULL; names++) {
		if (conf_raw(c, *names) == NULL) {
			tool_complain("%s: unknown parameter", *names);
			status = 1;
		} else {
			print_one(c, *names, s);
		}
	}
	return status;
}

static void print_all(const struct conf *c, const struct style *s)
{
	struct arena *a = arena_new("config");
	const char *const *names;
	size_t count = conf_names(c, a, &names);

	for (size_t i = 0; i < count; i++) {
		if (s->only_set && !conf_is_set(c, names[i]))
			continue;
		if (s->defaults && conf_param_find(str_z(names[i])) == NULL)
			continue;
		print_one(c, names[i], s);
	}
	arena_free(a);
}

static int print_types(void)
{
	const char *const *types;
	size_t count = table_type_names(&types);

	for (size_t i = 0; i < count; i++)
		printf("%s\n", types[i]);
	return EX_OK;
}

static bool read_options(struct tool *t, int argc, char **argv, struct style *s)
{
	static const struct option longs[] = { { "json", no_argument, NULL, 'j' }, { "why", no_argument, NULL, 'v' }, { NULL, 0, NULL, 0 } };
	int option;

	while ((option = getopt_long(argc, argv, "c:dhjmnvx", longs, NULL)) != -1) {
		if (option == 'c')
			t->conf_dir = optarg;
		else if (option == '?')
			return false;
		s->defaults |= option == 'd';
		s->bare |= option == 'h';
		s->json |= option == 'j';
		s->types |= option == 'm';
		s->only_set |= option == 'n';
		s->why |= option == 'v';
		s->expanded |= option == 'x';
	}
	return true;
}

int verb_config(struct tool *t, int argc, char **argv)
{
	struct style s = { 0 };

	if (!read_options(t, argc, argv, &s)) {
		tool_complain("usage: config [-c DIR] [-d defaults | -n only what is set] [-x expanded] [-h values only] [-v | --why with "
			      "documentation and place] [--json] "
			      "[-m table types] [NAME ...]");
		return EX_USAGE;
	}
	if (s.types)
		return print_types();
	if (optind < argc)
		return print_named(tool_conf(t), argv + optind, &s);
	print_all(tool_conf(t), &s);
	return EX_OK;
}
