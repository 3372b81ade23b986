/* lib/mailbox/verdict.c - what a command's exit status and output say about the delivery. */
#include <sys/wait.h>
#include <sysexits.h>

#include "lib/mail/dsn.h"
#include "lib/mailbox/command.h"

static const struct {
	int status;
	struct code code;
	const char *text;
} statuses[] = {
	{ EX_USAGE, { 0, 5, 3, 0 }, "command line usage error" },
	{ EX_DATAERR, { 0, 5, 6, 0 }, "data format error" },
	{ EX_NOINPUT, { 0, 5, 3, 0 }, "cannot open input" },
	{ EX_NOUSER, { 0, 5, 1, 1 }, "user unknown" },
	{ EX_NOHOST, { 0, 5, 1, 2 }, "host name unknown" },
	{ EX_UNAVAILABLE, { 0, 5, 3, 0 }, "service unavailable" },
	{ EX_SOFTWARE, { 0, 5, 3, 0 }, "internal software error" },
	{ EX_OSERR, { 0, 4, 3, 0 }, "system resource problem" },
	{ EX_OSFILE, { 0, 5, 3, 0 }, "critical OS file missing" },
	{ EX_CANTCREAT, { 0, 5, 2, 0 }, "can't create user output file" },
	{ EX_IOERR, { 0, 5, 3, 0 }, "input/output error" },
	{ EX_TEMPFAIL, { 0, 4, 3, 0 }, "temporary failure" },
	{ EX_PROTOCOL, { 0, 5, 5, 0 }, "remote error in protocol" },
	{ EX_NOPERM, { 0, 5, 7, 0 }, "permission denied" },
	{ EX_CONFIG, { 0, 5, 3, 5 }, "local configuration error" },
};

static void set(struct report *out, struct code code, struct str reason, struct str output)
{
	enum err_kind kind = code.c == 4 ? ERR_TEMP : ERR_PERM;

	if (output.n > 0)
		report_set(out, kind, code, "%.*s. Command output: %.*s", STRF(reason), STRF(output));
	else
		report_set(out, kind, code, "%.*s", STRF(reason));
}

static void set_named(struct report *out, struct code code, const char *what, const char *shown, struct str output)
{
	struct buf b = { 0 };

	buf_addf(&b, "%s: \"%s\"", what, shown);
	set(out, code, buf_str(&b), output);
	buf_done(&b);
}

void command_timed_out(const char *shown, struct str output, struct report *out)
{
	set_named(out, CODE(0, 5, 3, 0), "Command time limit exceeded", shown, output);
}

static void by_status(const char *shown, int status, struct str output, struct report *out)
{
	struct code code = { 0 };
	size_t skip = dsn_parse(output, &code);
	char what[64];

	if (skip > 0 && (code.c == 4 || code.c == 5)) {
		report_set(out, code.c == 4 ? ERR_TEMP : ERR_PERM, code, "%.*s", STRF(str_skip(output, skip)));
		return;
	}
	for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++) {
		if (statuses[i].status == status) {
			set(out, statuses[i].code, str_z(statuses[i].text), output);
			return;
		}
	}
	snprintf(what, sizeof what, "Command died with status %d", status);
	set_named(out, CODE(0, 5, 3, 0), what, shown, output);
}

/* A signal is more likely the machine's trouble than the mail's. */
void command_verdict(const char *shown, int wait_status, struct str output, struct report *out)
{
	char what[64];

	if (WIFEXITED(wait_status) && WEXITSTATUS(wait_status) == 0) {
		report_set(out, ERR_NONE, CODE(0, 2, 0, 0), "%.*s", STRF(output));
	} else if (WIFEXITED(wait_status)) {
		by_status(shown, WEXITSTATUS(wait_status), output, out);
	} else {
		snprintf(what, sizeof what, "Command died with signal %d", WTERMSIG(wait_status));
		set_named(out, CODE(0, 4, 3, 0), what, shown, output);
	}
}
