/* mta/tools/sendmail/sendmail.c - sendmail(1), mailq and newaliases: the way for local programs to submit mail.
 * Security: installed set-group-id (setgid_group), so that anybody can write into maildrop/, whose other files nobody sees. The caller is
 * not trusted: command line, standard input and environment are his. The group right is given up before anything is done that does not
 * need it, and at once when he chooses the configuration directory. What ends up in maildrop is checked again by pickup.
 */
#include "mta/tools/sendmail/sendmail.h"

#include <errno.h>
#include <pwd.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <sysexits.h>

#include "lib/mail/header.h"

static void complain(const char *how, const char *fmt, va_list ap)
{
	struct buf raw = { 0 }, safe = { 0 };

	buf_addfv(&raw, fmt, ap);
	buf_add_safe(&safe, buf_str(&raw));
	fprintf(stderr, "sendmail: %s: %s\n", how, buf_z(&safe));
	buf_done(&raw);
	buf_done(&safe);
}

void warn(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	complain("warning", fmt, ap);
	va_end(ap);
}

void fatal(int status, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	complain("fatal", fmt, ap);
	va_end(ap);
	exit(status);
}

void give_up_group(void)
{
	if (setresgid(getgid(), getgid(), getgid()) < 0)
		fatal(EX_OSERR, "cannot give up group rights: %s", strerror(errno));
}

static void find_login(struct request *r, struct arena *a)
{
	const struct passwd *pw = getpwuid(getuid());

	r->has_login = pw != NULL;
	if (pw != NULL)
		r->login = arena_z(a, str_z(pw->pw_name));
	else
		r->login = arena_printf(a, "unknown.%lu", (unsigned long)getuid()).p; /* no entry: still somebody */
}

/* -f has an address in the form of a header field; what is none is answered as Postfix does. */
static void find_sender(struct request *r, struct arena *a)
{
	struct str *found;
	size_t count;

	if (r->sender == NULL || *r->sender == '\0')
		return;
	count = header_addresses(a, str_z(r->sender), &found);
	if (count == 1 || strcmp(r->sender, "<>") == 0) {
		r->sender = count == 1 ? arena_z(a, found[0]) : "";
		return;
	}
	warn("-f option specified malformed sender: %s", r->sender);
	r->sender = "";
}

/* Every program's standard descriptors exist, so that no file we open becomes one of them by accident. */
static void plug_descriptors(void)
{
	struct stat st;

	for (int fd = 0; fd < 3; fd++)
		if (fstat(fd, &st) < 0 && freopen("/dev/null", "r+", fd == 0 ? stdin : fd == 1 ? stdout : stderr) == NULL)
			exit(EX_OSERR);
}

static void report(void *ctx, bool fatal_one, const char *text)
{
	(void)ctx; /* warnings are for the operator, who has gatepost check */
	if (fatal_one)
		fprintf(stderr, "sendmail: %s\n", text);
}

static void choose_delimiters(struct request *r, const struct conf *c)
{
	const char *allowed = conf_str(c, "verp_delimiter_filter");

	if (r->verp == NULL)
		return;
	if (*r->verp == '\0')
		r->verp = conf_str(c, "default_verp_delimiters");
	if (strlen(r->verp) != 2 || strspn(r->verp, allowed) != 2)
		fatal(EX_USAGE, "-XV requires two characters from %s", allowed);
}

static void send_mail(struct request *r, const struct conf *c, struct arena *a)
{
	struct message m = { 0 };

	choose_delimiters(r, c);
	check_permission(c, r->login);
	if (chdir(conf_str(c, "queue_directory")) < 0)
		fatal(EX_TEMPFAIL, "%s: %s", conf_str(c, "queue_directory"), strerror(errno));
	if (r->mode == MODE_DIALOGUE) {
		r->recipient_count = 0;
		r->from_header = false;
		run_dialogue(r, c, message_max((uint64_t)conf_size(c, "message_size_limit")));
		return;
	}
	if (!sender_permitted(c, r, request_sender(r)))
		fatal(EX_NOPERM, "User %s(%lu) is not allowed to send mail as <%.*s>", r->login, (unsigned long)getuid(), STRF(request_sender(r)));
	if (r->mode == MODE_PROBE)
		message_probe(&m, r, a);
	else
		message_read(&m, r, a, (uint64_t)conf_size(c, "message_size_limit"));
	submit(&m, r);
	if (r->mode == MODE_PROBE || r->report)
		printf("Mail Delivery Status Report will be mailed to <%.*s>.\n", STRF(request_sender(r)));
	buf_done(&m.content);
}

int main(int argc, char **argv)
{
	struct request r = { .conf_dir = GATEPOST_CONFIG_DIR };
	struct err e = ERR_INIT;
	struct arena *a = arena_new("sendmail");
	struct conf *c;

	plug_descriptors();
	umask(022);
	(void)signal(SIGPIPE, SIG_IGN);
	options_read(&r, argc, argv);
	if (r.conf_dir_given && strcmp(r.conf_dir, GATEPOST_CONFIG_DIR) != 0)
		give_up_group(); /* his configuration, his rights */
	switch (r.mode) {
	case MODE_LIST:
		run_list(&r);
	case MODE_FLUSH:
	case MODE_FLUSH_ID:
	case MODE_FLUSH_SITE:
		run_flush(&r);
	case MODE_DAEMON:
		fatal(EX_USAGE, "daemon mode is not for sendmail: \"gatepost start\" starts the mail system");
	case MODE_NOTHING:
		return EX_OK;
	case MODE_ALIASES:
		run_aliases(&r);
	case MODE_DIALOGUE:
	case MODE_PROBE:
	case MODE_MAIL:
		break;
	}
	c = conf_load(r.conf_dir, NULL, 0, report, NULL, &e);
	if (c == NULL)
		return EX_CONFIG;
	find_login(&r, a);
	find_sender(&r, a);
	r.line_ends = conf_str(c, "sendmail_fix_line_endings");
	send_mail(&r, c, a);
	conf_free(c);
	arena_free(a);
	return EX_OK;
}
