/* mta/tools/gatepost/check.c - check: what is wrong, or likely wrong, with the configuration: one line each, with file and line where the
 * setting is, and what to do. Exit status 78 when mail would not flow, 0 otherwise.
 */
#include "mta/tools/gatepost/check.h"

#include <stdarg.h>
#include <sysexits.h>

void found(struct checking *k, bool fatal, const char *name, const char *fmt, ...)
{
	struct buf text = { 0 };
	va_list ap;

	if (fatal)
		k->errors++;
	else
		k->warnings++;
	if (name != NULL && conf_is_set(k->c, name)) /* a default stands nowhere */
		buf_addf(&text, "%s: ", conf_source(k->c, name));
	buf_addf(&text, "%s: %s%s", fatal ? "error" : "warning", name != NULL ? name : "", name != NULL ? ": " : "");
	va_start(ap, fmt);
	buf_addfv(&text, fmt, ap);
	va_end(ap);
	tool_complain("%s", buf_z(&text));
	buf_done(&text);
}

int verb_check(struct tool *t, int argc, char **argv)
{
	static void (*const steps[])(struct checking * k) = { check_master, check_owner, check_directories, check_tables, check_lists,
		check_classes, check_restrictions, check_hops, check_relay, check_tls, check_milters, check_policy_servers, check_redis,
		check_daemons };
	struct checking k = { .t = t, .a = arena_new("check") };

	(void)argc; /* takes no arguments */
	(void)argv;
	t->loud = true;
	k.c = tool_conf(t);
	for (size_t i = 0; i < sizeof steps / sizeof *steps; i++)
		steps[i](&k);
	arena_free(k.a);
	if (k.errors + k.warnings > 0)
		tool_complain("%u error%s, %u warning%s", k.errors, k.errors == 1 ? "" : "s", k.warnings, k.warnings == 1 ? "" : "s");
	return k.errors > 0 ? EX_CONFIG : EX_OK;
}
