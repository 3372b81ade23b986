/* lib/conf/master_cf.h - master.cf, Postfix's syntax: service type private unpriv chroot wakeup maxproc command + args. */
#ifndef GATEPOST_LIB_CONF_MASTER_CF_H
#define GATEPOST_LIB_CONF_MASTER_CF_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/arena.h"
#include "lib/base/err.h"
#include "lib/base/str.h"

enum service_type { SERVICE_INET, SERVICE_UNIX, SERVICE_FIFO, SERVICE_PASS, SERVICE_DGRAM };

struct service_row {
	const char *name; /* "smtp", "127.0.0.1:10025", "cleanup" */
	enum service_type type;
	bool is_private; /* socket below private/, else public/ */
	bool unprivileged; /* runs as mail_owner */
	bool chroot;
	int wakeup_s; /* 0: never */
	bool wakeup_lazy; /* "?": only when already in use */
	int max_clients; /* maxproc column: how many clients at once; 0: no limit; -1: default_process_limit */
	const char *command; /* "smtpd" */
	const char *const *args; /* argv[1..] for the command without -o options: pipe's "flags=..." */
	size_t arg_count;
	const char *const *overrides; /* "name=value" of each -o */
	size_t override_count;
	int line;
};

/* Read dir/master.cf. Rows and texts live in a. Every error names file and line. 0, or -1 with *e. */
int master_cf_load(const char *dir, struct arena *a, struct service_row **rows, size_t *count, struct err *e);
/* Parse text already read (for tests and fuzzing); file is for messages. */
int master_cf_parse(const char *file, struct str text, struct arena *a, struct service_row **rows, size_t *count, struct err *e);
/* postscreen is smtpd with early checks. What the row behind it, of type pass, says about sessions is said about this one. */
void master_cf_join_postscreen(struct arena *a, struct service_row *rows, size_t count, const char *smtpd_service_name);

#endif
