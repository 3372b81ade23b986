/* t/unit/conf.c - lib/conf: main.cf syntax, overrides, types and ranges, unknown names, families, the parameter tables. */
#include "lib/conf/conf.h"
#include "t/unit/tap.h"

static struct buf reports;

static void report(void *ctx, bool fatal, const char *text)
{
	(void)ctx; /* one buffer for all */
	buf_addf(&reports, "%s%s\n", fatal ? "E " : "W ", text);
}

static struct conf *parse(const char *text, const char *const *overrides, size_t count, struct err *e)
{
	buf_clear(&reports);
	return conf_parse(str_z(text), overrides, count, report, NULL, e);
}

static void test_syntax(void)
{
	static const char text[] = "# a comment\n"
				   "myhostname = mx.example.com\n"
				   "\n"
				   "mydestination = one,\n"
				   "  # a comment between\n"
				   "\ttwo,\n"
				   "\n"
				   "    three\n"
				   "relayhost=\n"
				   "smtpd_banner = $myhostname ESMTP   \r\n"
				   "mua_restrictions = permit_mynetworks, reject\n"
				   "smtpd_client_restrictions = $mua_restrictions\n"
				   "smtpd_milters = { inet:127.0.0.1:1,\n"
				   "    connect_timeout=3s },\n"
				   "    inet:127.0.0.1:2\n"
				   "queue_run_delay = 1\n"
				   "queue_run_delay = 7m\n"
				   "message_size_limit = 10m\n"
				   "delay_warning_time = 4\n";
	struct err e = ERR_INIT;
	struct conf *c = parse(text, NULL, 0, &e);
	struct arena *a = arena_new("test");
	struct str *words;

	if (!ok(c != NULL, "a usual main.cf loads")) {
		diag("%s", e.text);
		arena_free(a);
		return;
	}
	is_str(str_z(conf_str(c, "mydestination")), STR("one,\ttwo,    three"), "continuation lines");
	is_str(str_z(conf_str(c, "smtpd_banner")), STR("mx.example.com ESMTP"), "expanded and trimmed");
	is_str(str_z(conf_str(c, "smtpd_client_restrictions")), STR("permit_mynetworks, reject"), "own parameter by reference");
	is_str(str_z(conf_str(c, "relayhost")), STR(""), "empty value");
	is_str(str_z(conf_str(c, "mydomain")), STR("example.com"), "mydomain from myhostname");
	is_int(conf_time_ms(c, "queue_run_delay"), 7 * 60 * 1000, "last setting wins");
	ok(str_find(buf_str(&reports), STR("W main.cf:17: queue_run_delay was set before, in main.cf:16")) >= 0,
		"and both lines are named");
	is_int(conf_size(c, "message_size_limit"), 10485760, "size with suffix");
	is_int(conf_time_ms(c, "delay_warning_time"), 4 * 3600 * 1000LL, "time without suffix takes the parameter's unit");
	is_int(conf_time_ms(c, "maximal_queue_lifetime"), 5 * 86400 * 1000LL, "default in days");
	ok(!conf_bool(c, "soft_bounce") && conf_bool(c, "biff"), "booleans");
	is_int((long long)conf_list(a, conf_str(c, "smtpd_milters"), &words), 2, "a group is one word");
	is_str(words[1], STR("inet:127.0.0.1:2"), "second word");
	is_str(str_z(conf_source(c, "smtpd_milters")), STR("main.cf:13"), "source");
	is_str(str_z(conf_source(c, "biff")), STR("default"), "source of a default");
	ok(conf_lookup(c, STR("mua_restrictions")) != NULL && conf_lookup(c, STR("nope")) == NULL, "lookup by name");
	arena_free(a);
	conf_free(c);
}

static void test_overrides(void)
{
	static const char *const o[] = { "myorigin=a.example", "{ smtpd_timeout = 5s }", "smtpd_helo_required = yes",
		"syslog_name=gp/$service_name", "service_name=relay" };
	struct err e = ERR_INIT;
	struct conf *c = parse("smtpd_timeout = 100s\n", o, sizeof o / sizeof *o, &e);

	if (!ok(c != NULL, "overrides load"))
		return;
	is_str(str_z(conf_str(c, "myorigin")), STR("a.example"), "plain");
	is_int(conf_time_ms(c, "smtpd_timeout"), 5000, "in braces, over main.cf");
	ok(conf_bool(c, "smtpd_helo_required"), "with blanks");
	is_str(str_z(conf_str(c, "syslog_name")), STR("gp/relay"), "service_name in syslog_name");
	conf_free(c);
}

static void test_families(void)
{
	struct err e = ERR_INIT;
	struct conf *c = parse("default_destination_concurrency_limit = 7\n"
			       "relay_destination_concurrency_limit = 9\n"
			       "uucp_time_limit = 5m\nsmtpd_workers = 3\n",
		NULL, 0, &e);

	if (!ok(c != NULL, "families load"))
		return;
	is_int(conf_transport_int(c, "relay", "destination_concurrency_limit"), 9, "own value");
	is_int(conf_transport_int(c, "smtp", "destination_concurrency_limit"), 7, "base value");
	is_int(conf_transport_int(c, "local", "destination_recipient_limit"), 1, "declared for local");
	is_int(conf_transport_time_ms(c, "uucp", "time_limit"), 300000, "time limit");
	is_int(conf_transport_time_ms(c, "other", "time_limit"), 1000000, "command_time_limit");
	is_int(conf_workers(c, "smtpd", 8), 3, "workers set");
	is_int(conf_workers(c, "cleanup", 8), 8, "workers not set");
	conf_free(c);
}

static const struct {
	const char *text, *complaint; /* "": accepted without a word */
} verdicts[] = {
	{ "smtpd_baner = x\n", "E main.cf:1: unknown parameter \"smtpd_baner\": did you mean \"smtpd_banner\"?" },
	{ "mynetwroks = 1.2.3.4\n", "did you mean \"mynetworks\"?" },
	{ "zzz_something_else_entirely = 1\n", "(and nothing refers to $zzz_something_else_entirely)" },
	{ "html_directory = no\n", "W main.cf:1: html_directory is a parameter of Postfix that has no effect here" },
	{ "mine = 1\nsmtpd_banner = $mine\n", "" }, { "mine = 1\nsmtpd_banner = ${mine?x}\n", "" },
	{ "mine = 1\nsmtpd_banner = $mines\n", "E main.cf:1: unknown parameter" },
	{ "smtpd_restriction_classes = strict\nstrict = reject\n", "" },
	{ "maillog_file = /var/log/gp.log\nmaillog_file_prefixes = /var\ncompatibility_level = 3.6\n", "" },
	{ "smtpd_timeout = 5x\n", "E main.cf:1: smtpd_timeout = 5x: must be a time" }, { "smtpd_timeout = 0\n", "must be at least 1s" },
	{ "soft_bounce = maybe\n", "must be yes or no" }, { "hopcount_limit = many\n", "must be a whole number" },
	{ "message_size_limit = 1z\n", "must be a size" }, { "unknown_client_reject_code = 250\n", "must be at least 400" },
	{ "relay_destination_concurrency_limit = x\n", "must be a whole number" },
	{ " smtpd_banner = x\n", "must not begin with white space" }, { "smtpd_banner\n", "\"name = value\" expected" },
	{ "= x\n", "\"name = value\" expected" }, { "myorigin = $mydomain\nmydomain = $myorigin\n", "refers to itself" },
	{ "myorigin = ${mydomain\n", "unbalanced brackets" },
	{ "myorigin = $nowhere\n", "W main.cf:1: myorigin refers to $nowhere, which has no value" },
	{ "mailbox_command = /x $nowhere\n", "" }, /* expanded by its user */
};

static void test_verdicts(void)
{
	for (size_t i = 0; i < sizeof verdicts / sizeof *verdicts; i++) {
		const char *want = verdicts[i].complaint;
		struct err e = ERR_INIT;
		struct conf *c = parse(verdicts[i].text, NULL, 0, &e);
		bool fatal = str_find(buf_str(&reports), STR("E ")) == 0;

		if (!ok(*want == '\0' ? reports.n == 0 : str_find(buf_str(&reports), str_z(want)) >= 0, "%s", want))
			diag("for \"%s\": %s", verdicts[i].text, buf_z(&reports));
		ok(fatal == (c == NULL), "fails exactly when a report is fatal");
		conf_free(c);
	}
}

static void test_levels(void)
{
	struct err e = ERR_INIT;
	struct conf *c = parse("mydestination = here.example\n", NULL, 0, &e);

	is_str(str_z(conf_str(c, "relay_domains")), STR(""), "a new configuration relays nothing");
	conf_free(c);
	c = parse("mydestination = here.example\ncompatibility_level = 1\n", NULL, 0, &e);
	is_str(str_z(conf_str(c, "relay_domains")), STR("here.example"), "an old compatibility_level brings the old default");
	conf_free(c);
}

static void test_tables(void)
{
	for (size_t i = 0; i < conf_area_count; i++) {
		const struct param *rows = conf_areas[i].rows;
		bool sorted = true, documented = true;

		for (size_t k = 0; k < *conf_areas[i].count; k++) {
			sorted = sorted && (k == 0 || strcmp(rows[k - 1].name, rows[k].name) < 0);
			documented = documented && rows[k].doc[0] != '\0' && conf_param_find(str_z(rows[k].name)) == &rows[k];
		}
		ok(sorted, "%s: sorted by name", conf_areas[i].name);
		ok(documented, "%s: documented, declared once", conf_areas[i].name);
	}
	for (size_t i = 1; i < conf_postfix_name_count; i++)
		if (strcmp(conf_postfix_names[i - 1], conf_postfix_names[i]) >= 0)
			ok(false, "%s out of order", conf_postfix_names[i]);
}

static void test_missing(void)
{
	struct err e = ERR_INIT;

	ok(conf_load("/nonexistent", NULL, 0, NULL, NULL, &e) == NULL, "no main.cf");
	ok(strstr(e.text, "/nonexistent/main.cf") != NULL, "names the file: %s", e.text);
}

int main(void)
{
	test_syntax();
	test_overrides();
	test_families();
	test_verdicts();
	test_levels();
	test_tables();
	test_missing();
	buf_done(&reports);
	return done_testing();
}
