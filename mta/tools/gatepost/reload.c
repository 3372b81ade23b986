/* mta/tools/gatepost/reload.c - reload: refuse a configuration that master would refuse, else tell it to read it and wait for the outcome. */
#include <errno.h>
#include <string.h>
#include <sysexits.h>

#include "lib/base/clock.h"
#include "lib/conf/master_cf.h"
#include "mta/tools/gatepost/gatepost.h"

#define WAIT_MS 60000 /* as long as a start may take */
#define LOOK_EVERY_US 20000

/* Words of master (mta/master/master.h), and what they mean. */
static const struct outcome {
	const char *word;
	int status;
	const char *text;
} outcomes[] = {
	{ "done", EX_OK, "the new configuration is in use" },
	{ "refused", EX_CONFIG, "the old configuration stays" },
	{ "failed", EX_SOFTWARE, "a service of the new configuration does not start, its workers of before go on: see the log" },
};

/* How reload number `before + 1` or a later one ended; NULL: not yet. */
static const struct outcome *ended(struct tool *t, struct arena *a, uint64_t before, struct str *why)
{
	struct reload_state now = running_reload(t, a);

	for (size_t i = 0; now.number > before && i < sizeof outcomes / sizeof *outcomes; i++) {
		*why = now.text;
		if (str_eqz(now.word, outcomes[i].word))
			return &outcomes[i];
	}
	return NULL;
}

static int wait_for_outcome(struct tool *t, struct arena *a, uint64_t before)
{
	int64_t deadline = deadline_in(WAIT_MS);
	const struct outcome *o;
	struct str why;

	while ((o = ended(t, a, before, &why)) == NULL) {
		if (running_master(t) == 0 || clock_mono_ms() > deadline) {
			tool_complain("not all services of the new configuration are ready yet: see the log");
			return EX_TEMPFAIL;
		}
		usleep(LOOK_EVERY_US);
	}
	if (o->status == EX_OK)
		printf("%s\n", o->text);
	else
		tool_complain("%.*s: %s", STRF(why), o->text);
	return o->status;
}

int verb_reload(struct tool *t, int argc, char **argv)
{
	struct arena *a = arena_new("reload");
	struct service_row *rows;
	size_t count;
	struct err e = ERR_INIT;
	uint64_t before;
	pid_t pid;
	int status = EX_NOPERM;

	(void)argc; /* takes no arguments */
	(void)argv;
	t->loud = true;
	pid = running_master(t);
	before = running_reload(t, a).number;
	if (pid == 0) {
		tool_complain("not running");
		status = 1;
	} else if (master_cf_load(t->conf_dir, a, &rows, &count, &e) < 0) {
		tool_complain("%s; the old configuration stays", e.text);
		status = EX_CONFIG;
	} else if (kill(pid, SIGHUP) < 0) {
		tool_complain("cannot signal process %ld: %s", (long)pid, strerror(errno));
	} else {
		status = wait_for_outcome(t, a, before);
	}
	arena_free(a);
	return status;
}
