/* mta/tools/gatepost/try.c - try: what would this client be told, and why? A session through an SMTP server of its own with the files as they
 * are now, the running policyd and the real milters; nothing is queued, and policyd leaves no mark. Then the story of that session.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <sysexits.h>

#include "lib/base/clock.h"
#include "lib/base/fs.h"
#include "lib/base/mem.h"
#include "lib/conf/master_cf.h"
#include "lib/mail/ip.h"
#include "mta/tools/gatepost/explain.h"

#define CONTROL_FD 3
#define LISTEN_FD 4
#define METRICS_FD 5
#define WORDS_MAX 256
#define MESSAGE_MAX (64 * 1024 * 1024)
#define PATIENCE_S 120
#define STORY_MS 5000
#define LOOK_EVERY_US 50000
#define OTHERS_US 400000 /* what cleanup tells may come behind what the SMTP server does */
#define RCPTS_MAX 64

struct attempt {
	const char *client, *name, *helo, *from, *user, *service, *file;
	const char *rcpts[RCPTS_MAX];
	size_t rcpt_count;
	bool json;
	char label[40]; /* the service's name in this session's story: nobody else has it */
	int64_t began_us;
	pid_t pid;
	int listener, port, control;
	FILE *in, *out;
	struct buf transcript; /* for when there is no story */
	int worst; /* reply code */
};

/* ---- an SMTP server for one session ---- */

static bool listen_somewhere(struct attempt *t)
{
	struct sockaddr_in here = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	socklen_t size = sizeof here;

	t->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (t->listener < 0 || bind(t->listener, (const struct sockaddr *)&here, sizeof here) < 0 || listen(t->listener, 4) < 0 ||
		getsockname(t->listener, (struct sockaddr *)&here, &size) < 0)
		return false;
	t->port = ntohs(here.sin_port);
	return true;
}

/* The row whose settings hold: the named one, or the first SMTP server that listens. */
static const struct service_row *find_row(struct tool *tool, const struct attempt *t, struct arena *a)
{
	struct service_row *rows;
	struct err e = ERR_INIT;
	size_t count;

	if (master_cf_load(tool->conf_dir, a, &rows, &count, &e) < 0) {
		tool_complain("%s", e.text);
		return NULL;
	}
	for (size_t i = 0; i < count; i++)
		if (rows[i].type == SERVICE_INET && (t->service != NULL ? strcmp(rows[i].name, t->service) == 0
									: strcmp(rows[i].command, "smtpd") == 0 || strcmp(rows[i].command, "postscreen") == 0))
			return &rows[i];
	tool_complain("master.cf has no service %s", t->service != NULL ? t->service : "smtpd");
	return NULL;
}

static void make_words(const struct tool *tool, const struct attempt *t, const struct service_row *row, const char **words)
{
	static const char *const ours[] = { "smtpd_dry_run=yes", "maillog_file=/dev/null", "smtpd_upstream_proxy_protocol=haproxy",
		"smtpd_tls_wrappermode=no", "smtpd_error_sleep_time=0", "smtpd_authorized_xclient_hosts=static:all", "log_session_id=no" };
	const char *const first[] = { "smtpd", "-c", tool->conf_dir, "-n", t->label, "-s", "1" };
	size_t n = 0;

	for (size_t i = 0; i < sizeof first / sizeof *first; i++)
		words[n++] = first[i];
	for (size_t i = 0; i < row->override_count && n < WORDS_MAX - 40; i++) {
		words[n++] = "-o";
		words[n++] = row->overrides[i];
	}
	for (size_t i = 0; i < sizeof ours / sizeof *ours; i++) {
		words[n++] = "-o";
		words[n++] = ours[i];
	}
	words[n] = NULL;
}

static void become_server(const struct attempt *t, int control, const char *program, const char **words)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	int listener = fcntl(t->listener, F_DUPFD_CLOEXEC, METRICS_FD + 1);

	control = fcntl(control, F_DUPFD_CLOEXEC, METRICS_FD + 1);
	if (null >= 0 && listener >= 0 && control >= 0 && dup2(control, CONTROL_FD) >= 0 && dup2(listener, LISTEN_FD) >= 0 &&
		dup2(null, METRICS_FD) >= 0)
		execv(program, (char *const *)words);
	_exit(EX_OSFILE);
}

static bool start_server(struct tool *tool, struct attempt *t)
{
	struct arena *a = arena_new("try");
	const struct service_row *row = find_row(tool, t, a);
	const char *words[WORDS_MAX], *program = tool_daemon(tool, a, "smtpd");
	char ready = 0;
	int pair[2];

	if (row == NULL)
		return false;
	make_words(tool, t, row, words);
	if (!listen_somewhere(t) || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) {
		perror("try");
		return false;
	}
	t->pid = fork();
	if (t->pid == 0)
		become_server(t, pair[1], program, words);
	close(pair[1]);
	t->control = pair[0];
	arena_free(a);
	if (t->pid > 0 && recv(t->control, &ready, 1, 0) == 1 && ready == 'R')
		return true;
	tool_complain("the SMTP server does not start with this configuration");
	return false;
}

static void stop_server(struct attempt *t)
{
	int status;

	if (t->pid <= 0)
		return;
	close(t->control); /* as if master had gone: it finishes and leaves */
	waitpid(t->pid, &status, 0);
	t->pid = 0;
}

/* ---- the session ---- */

static bool connect_server(struct attempt *t)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) }, .sin_port = htons((uint16_t)t->port) };
	struct timeval limit = { .tv_sec = PATIENCE_S };
	struct ip ip;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || connect(fd, (const struct sockaddr *)&to, sizeof to) < 0)
		return false;
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
	t->in = fdopen(fd, "r");
	t->out = fdopen(dup(fd), "w");
	check(t->in != NULL && t->out != NULL && ip_parse(str_z(t->client), &ip));
	fprintf(t->out, "PROXY %s %s %s 40000 25\r\n", ip.v4 ? "TCP4" : "TCP6", t->client, ip.v4 ? "127.0.0.1" : "::1");
	return fflush(t->out) == 0;
}

/* A reply; its code, 0 when the server is gone. */
static int reply(struct attempt *t)
{
	char line[2048];
	int code;

	do {
		if (fgets(line, sizeof line, t->in) == NULL)
			return 0;
		buf_addf(&t->transcript, "< %.*s\n", (int)strcspn(line, "\r\n"), line);
	} while (strlen(line) > 3 && line[3] == '-');
	code = (int)strtol(line, NULL, 10);
	if (code >= 400 && code > t->worst)
		t->worst = code;
	return code;
}

static int say(struct attempt *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static int say(struct attempt *t, const char *fmt, ...)
{
	struct buf line = { 0 };
	va_list ap;

	va_start(ap, fmt);
	buf_addfv(&line, fmt, ap);
	va_end(ap);
	buf_addf(&t->transcript, "> %s\n", buf_z(&line));
	fprintf(t->out, "%s\r\n", buf_z(&line));
	fflush(t->out);
	buf_done(&line);
	return reply(t);
}

static bool good(int code)
{
	return code >= 200 && code < 400;
}

/* Lines with CRLF, dots doubled. */
static int send_message(struct attempt *t, struct str text)
{
	while (text.n > 0) {
		struct str line = str_cut(&text, '\n');

		if (line.n > 0 && line.p[line.n - 1] == '\r')
			line.n--;
		if (line.n > 0 && line.p[0] == '.')
			fputc('.', t->out);
		fwrite(line.p, 1, line.n, t->out);
		fputs("\r\n", t->out);
	}
	return say(t, ".");
}

static void converse(struct attempt *t, struct str message)
{
	size_t taken = 0;

	if (!good(reply(t)) || !good(say(t, "EHLO %s", t->helo)))
		return;
	if ((t->name != NULL && !good(say(t, "XCLIENT NAME=%s", t->name))) || (t->user != NULL && !good(say(t, "XCLIENT LOGIN=%s", t->user))))
		return;
	if ((t->name != NULL || t->user != NULL) && !good(say(t, "EHLO %s", t->helo)))
		return;
	if (!good(say(t, "MAIL FROM:<%s>", t->from)))
		return;
	for (size_t i = 0; i < t->rcpt_count; i++)
		taken += good(say(t, "RCPT TO:<%s>", t->rcpts[i]));
	if (t->file != NULL && taken > 0 && say(t, "DATA") == 354)
		send_message(t, message);
	say(t, "QUIT");
}

/* ---- the story ---- */

static bool complete(const struct events *all)
{
	for (size_t i = 0; i < all->count; i++)
		if (all->v[i].story != 0 && str_find(all->v[i].line, STR("\"text\":\"disconnect from ")) >= 0)
			return true;
	return false;
}

/* It comes a moment later than the session ends. */
static bool print_story(struct tool *tool, const struct attempt *t)
{
	char *keys[] = { (char *)(uintptr_t)t->label };
	int64_t until = clock_mono_ms() + STORY_MS;
	struct events all;
	uint32_t count;
	bool ended = false, whole;

	do {
		usleep(ended ? OTHERS_US : LOOK_EVERY_US);
		if (events_read(tool, t->began_us, &all) < 0)
			return false;
		count = stories_find(&all, keys, 1);
		whole = ended;
		ended = complete(&all);
	} while (!whole && clock_mono_ms() < until);
	for (uint32_t i = 1; i <= count; i++)
		story_print(&all, i, t->json);
	return count > 0;
}

static int conclude(struct tool *tool, struct attempt *t)
{
	bool told = conf_size(tool_conf(tool), "explain_ring_size") > 0 && print_story(tool, t);
	struct buf safe = { 0 };

	if (!told) {
		struct str rest = buf_str(&t->transcript);

		while (rest.n > 0) {
			buf_clear(&safe);
			buf_add_safe(&safe, str_cut(&rest, '\n'));
			printf("%s\n", buf_z(&safe));
		}
	}
	buf_done(&safe);
	if (!t->json)
		printf("\n%s\n", t->worst >= 500 ? "refused" : t->worst >= 400 ? "to be tried again later" : t->file != NULL ? "taken" : "no objection so far");
	return t->worst >= 500 ? 1 : t->worst >= 400 ? EX_TEMPFAIL : EX_OK;
}

/* ---- the command ---- */

static int usage(void)
{
	tool_complain("usage: try --client ADDRESS [--name NAME] [--helo NAME] [--from ADDRESS] --rcpt ADDRESS ... [--user LOGIN] [--service NAME] "
		      "[--json] [MESSAGE_FILE | -]");
	return EX_USAGE;
}

static bool one_line(const char *text)
{
	return text == NULL || strpbrk(text, "\r\n") == NULL;
}

static bool read_options(int argc, char **argv, struct attempt *t)
{
	static const struct option longs[] = { { "client", required_argument, NULL, 'c' }, { "name", required_argument, NULL, 'n' },
		{ "helo", required_argument, NULL, 'h' }, { "from", required_argument, NULL, 'f' }, { "rcpt", required_argument, NULL, 'r' },
		{ "user", required_argument, NULL, 'u' }, { "service", required_argument, NULL, 's' }, { "json", no_argument, NULL, 'j' },
		{ NULL, 0, NULL, 0 } };
	struct {
		int option;
		const char **to;
	} texts[] = { { 'c', &t->client }, { 'n', &t->name }, { 'h', &t->helo }, { 'f', &t->from }, { 'u', &t->user }, { 's', &t->service } };
	int option;

	while ((option = getopt_long(argc, argv, "c:n:h:f:r:u:s:j", longs, NULL)) != -1) {
		if (option == '?' || !one_line(optarg))
			return false;
		t->json |= option == 'j';
		if (option == 'r' && t->rcpt_count < RCPTS_MAX)
			t->rcpts[t->rcpt_count++] = optarg;
		for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
			if (texts[i].option == option)
				*texts[i].to = optarg;
	}
	if (optind < argc)
		t->file = argv[optind];
	return optind + 1 >= argc;
}

static bool read_message(const struct attempt *t, struct buf *message)
{
	struct err e = ERR_INIT;

	if (t->file == NULL)
		return true;
	if (fs_read_file(strcmp(t->file, "-") == 0 ? "/dev/stdin" : t->file, MESSAGE_MAX, message, &e) == 0)
		return true;
	tool_complain("%s", e.text);
	return false;
}

int verb_try(struct tool *tool, int argc, char **argv)
{
	struct attempt t = { .helo = "client.example", .from = "", .began_us = clock_wall_us() };
	struct buf message = { 0 };
	struct ip ip;
	int status = EX_UNAVAILABLE;

	if (!read_options(argc, argv, &t) || t.client == NULL || !ip_parse(str_z(t.client), &ip) || t.rcpt_count == 0)
		return usage();
	if (running_master(tool) == 0) {
		tool_complain("it does not run: try asks its policyd and its address tables");
		return EX_UNAVAILABLE;
	}
	if (!read_message(&t, &message))
		return EX_NOINPUT;
	snprintf(t.label, sizeof t.label, "try-%ld-%lld", (long)getpid(), (long long)t.began_us);
	signal(SIGPIPE, SIG_IGN);
	if (start_server(tool, &t) && connect_server(&t)) {
		converse(&t, buf_str(&message));
		fclose(t.in);
		fclose(t.out);
		stop_server(&t);
		status = conclude(tool, &t);
	}
	stop_server(&t);
	buf_done(&t.transcript);
	buf_done(&message);
	return status;
}
