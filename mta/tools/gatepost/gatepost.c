/* mta/tools/gatepost/gatepost.c - the operator's command: gatepost [-c DIR] VERB ...; also postqueue, postconf and postmap by those names.
 * Security: runs as whoever called it, never set-id. It reads configuration, tables and queue files with the caller's own rights.
 */
#include "mta/tools/gatepost/gatepost.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdarg.h>
#include <sysexits.h>

#include "lib/base/fs.h"
#include "lib/base/json.h"
#include "lib/base/mem.h"
#include "lib/table/table.h"

const struct verb tool_verbs[] = {
	{ "start", verb_start, "", "start; returns when mail is taken" },
	{ "start-fg", verb_start, "", "start and stay in the foreground" },
	{ "stop", verb_stop, "", "stop; returns when all processes have left" },
	{ "reload", verb_reload, "", "read the configuration again" },
	{ "status", verb_status, "[--json | --ready]", "does it run, what does it do?" },
	{ "top", verb_top, "[-d SECONDS] [-n HOW_OFTEN] [--json]", "watch what goes on" },
	{ "explain", verb_explain, "[--json] [--list] [--since TIME] [KEY ...]", "what happened to a session or message, and why" },
	{ "try", verb_try, "--client ADDRESS --rcpt ADDRESS ... [FILE]", "what would this client be told, and why?" },
	{ "check", verb_check, "", "look for mistakes in the configuration" },
	{ "config", verb_config, "[-dhnxv] [--json] [--why] [NAME ...]", "show parameters" },
	{ "import", verb_import, "[-v] [--json] [-w NEW_DIR] POSTFIX_DIR", "tell what a Postfix configuration means here" },
	{ "ask", verb_ask, "[--json] [--at SOCKET] NAME=VALUE ...", "what would policyd say, and why?" },
	{ "greylist", verb_greylist, "list | allow | forget ...", "clients that waited, wait, or need not" },
	{ "rate", verb_rate, "show | reset ...", "what clients have used of their limits" },
	{ "shadow", verb_shadow, "report [--json] [LOG ...]", "where shadow policies differ" },
	{ "map", verb_map, "[-firw] [-s | -q KEY | -d KEY] TYPE:NAME ...", "make, list or ask a table" },
	{ "alias", verb_alias, "[-firw] [-s | -q KEY | -d KEY] [TYPE:NAME ...]", "the same for alias files" },
	{ "queue", verb_queue, "[--json] [FILTER ...] [ID ...]",
		"show messages: --older, --younger AGE, --larger, --smaller SIZE, --sender, "
		"--recipient, --domain, --reason PATTERN, --in QUEUE" },
	{ "shape", verb_shape, "[--json] [-lps] [-b N] [-t MINUTES] [FILTER ...] [QUEUE ...]",
		"how much waits for whom, and for how long?" },
	{ "hold", verb_change, "ID ... | ALL | FILTER ...", "keep messages from being delivered" },
	{ "release", verb_change, "ID ... | ALL | FILTER ...", "let held messages go" },
	{ "requeue", verb_change, "ID ... | ALL | FILTER ...", "take messages in again, as if they had just come" },
	{ "delete", verb_change, "ID ... | ALL | FILTER ...", "remove messages" },
	{ "expire", verb_change, "ID ... | ALL | FILTER ...", "return messages to their senders after the next attempt" },
	{ "super", verb_super, "[-psS] [-d ID] [-e ID] [-f ID] [-h ID] [-H ID] [-r ID] [QUEUE ...]",
		"the same in postsuper's words; -s puts the queue in order, -p removes what a crash left behind" },
	{ "trace", verb_explain, "ID", "what happened to a message" },
	{ "dkim", verb_dkim, "genkey | testkey ...", "make or look up a DKIM key" },
	{ "dmarc", verb_dmarc, "report [--send] [-d DAY] [-o DIR]", "write and mail aggregate reports" },
	{ "flush", verb_change, "[ID ... | ALL | FILTER ...]", "try everything, or some messages, now" },
	{ "cat", verb_cat, "[-bhe] ID | PATH ...", "show a message of the queue" },
	{ "sendmail", verb_sendmail, "...", "submit a message" },
	{ "man", verb_man, "gatepost | main.cf", "print a manual page" },
	{ NULL, NULL, NULL, NULL },
};

static const struct {
	const char *program, *verb;
} other_names[] = { { "postqueue", "queue" }, { "mailq", "queue" }, { "postconf", "config" }, { "postmap", "map" },
	{ "postalias", "alias" }, { "postcat", "cat" }, { "postsuper", "super" }, { "qshape", "shape" } };

void tool_complain(const char *fmt, ...)
{
	struct buf raw = { 0 }, safe = { 0 };
	va_list ap;

	va_start(ap, fmt);
	buf_addfv(&raw, fmt, ap);
	va_end(ap);
	buf_add_safe(&safe, buf_str(&raw));
	fprintf(stderr, "%s: %s\n", program_invocation_short_name, buf_z(&safe));
	buf_done(&raw);
	buf_done(&safe);
}

static void report(void *ctx, bool fatal, const char *text)
{
	const struct tool *t = ctx;

	if (fatal || t->loud)
		tool_complain("%s%s", fatal ? "" : "warning: ", text);
}

const struct conf *tool_conf(struct tool *t)
{
	struct err e = ERR_INIT;

	if (t->conf == NULL)
		t->conf = conf_load(t->conf_dir, NULL, 0, report, t, &e);
	if (t->conf == NULL)
		exit(EX_CONFIG);
	return t->conf;
}

void tool_enter_queue(struct tool *t)
{
	const char *dir = conf_str(tool_conf(t), "queue_directory");

	if (chdir(dir) == 0)
		return;
	perror(dir);
	exit(EX_UNAVAILABLE);
}

const char *tool_daemon(struct tool *t, struct arena *a, const char *name)
{
	const char *set = conf_str(tool_conf(t), "daemon_directory");
	const char *const dirs[] = { arena_printf(a, "%s/../libexec/gatepost", t->self_dir).p, GATEPOST_DAEMON_DIR };
	const char *path = "";

	/* A main.cf that was Postfix's names Postfix's daemons; ours have a policyd among them. */
	if (*set != '\0' && fs_exists(arena_printf(a, "%s/policyd", set).p))
		return arena_printf(a, "%s/%s", set, name).p;
	for (size_t i = 0; i < sizeof dirs / sizeof *dirs; i++) {
		path = arena_printf(a, "%s/%s", dirs[i], name).p;
		if (fs_exists(path))
			break;
	}
	return path;
}

void tool_print_json(struct str s)
{
	struct buf b = { 0 };

	json_add_string(&b, s);
	fwrite(b.p, 1, b.n, stdout);
	buf_done(&b);
}

static const char *own_directory(void)
{
	static char path[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
	char *slash;

	if (n <= 0)
		return GATEPOST_SBIN_DIR;
	path[n] = '\0';
	slash = strrchr(path, '/');
	*slash = '\0';
	return path;
}

static int usage(FILE *out, int status)
{
	fprintf(out, "usage: gatepost [-c DIR] VERB ...\n\n");
	for (const struct verb *v = tool_verbs; v->name != NULL; v++)
		fprintf(out, "  %-9s %-46s %s\n", v->name, v->usage, v->help);
	fprintf(out, "\n  -c DIR  where main.cf and master.cf are [%s]\n  -V      version\n", GATEPOST_CONFIG_DIR);
	return status;
}

static int print_version(void)
{
	const char *const *types;
	size_t count = table_type_names(&types);

	printf("gatepost %s\ntables:", GATEPOST_VERSION);
	for (size_t i = 0; i < count; i++)
		printf(" %s", types[i]);
	printf("\n");
	return EX_OK;
}

static const struct verb *find_verb(const char *name)
{
	for (const struct verb *v = tool_verbs; v->name != NULL; v++)
		if (strcmp(v->name, name) == 0)
			return v;
	return NULL;
}

/* Called as postqueue and the like? */
static const struct verb *verb_of_program(const char *argv0)
{
	const char *slash = strrchr(argv0, '/');

	for (size_t i = 0; i < sizeof other_names / sizeof *other_names; i++)
		if (strcmp(slash != NULL ? slash + 1 : argv0, other_names[i].program) == 0)
			return find_verb(other_names[i].verb);
	return NULL;
}

static const char *default_directory(void)
{
	const char *dir = secure_getenv("GATEPOST_CONFIG");

	if (dir == NULL)
		dir = secure_getenv("MAIL_CONFIG");
	return dir != NULL ? dir : GATEPOST_CONFIG_DIR;
}

int main(int argc, char **argv)
{
	struct tool t = { .conf_dir = default_directory(), .self_dir = own_directory() };
	const struct verb *v = verb_of_program(argv[0]);
	static const struct option longs[] = { { "help", no_argument, NULL, 'h' }, { "version", no_argument, NULL, 'V' },
		{ NULL, 0, NULL, 0 } };
	int option;

	while (v == NULL && (option = getopt_long(argc, argv, "+c:hV", longs, NULL)) != -1) {
		if (option == 'V')
			return print_version();
		if (option != 'c')
			return usage(option == 'h' ? stdout : stderr, option == 'h' ? EX_OK : EX_USAGE);
		t.conf_dir = optarg;
	}
	if (v != NULL)
		return v->run(&t, argc, argv);
	if (optind >= argc)
		return usage(stderr, EX_USAGE);
	argc -= optind;
	argv += optind;
	v = find_verb(argv[0]);
	if (v == NULL) {
		tool_complain("unknown verb \"%s\" (gatepost -h lists them)", argv[0]);
		return EX_USAGE;
	}
	optind = 0; /* the verb's options come next */
	return v->run(&t, argc, argv);
}
