/* mta/tools/gatepost/check.c - check: what is wrong, or likely wrong, with the configuration: one line each, with file and line where the
 * setting is, and what to do. Exit status 78 when mail would not flow, 0 otherwise.
 */
#include <errno.h>
#include <netdb.h>
#include <pwd.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sysexits.h>

#include "lib/conf/master_cf.h"
#include "lib/mail/addr.h"
#include "lib/table/table.h"
#include "mta/tools/gatepost/gatepost.h"

#define CONNECT_TIMEOUT_S 2

struct checking {
	struct tool *t;
	const struct conf *c;
	struct arena *a;
	unsigned errors, warnings;
};

static void found(struct checking *k, bool fatal, const char *name, const char *fmt, ...) __attribute__((format(printf, 4, 5)));

/* name: the parameter it is about, or NULL. */
static void found(struct checking *k, bool fatal, const char *name, const char *fmt, ...)
{
	struct buf text = { 0 };
	va_list ap;

	if (fatal)
		k->errors++;
	else
		k->warnings++;
	if (name != NULL)
		buf_addf(&text, "%s: ", conf_source(k->c, name));
	buf_addf(&text, "%s: %s%s", fatal ? "error" : "warning", name != NULL ? name : "", name != NULL ? ": " : "");
	va_start(ap, fmt);
	buf_addfv(&text, fmt, ap);
	va_end(ap);
	tool_complain("%s", buf_z(&text));
	buf_done(&text);
}

/* ---- master.cf ---- */

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

static void check_master(struct checking *k)
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

/* ---- tables and lists ---- */

static bool ends_with(const char *name, const char *suffix)
{
	return str_ends(str_z(name), str_z(suffix));
}

static void check_table_parameter(struct checking *k, const char *name)
{
	struct tables ts;
	struct err e = ERR_INIT;

	if (tables_open(k->a, conf_str(k->c, name), k->t->conf_dir, &ts, &e) < 0)
		found(k, true, name, "%s", e.text);
	tables_close(&ts);
}

static void check_tables(struct checking *k)
{
	const char *const *names;
	size_t count = conf_names(k->c, k->a, &names);

	for (size_t i = 0; i < count; i++) {
		const struct param *p = conf_param_find(str_z(names[i]));

		if (p == NULL || p->type != PARAM_STR || strncmp(names[i], "proxy_", 6) == 0)
			continue;
		if (ends_with(names[i], "_maps") || ends_with(names[i], "_checks"))
			check_table_parameter(k, names[i]);
	}
}

static void check_lists(struct checking *k)
{
	static const struct {
		const char *name;
		unsigned flags;
	} lists[] = {
		{ "mynetworks", MATCH_ADDR },
		{ "mydestination", MATCH_HOST },
		{ "relay_domains", MATCH_HOST },
		{ "virtual_alias_domains", MATCH_HOST },
		{ "virtual_mailbox_domains", MATCH_HOST },
		{ "smtpd_authorized_xclient_hosts", MATCH_HOST | MATCH_ADDR },
		{ "smtpd_authorized_xforward_hosts", MATCH_HOST | MATCH_ADDR },
		{ "smtpd_client_event_limit_exceptions", MATCH_HOST | MATCH_ADDR },
		{ "smtpd_forbid_bare_newline_exclusions", MATCH_HOST | MATCH_ADDR },
		{ "smtpd_sasl_exceptions_networks", MATCH_HOST | MATCH_ADDR },
		{ "permit_mx_backup_networks", MATCH_HOST | MATCH_ADDR },
	};

	for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
		struct err e = ERR_INIT;
		struct matchlist *m = matchlist_open(conf_str(k->c, lists[i].name), lists[i].flags, k->t->conf_dir, &e);

		if (m == NULL && (i == 0 || conf_is_set(k->c, lists[i].name))) /* defaults repeat what mynetworks says */
			found(k, true, lists[i].name, "%s", e.text);
		matchlist_close(m);
	}
}

/* A domain can be in one class only; the others never count. */
static void check_classes(struct checking *k)
{
	static const char *const others[] = { "virtual_alias_domains", "virtual_mailbox_domains" };
	struct str rest = str_z(conf_str(k->c, "mydestination")), word;
	struct err e = ERR_INIT;

	while ((word = str_word_braced(&rest)).n > 0) {
		if (!addr_domain_valid(word))
			continue;
		for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
			struct matchlist *m = matchlist_open(conf_str(k->c, others[i]), MATCH_HOST | MATCH_WHOLE, k->t->conf_dir, &e);

			if (m != NULL && matchlist_host(m, word, &e) == TABLE_FOUND)
				found(k, false, others[i], "do not list domain %.*s in BOTH mydestination and %s", STRF(word), others[i]);
			matchlist_close(m);
		}
	}
}

/* ---- restrictions ---- */

static const char *const restriction_lists[] = { "smtpd_client_restrictions", "smtpd_helo_restrictions", "smtpd_sender_restrictions",
	"smtpd_relay_restrictions", "smtpd_recipient_restrictions", "smtpd_data_restrictions", "smtpd_end_of_data_restrictions",
	"smtpd_etrn_restrictions" };

static void check_restriction_words(struct checking *k, const char *name, const char *value)
{
	struct str rest = str_z(value), word, before = STR_NONE;

	while ((word = str_word_braced(&rest)).n > 0) {
		if (str_starts(before, STR("check_")) && str_endsi(before, STR("_access"))) {
			struct err e = ERR_INIT;
			struct table *t = table_open(word, k->t->conf_dir, &e);

			if (t == NULL)
				found(k, true, name, "%s", e.text);
			table_close(t);
		}
		before = word;
	}
}

static void check_restrictions(struct checking *k)
{
	struct str rest = str_z(conf_str(k->c, "smtpd_restriction_classes")), word;

	for (size_t i = 0; i < sizeof restriction_lists / sizeof *restriction_lists; i++)
		check_restriction_words(k, restriction_lists[i], conf_str(k->c, restriction_lists[i]));
	while ((word = str_word(&rest, ", \t\r\n")).n > 0) {
		const char *value = conf_lookup(k->c, word);

		if (value == NULL)
			found(k, true, "smtpd_restriction_classes", "there is no parameter \"%.*s\": define the class", STRF(word));
		else
			check_restriction_words(k, arena_z(k->a, word), value);
	}
}

static bool has_word(const char *list, const char *word)
{
	struct str rest = str_z(list), w;

	while ((w = str_word_braced(&rest)).n > 0)
		if (str_eqiz(w, word))
			return true;
	return false;
}

/* smtpd itself refuses to run without one of these; say so beforehand. */
static void check_relay(struct checking *k)
{
	static const char *const closing[] = { "reject", "defer", "defer_if_permit", "reject_unauth_destination",
		"defer_unauth_destination", "check_relay_domains" };
	const char *mynetworks = conf_str(k->c, "mynetworks");
	bool closed = false;

	for (size_t i = 0; i < sizeof closing / sizeof *closing; i++)
		closed = closed || has_word(conf_str(k->c, "smtpd_relay_restrictions"), closing[i]) ||
			 has_word(conf_str(k->c, "smtpd_recipient_restrictions"), closing[i]);
	if (!closed)
		found(k, true, "smtpd_relay_restrictions",
			"open relay: add reject_unauth_destination to smtpd_relay_restrictions or smtpd_recipient_restrictions");
	if (has_word(mynetworks, "0.0.0.0/0") || has_word(mynetworks, "[::]/0") || has_word(mynetworks, "static:all"))
		found(k, false, "mynetworks", "the whole internet may relay: name your own networks only");
}

/* ---- files and users ---- */

static void check_owner(struct checking *k)
{
	const char *owner = conf_str(k->c, "mail_owner");

	if (geteuid() == 0 && getpwnam(owner) == NULL)
		found(k, true, "mail_owner", "there is no user \"%s\": create it, or set mail_owner", owner);
}

static void check_directory(struct checking *k, const char *name)
{
	const char *dir = conf_str(k->c, name);
	struct stat st;

	if (stat(dir, &st) < 0) {
		if (errno != ENOENT) /* start makes it */
			found(k, true, name, "%s: %s", dir, strerror(errno));
	} else if (!S_ISDIR(st.st_mode)) {
		found(k, true, name, "%s is no directory", dir);
	} else if (st.st_mode & S_IWOTH) {
		found(k, true, name, "%s can be written by everybody: chmod o-w", dir);
	} else if (access(dir, W_OK | X_OK) < 0) {
		found(k, false, name, "%s: %s", dir, strerror(errno));
	}
}

static void check_directories(struct checking *k)
{
	check_directory(k, "queue_directory");
	check_directory(k, "data_directory");
}

static void check_key_file(struct checking *k, const char *name, const char *file)
{
	struct stat st;

	if (*file == '\0' || strcmp(file, "none") == 0)
		return;
	if (stat(file, &st) < 0 || access(file, R_OK) < 0)
		found(k, true, name, "%s: %s", file, strerror(errno));
	else if (str_endsi(str_z(name), STR("key_file")) && (st.st_mode & S_IROTH))
		found(k, false, name, "%s can be read by everybody: chmod 600", file);
}

static void check_tls(struct checking *k)
{
	static const char *const files[] = { "smtpd_tls_cert_file", "smtpd_tls_key_file", "smtpd_tls_CAfile", "smtpd_tls_eccert_file",
		"smtpd_tls_eckey_file", "smtp_tls_cert_file", "smtp_tls_key_file", "smtp_tls_CAfile" };
	static const char *const chains[] = { "smtpd_tls_chain_files", "smtp_tls_chain_files" };
	const char *level = conf_str(k->c, "smtpd_tls_security_level");

	for (size_t i = 0; i < sizeof files / sizeof *files; i++)
		check_key_file(k, files[i], conf_str(k->c, files[i]));
	for (size_t i = 0; i < sizeof chains / sizeof *chains; i++) {
		struct str rest = str_z(conf_str(k->c, chains[i])), word;

		while ((word = str_word(&rest, ", \t\r\n")).n > 0)
			check_key_file(k, chains[i], arena_z(k->a, word));
	}
	if (*level != '\0' && strcmp(level, "none") != 0 && *conf_str(k->c, "smtpd_tls_cert_file") == '\0' &&
		*conf_str(k->c, "smtpd_tls_chain_files") == '\0' && *conf_str(k->c, "smtpd_tls_eccert_file") == '\0')
		found(k, false, "smtpd_tls_security_level", "there is no certificate: set smtpd_tls_chain_files");
}

/* ---- milters ---- */

/* A socket that gives up soon. */
static bool connects(int family, const void *addr, socklen_t size)
{
	struct timeval limit = { .tv_sec = CONNECT_TIMEOUT_S };
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool good;

	if (fd < 0)
		return false;
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
	good = connect(fd, addr, size) == 0;
	close(fd);
	return good;
}

static bool reach_unix(struct checking *k, struct str path)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	struct buf full = { 0 };
	bool good;

	if (path.n > 0 && path.p[0] != '/')
		buf_addf(&full, "%s/", conf_str(k->c, "queue_directory"));
	buf_add(&full, path);
	good = full.n < sizeof un.sun_path;
	if (good) {
		memcpy(un.sun_path, full.p, full.n);
		good = connects(AF_UNIX, &un, sizeof un);
	}
	buf_done(&full);
	return good;
}

static bool reach_inet(struct checking *k, struct str endpoint)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *all = NULL;
	ptrdiff_t colon = str_rchr(endpoint, ':');
	struct str host;
	bool good = false;

	if (colon < 0)
		return false;
	host = str_sub(endpoint, 0, (size_t)colon);
	if (host.n > 2 && host.p[0] == '[')
		host = str_sub(host, 1, host.n - 2);
	if (getaddrinfo(arena_z(k->a, host), arena_z(k->a, str_skip(endpoint, (size_t)colon + 1)), &hints, &all) != 0)
		return false;
	for (const struct addrinfo *i = all; i != NULL && !good; i = i->ai_next)
		good = connects(i->ai_family, i->ai_addr, i->ai_addrlen);
	freeaddrinfo(all);
	return good;
}

/* "inet:host:port", "unix:path", or "{ endpoint, setting=value ... }". */
static void check_milter(struct checking *k, const char *name, struct str word)
{
	struct str kind;
	bool good;

	if (word.n > 2 && word.p[0] == '{') {
		struct str inside = str_sub(word, 1, word.n - 2);

		word = str_word_braced(&inside);
	}
	kind = str_cut(&word, ':');
	if (str_eqz(kind, "inet"))
		good = reach_inet(k, word);
	else if (str_eqz(kind, "unix") || str_eqz(kind, "local"))
		good = reach_unix(k, word);
	else {
		if (!str_eqz(kind, "parallel"))
			found(k, true, name, "\"%.*s:%.*s\": inet:host:port or unix:path expected", STRF(kind), STRF(word));
		return;
	}
	if (!good)
		found(k, false, name, "no answer from %.*s:%.*s: is it running?", STRF(kind), STRF(word));
}

static void check_milters(struct checking *k)
{
	static const char *const names[] = { "smtpd_milters", "non_smtpd_milters" };

	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		struct str rest = str_z(conf_str(k->c, names[i])), word;

		while ((word = str_word_braced(&rest)).n > 0)
			check_milter(k, names[i], word);
	}
}

int verb_check(struct tool *t, int argc, char **argv)
{
	static void (*const steps[])(struct checking * k) = { check_master, check_owner, check_directories, check_tables, check_lists,
		check_classes, check_restrictions, check_relay, check_tls, check_milters };
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
