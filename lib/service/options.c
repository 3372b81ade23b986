/* lib/service/options.c - the command line master gives to a daemon. */
#include "lib/service/parts.h"

#include <getopt.h>
#include <stdlib.h>

#include "lib/base/mem.h"

static int parse_count(const char *text, uint64_t max, unsigned *out, struct err *e)
{
	uint64_t n;

	if (!str_to_u64(str_z(text), max, &n))
		return err_perm(e, "not a number in range: \"%s\"", text);
	*out = (unsigned)n;
	return 0;
}

static const char *setting(const char *name, const char *value)
{
	struct buf b = { 0 };

	buf_addf(&b, "%s=%s", name, value);
	return buf_z(&b); /* for the life of the process */
}

/* The working directory will be another one. */
static const char *absolute(const char *dir)
{
	char *path = dir[0] == '/' ? NULL : realpath(dir, NULL);

	return path != NULL ? path : dir; /* for the life of the process */
}

static int parse_option(int option, struct service_options *o, struct err *e)
{
	switch (option) {
	case 'c':
		o->conf_dir = optarg;
		return 0;
	case 'm':
		return parse_count(optarg, INT32_MAX, &o->max_clients, e);
	case 'n':
		o->name = optarg;
		return 0;
	case 'o':
		o->overrides[o->override_count++] = optarg;
		return 0;
	case 'q':
		o->quiet = true;
		return 0;
	case 'r':
		o->chroot = true;
		return 0;
	case 's':
		o->supervised = true;
		return parse_count(optarg, SERVICE_LISTENERS_MAX, &o->listener_count, e);
	case 't':
		o->test = true;
		return 0;
	case 'v':
		o->verbose = true;
		return 0;
	case ':':
		if (optopt == 'n') { /* "policyd -n", as postconf -n */
			o->test = o->thorough = true;
			return 0;
		}
		return err_perm(e, "-%c: argument missing", optopt);
	default:
		return err_perm(e, "usage: -c config_directory -n service [-s sockets] [-m clients] [-qrtv] [-o name=value ...] [-- args]");
	}
}

/* Options in master.cf's arguments that Postfix daemons know: only -v means something here. */
static void skip_foreign_options(struct service_options *o)
{
	while (o->arg_count > 0 && o->args[0][0] == '-') {
		if (strncmp(o->args[0], "-v", 2) == 0)
			o->verbose = true;
		o->args++;
		o->arg_count--;
	}
}

int options_parse(int argc, char **argv, const char *command, struct service_options *o, struct err *e)
{
	int option;

	*o = (struct service_options){ .conf_dir = GATEPOST_CONFIG_DIR, .name = command };
	o->overrides = mem_array((size_t)argc + 2, sizeof *o->overrides);
	o->override_count = 2; /* filled below; they come first so that -o can differ */
	optind = 1;
	while ((option = getopt(argc, argv, "+:c:m:n:o:qrs:tv")) != -1) {
		if (parse_option(option, o, e) < 0)
			return -1;
	}
	o->conf_dir = absolute(o->conf_dir);
	o->overrides[0] = setting("process_name", command);
	o->overrides[1] = setting("service_name", o->name);
	o->args = (const char *const *)argv + optind;
	o->arg_count = (size_t)(argc - optind);
	skip_foreign_options(o);
	return 0;
}
