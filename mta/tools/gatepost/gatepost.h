/* mta/tools/gatepost/gatepost.h - what the verbs of the gatepost command share. */
#ifndef GATEPOST_MTA_TOOLS_GATEPOST_GATEPOST_H
#define GATEPOST_MTA_TOOLS_GATEPOST_GATEPOST_H

#include <stdbool.h>
#include <sys/types.h>

#include "lib/base/arena.h"
#include "lib/conf/conf.h"
#include "lib/proto/notify.h"

struct tool {
	const char *conf_dir;
	const char *self_dir; /* where this program is */
	struct conf *conf; /* NULL until tool_conf() */
	bool loud; /* show warnings about the configuration, too */
};

struct verb {
	const char *name;
	int (*run)(struct tool *t, int argc, char **argv); /* argv[0] is the verb; the exit status */
	const char *usage, *help;
};

extern const struct verb tool_verbs[]; /* ends with a row without a name */

/* The configuration; what is wrong with it goes to standard error, and ends the program (EX_CONFIG) when it cannot be used. */
const struct conf *tool_conf(struct tool *t);
/* Working directory = queue directory; ends the program when there is none. */
void tool_enter_queue(struct tool *t);
/* "gatepost: <text>" on standard error. */
void tool_complain(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Print a JSON string, quotes included: bytes that are no text become U+FFFD. */
void tool_print_json(struct str s);
/* A daemon's path: beside this program, else the installed place, unless daemon_directory says otherwise. Lives in a. */
const char *tool_daemon(struct tool *t, struct arena *a, const char *name);

/* running.c */

/* Process id of the master of this queue; 0: none is running. */
pid_t running_master(struct tool *t);
/* The last reload, as master tells of it (mta/master/master.h); number 0 when there was none or it cannot be read. */
struct reload_state {
	uint64_t number;
	struct str word, text; /* in a */
};
struct reload_state running_reload(struct tool *t, struct arena *a);
/* Wait until it is gone. */
bool running_wait_end(struct tool *t, int64_t ms);

/* Verbs: argv[0] is the verb. Each returns the exit status. */
int verb_alias(struct tool *t, int argc, char **argv);
int verb_ask(struct tool *t, int argc, char **argv);
int verb_cat(struct tool *t, int argc, char **argv);
int verb_change(struct tool *t, int argc, char **argv);
int verb_check(struct tool *t, int argc, char **argv);
int verb_config(struct tool *t, int argc, char **argv);
int verb_dkim(struct tool *t, int argc, char **argv);
int verb_dmarc(struct tool *t, int argc, char **argv);
int verb_explain(struct tool *t, int argc, char **argv);
int verb_greylist(struct tool *t, int argc, char **argv);
int verb_import(struct tool *t, int argc, char **argv);
int verb_man(struct tool *t, int argc, char **argv);
int verb_map(struct tool *t, int argc, char **argv);
int verb_queue(struct tool *t, int argc, char **argv);
int verb_rate(struct tool *t, int argc, char **argv);
int verb_reload(struct tool *t, int argc, char **argv);
int verb_sendmail(struct tool *t, int argc, char **argv);
int verb_shape(struct tool *t, int argc, char **argv);
int verb_shadow(struct tool *t, int argc, char **argv);
int verb_start(struct tool *t, int argc, char **argv);
int verb_super(struct tool *t, int argc, char **argv);
int verb_status(struct tool *t, int argc, char **argv);
int verb_stop(struct tool *t, int argc, char **argv);
int verb_top(struct tool *t, int argc, char **argv);
int verb_try(struct tool *t, int argc, char **argv);

/* flush.c: ask qmgr to try something now: NOTIFY_FLUSH everything, _ID one message, _SITE what waits for a domain. Exit status. */
int flush_queue(struct tool *t, enum notify_kind kind, const char *what);

#endif
