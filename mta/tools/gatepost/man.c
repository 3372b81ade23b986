/* mta/tools/gatepost/man.c - man: the manual pages gatepost(1) and gatepost-main.cf(5), in mdoc, written from the tables that the programs
 * themselves use: verbs and parameters.
 */
#include <sysexits.h>

#include "mta/tools/gatepost/gatepost.h"

#define LONG_VALUE 50 /* characters; shorter ones stand in the text */

static const struct {
	enum param_type type;
	const char *form;
} forms[] = {
	{ PARAM_STR, "text" },
	{ PARAM_RAW, "text, expanded when it is used" },
	{ PARAM_INT, "number" },
	{ PARAM_SIZE, "octets; suffixes k, m, g" },
	{ PARAM_TIME, "time; suffixes s, m, h, d, w" },
	{ PARAM_BOOL, "yes or no" },
};

/* Text that roff leaves alone, safe inside a quoted macro argument too. */
static void print_text(const char *s)
{
	if (*s == '.' || *s == '\'')
		fputs("\\&", stdout);
	for (; *s != '\0'; s++) {
		switch (*s) {
		case '\\':
			fputs("\\e", stdout);
			break;
		case '"':
			fputs("\\(dq", stdout);
			break;
		case '`':
			fputs("\\(ga", stdout);
			break;
		case '^':
			fputs("\\(ha", stdout);
			break;
		case '~':
			fputs("\\(ti", stdout);
			break;
		default:
			putchar(*s);
		}
	}
}

/* A macro line with one argument, and closing punctuation behind it. */
static void print_macro(const char *macro, const char *text, const char *after)
{
	printf(".%s \"", macro);
	print_text(text);
	printf("\"%s\n", after);
}

/* ---- gatepost-main.cf(5) ---- */

static void print_range(const struct param *p)
{
	if (p->min == 0 && p->max == 0)
		return;
	if (p->max == PARAM_MAX)
		printf(", at least %lld", (long long)p->min);
	else
		printf(", %lld to %lld", (long long)p->min, (long long)p->max);
}

static void print_parameter(const struct param *p)
{
	print_macro("It Va", p->name, "");
	print_text(p->doc);
	fputs(".\n.br\n", stdout);
	for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
		if (forms[i].type == p->type)
			fputs(forms[i].form, stdout);
	if (p->type == PARAM_TIME && *p->unit != '\0')
		printf(", %s when there is none", p->unit);
	print_range(p);
	if (*p->fallback == '\0') {
		fputs("; default: empty or computed.\n", stdout);
		return;
	}
	fputs("; default\n", stdout);
	if (strlen(p->fallback) < LONG_VALUE) {
		print_macro("Ql", p->fallback, "");
		return;
	}
	fputs(".Bd -literal -compact\n", stdout); /* no place to break it */
	print_text(p->fallback);
	fputs("\n.Ed\n", stdout);
}

static void print_area(const struct param_area *area)
{
	print_macro("Ss", area->title, "");
	fputs(".Bl -tag -width Ds\n", stdout);
	for (size_t i = 0; i < *area->count; i++)
		print_parameter(&area->rows[i]);
	fputs(".El\n", stdout);
}

static const char main_cf_head[] =
	".Dd November 25, 2026\n"
	".Dt GATEPOST-MAIN.CF 5\n"
	".Os\n"
	".Sh NAME\n"
	".Nm gatepost-main.cf\n"
	".Nd parameters of Gatepost\n"
	".Sh DESCRIPTION\n"
	"The file\n"
	".Pa main.cf\n"
	"in the configuration directory holds one setting a line,\n"
	".Dq name = value ,\n"
	"as it does for Postfix.\n"
	"A line that begins with white space continues the one before; a line that begins with # is a comment.\n"
	"A value may refer to others:\n"
	".Ql $name ,\n"
	".Ql ${name?{then}:{else}} .\n"
	"The last setting of a name counts.\n"
	".Pp\n"
	"An unknown name is an error that says which known name is nearest.\n"
	"A value that does not fit its parameter is an error with file and line.\n"
	".Xr gatepost 1\n"
	"shows values, defaults and where a value was set (config), looks for mistakes (check), and makes a change count (reload).\n"
	".Pp\n"
	"Parameters of one service only are given in master.cf behind its row:\n"
	".Ql -o name=value .\n"
	"For delivery transports, parameters named default_destination_... also exist as\n"
	".Ar transport Ns _destination_... .\n"
	"The number of worker processes of a service is\n"
	".Ar service Ns _workers .\n"
	".Sh PARAMETERS\n";

static const char main_cf_foot[] =
	".Sh SEE ALSO\n"
	".Xr gatepost 1 ,\n"
	".Xr gatepost-master.cf 5\n";

static void print_main_cf(void)
{
	fputs(main_cf_head, stdout);
	for (size_t i = 0; i < conf_area_count; i++)
		print_area(&conf_areas[i]);
	fputs(main_cf_foot, stdout);
}

/* ---- gatepost(1) ---- */

static const char gatepost_head[] =
	".Dd November 25, 2026\n"
	".Dt GATEPOST 1\n"
	".Os\n"
	".Sh NAME\n"
	".Nm gatepost\n"
	".Nd start, ask and steer the Gatepost mail system\n"
	".Sh SYNOPSIS\n"
	".Nm\n"
	".Op Fl c Ar dir\n"
	".Ar verb\n"
	".Op Ar argument ...\n"
	".Sh DESCRIPTION\n"
	"Gatepost receives mail, has it judged by policyd and by milters, keeps it in a queue and delivers it.\n"
	"This command is the operator's side of it.\n"
	"The options before the verb are:\n"
	".Bl -tag -width Ds\n"
	".It Fl c Ar dir\n"
	"Where main.cf and master.cf are.\n"
	"Without it, the environment variables\n"
	".Ev GATEPOST_CONFIG\n"
	"and\n"
	".Ev MAIL_CONFIG\n"
	"are looked at, then the built-in directory.\n"
	".It Fl V , Fl -version\n"
	"Print the version and the table types.\n"
	".It Fl h , Fl -help\n"
	"List the verbs.\n"
	".El\n"
	".Pp\n"
	"The verbs are:\n"
	".Bl -tag -width Ds\n";

static const char gatepost_foot[] =
	".El\n"
	".Pp\n"
	"Called as postqueue, postsuper, postcat, postconf, postmap, postalias or qshape,\n"
	".Nm\n"
	"takes the options that Postfix has under that name.\n"
	".Sh EXIT STATUS\n"
	"0 on success, 64 for wrong usage, 75 when trying again later may help, 78 for a configuration that cannot be used;\n"
	"others as in\n"
	".In sysexits.h .\n"
	".Sh SEE ALSO\n"
	".Xr sendmail 1 ,\n"
	".Xr gatepost-main.cf 5 ,\n"
	".Xr gatepost-master.cf 5\n";

static void print_verb(const struct verb *v)
{
	print_macro("It Cm", v->name, "");
	if (*v->usage != '\0')
		print_macro("Li", v->usage, "");
	fputs(".br\n", stdout);
	print_text(v->help);
	fputs(".\n", stdout);
}

static void print_gatepost(void)
{
	fputs(gatepost_head, stdout);
	for (const struct verb *v = tool_verbs; v->name != NULL; v++)
		print_verb(v);
	fputs(gatepost_foot, stdout);
}

int verb_man(struct tool *t, int argc, char **argv)
{
	static const struct {
		const char *page;
		void (*print)(void);
	} pages[] = { { "gatepost", print_gatepost }, { "main.cf", print_main_cf } };

	(void)t; /* pages are the same whatever is configured */
	for (size_t i = 0; argc == 2 && i < sizeof pages / sizeof *pages; i++) {
		if (strcmp(argv[1], pages[i].page) != 0)
			continue;
		pages[i].print();
		return EX_OK;
	}
	tool_complain("usage: man gatepost | main.cf");
	return EX_USAGE;
}
