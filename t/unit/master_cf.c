/* t/unit/master_cf.c - lib/conf/master_cf.c: columns, options, quoting, replacement, errors with file and line. */
#include "lib/conf/master_cf.h"
#include "t/unit/tap.h"

static const char sample[] = "# service type private unpriv chroot wakeup maxproc command\n"
			     "smtp      inet  n - n - - smtpd\n"
			     "127.0.0.1:10025 inet n - n - 5 smtpd\n"
			     "  -o syslog_name=gp/back -o { smtpd_banner = a b }\n"
			     "  # a comment between\n"
			     "  -o {mynetworks=1.2.3.4}\n"
			     "qmgr unix n - n 300? 1 qmgr\n"
			     "local unix - n n - - local -v\n"
			     "uucp unix - n n - 0 pipe -o uucp_time_limit=1 flags=F user=uucp argv=uux -r -o x {a b} {{c}}\n"
			     "postlog unix-dgram n - n - 1 postlogd\n"
			     "qmgr unix n - n 60 1 qmgr\n";

static void test_sample(struct arena *a)
{
	struct service_row *rows;
	size_t count;
	struct err e = ERR_INIT;

	if (!ok(master_cf_parse("m", str_z(sample), a, &rows, &count, &e) == 0, "sample parses")) {
		diag("%s", e.text);
		return;
	}
	is_int((long long)count, 6, "rows, the second qmgr in place of the first");
	ok(rows[0].type == SERVICE_INET && !rows[0].is_private && rows[0].max_clients == -1 && rows[0].unprivileged && !rows[0].chroot,
		"smtp");
	is_int((long long)rows[1].override_count, 3, "settings");
	is_str(str_z(rows[1].overrides[0]), STR("syslog_name=gp/back"), "plain");
	is_str(str_z(rows[1].overrides[1]), STR("smtpd_banner=a b"), "braced, blanks around = gone");
	is_str(str_z(rows[1].overrides[2]), STR("mynetworks=1.2.3.4"), "after a comment");
	is_int(rows[1].max_clients, 5, "limit");
	is_int(rows[2].wakeup_s, 60, "later row counts");
	ok(!rows[2].wakeup_lazy && !rows[2].is_private, "its wakeup");
	ok(rows[3].is_private && !rows[3].unprivileged && rows[3].arg_count == 1, "local: private by default, root, -v");
	is_int((long long)rows[4].arg_count, 8, "pipe's arguments");
	is_str(str_z(rows[4].args[5]), STR("x"), "-o behind the first plain word is the command's");
	is_str(str_z(rows[4].args[6]), STR("a b"), "group is one argument");
	is_str(str_z(rows[4].args[7]), STR("{c}"), "one pair of braces goes");
	is_int(rows[4].line, 9, "line");
	is_int((int)rows[5].type, SERVICE_DGRAM, "unix-dgram");
}

static const struct {
	const char *text, *why;
} wrong[] = {
	{ "smtp inet n - n - -\n", "m:1: eight columns expected" },
	{ "\nsmtp tcp n - n - - smtpd\n", "m:2: service type must be" },
	{ "smtp inet x - n - - smtpd\n", "column must be y, n or -" },
	{ "smtp inet y - n - - smtpd\n", "cannot be private" },
	{ "smtp inet n - n z - smtpd\n", "wakeup time" },
	{ "smtp inet n - n - -1 smtpd\n", "process limit" },
	{ "smtp inet n - n - - /bin/sh\n", "without directory" },
	{ "smtp inet n - n - - smtpd -o\n", "-o needs name=value" },
	{ "smtp inet n - n - - smtpd -o {a=b\n", "without \"}\"" },
	{ "smtp inet n - n - - smtpd -o {a=b}c\n", "blank expected" },
	{ " smtp inet n - n - - smtpd\n", "white space" },
};

int main(void)
{
	struct arena *a = arena_new("test");

	test_sample(a);
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		struct service_row *rows;
		size_t count;
		struct err e = ERR_INIT;

		ok(master_cf_parse("m", str_z(wrong[i].text), a, &rows, &count, &e) == -1, "refused because: %s", wrong[i].why);
		ok(strstr(e.text, wrong[i].why) != NULL, "%s", e.text);
	}
	arena_free(a);
	return done_testing();
}
