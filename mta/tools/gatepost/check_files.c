/* mta/tools/gatepost/check_files.c - check: accounts, directories, certificates and keys. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/conf/log_file.h"
#include "lib/net/tls.h"
#include "mta/tools/gatepost/check.h"

#define EXPIRY_DAYS 14 /* certificates with less than that are told of */

void check_owner(struct checking *k)
{
	const char *owner = conf_str(k->c, "mail_owner"), *drop = conf_str(k->c, "setgid_group");

	if (geteuid() == 0 && getpwnam(owner) == NULL)
		found(k, true, "mail_owner", "there is no user \"%s\": create it (useradd --system %s), or set mail_owner", owner, owner);
	if (geteuid() == 0 && getgrnam(drop) == NULL)
		found(k, false, "setgid_group", "there is no group \"%s\": local users cannot submit mail until you create it (groupadd --system %s)", drop, drop);
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

void check_directories(struct checking *k)
{
	struct err e = ERR_INIT;

	check_directory(k, "queue_directory");
	check_directory(k, "data_directory");
	if (conf_check_log(k->c, &e) < 0)
		found(k, true, "maillog_file", "%s", e.text);
}

/* In a child: open() as the mail owner does; errno. */
static int open_as(const struct passwd *pw, const char *path)
{
	int fd, why;
	pid_t pid;
	int status = 0;

	fflush(NULL);
	pid = fork();
	if (pid < 0)
		return 0;
	if (pid > 0)
		return waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? WEXITSTATUS(status) : 0;
	if (initgroups(pw->pw_name, pw->pw_gid) < 0 || setgid(pw->pw_gid) < 0 || setuid(pw->pw_uid) < 0)
		_exit(0);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	why = fd < 0 ? errno : 0;
	_exit(why);
}

void check_table_file(struct checking *k, const char *name, struct str spec)
{
	static const char *const files[] = { "btree", "cidr", "hash", "pcre", "regexp", "texthash" }; /* read again when they change */
	const struct passwd *pw = geteuid() == 0 ? getpwnam(conf_str(k->c, "mail_owner")) : NULL;
	struct str type = str_cut(&spec, ':');
	bool is_file = false;
	int why;

	if (str_eqz(type, "proxy"))
		type = str_cut(&spec, ':');
	for (size_t i = 0; i < sizeof files / sizeof *files; i++)
		is_file = is_file || str_eqz(type, files[i]);
	if (pw == NULL || !is_file || spec.n == 0 || spec.p[0] != '/' || str_find(str_z(name), STR("password")) >= 0)
		return; /* secrets are root's, and read at the start alone */
	why = open_as(pw, arena_z(k->a, spec));
	if (why == EACCES)
		found(k, false, name, "%.*s cannot be read by %s: what changes in it counts after a reload only; let %s read it", STRF(spec), pw->pw_name,
			pw->pw_name);
}

static void check_expiry(struct checking *k, const char *name, const char *file)
{
	int days;

	if (!tls_file_days_left(file, &days)) /* the daemons say what is wrong with it */
		return;
	if (days < 0)
		found(k, false, name, "the certificate in %s has expired: renew it", file);
	else if (days < EXPIRY_DAYS)
		found(k, false, name, "the certificate in %s expires in %d days: renew it", file, days);
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
	else if (!str_endsi(str_z(name), STR("key_file")))
		check_expiry(k, name, file);
}

void check_tls(struct checking *k)
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

