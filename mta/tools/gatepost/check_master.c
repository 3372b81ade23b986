/* mta/tools/gatepost/check_master.c - check: the rows of master.cf, and what each daemon says about its configuration. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/conf/master_cf.h"
#include "mta/tools/gatepost/check.h"

struct row_report {
	struct checking *k;
	const struct service_row *row;
};

static void report_row(void *ctx, bool fatal, const char *text)
{
	const struct row_report *r = ctx;

	if (strncmp(text, "-o", 2) == 0) /* main.cf itself was reported already */
		found(r->k, fatal, NULL, "%s/master.cf:%d: service %s: %s", r->k->t->conf_dir, r->row->line, r->row->name, text);
}

void check_master(struct checking *k)
{
	struct service_row *rows;
	struct err e = ERR_INIT;
	size_t count, inet = 0;

	if (master_cf_load(k->t->conf_dir, k->a, &rows, &count, &e) < 0) {
		found(k, true, NULL, "%s", e.text);
		return;
	}
	for (size_t i = 0; i < count; i++) {
		struct row_report r = { k, &rows[i] };

		inet += rows[i].type == SERVICE_INET;
		conf_free(conf_load(k->t->conf_dir, rows[i].overrides, rows[i].override_count, report_row, &r, &e));
	}
	if (inet == 0)
		found(k, false, NULL, "%s/master.cf: no inet service: no mail is taken from the network", k->t->conf_dir);
}


/* ---- the daemons ---- */

/* Lines already told: several rows start the same daemon. */
static bool told_before(struct checking *k, const char *text)
{
	for (size_t i = 0; i < k->told_count; i++)
		if (strcmp(k->told[i], text) == 0)
			return true;
	if (k->told_count < sizeof k->told / sizeof *k->told)
		k->told[k->told_count++] = arena_z(k->a, str_z(text));
	return false;
}

/* A log line: "<time> <host> <ident>[<pid>]: fatal: <what>". */
static void report_daemon_line(struct checking *k, const struct service_row *row, char *line)
{
	char *text = strstr(line, "]: ");
	bool fatal;

	line[strcspn(line, "\n")] = '\0';
	if (text == NULL || told_before(k, text + 3))
		return;
	text += 3;
	fatal = strncmp(text, "fatal: ", 7) == 0 || strncmp(text, "error: ", 7) == 0;
	if (fatal || strncmp(text, "warning: ", 9) == 0)
		found(k, fatal, NULL, "%s/master.cf:%d: service %s: %s", k->t->conf_dir, row->line, row->name, strchr(text, ' ') + 1);
}

static char **daemon_words(struct checking *k, const struct service_row *row, const char *program)
{
	char **words = arena_alloc(k->a, (8 + 2 * row->override_count + row->arg_count) * sizeof *words);
	size_t n = 0;

	words[n++] = arena_z(k->a, str_z(program));
	words[n++] = arena_z(k->a, STR("-t"));
	words[n++] = arena_z(k->a, STR("-c"));
	words[n++] = arena_z(k->a, str_z(k->t->conf_dir));
	words[n++] = arena_z(k->a, STR("-n"));
	words[n++] = arena_z(k->a, str_z(row->name));
	for (size_t i = 0; i < row->override_count; i++) {
		words[n++] = arena_z(k->a, STR("-o"));
		words[n++] = arena_z(k->a, str_z(row->overrides[i]));
	}
	words[n++] = arena_z(k->a, STR("--"));
	for (size_t i = 0; i < row->arg_count; i++)
		words[n++] = arena_z(k->a, str_z(row->args[i]));
	words[n] = NULL;
	return words;
}

/* Let the daemon itself look at its configuration: nobody knows better. */
static void ask_daemon(struct checking *k, const struct service_row *row)
{
	const char *program = tool_daemon(k->t, k->a, row->command);
	char **words = daemon_words(k, row, program);
	int ends[2];
	char line[4096];
	pid_t pid;
	FILE *out;

	if (access(program, X_OK) < 0 || pipe2(ends, O_CLOEXEC) < 0)
		return; /* a daemon of Postfix that Gatepost does without */
	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		dup2(ends[1], STDOUT_FILENO);
		close(STDERR_FILENO); /* fatal messages go there, too */
		execv(program, words);
		_exit(127);
	}
	close(ends[1]);
	out = fdopen(ends[0], "r");
	while (out != NULL && fgets(line, sizeof line, out) != NULL)
		report_daemon_line(k, row, line);
	if (out != NULL)
		fclose(out);
	if (pid > 0)
		(void)waitpid(pid, NULL, 0);
}

void check_daemons(struct checking *k)
{
	struct service_row *rows;
	struct err e = ERR_INIT;
	size_t count;

	if (k->errors > 0 || master_cf_load(k->t->conf_dir, k->a, &rows, &count, &e) < 0)
		return; /* they would say the same again */
	for (size_t i = 0; i < count; i++)
		ask_daemon(k, &rows[i]);
}
