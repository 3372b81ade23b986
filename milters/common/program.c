/* milters/common/program.c - a milter's life: options, log, socket, then a working process under a keeper until the end.
 * It reads mail from strangers through the MTA and records from their name servers, with the rights of the user who starts it; private keys
 * may be in its memory. It writes nothing but its socket and log lines.
 */
#include <errno.h>
#include <getopt.h>
#include <grp.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pwd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <libmilter/mfapi.h>

#include "lib/base/log.h"
#include "lib/conf/confinement.h"
#include "milters/common/keeper.h"
#include "milters/common/listen.h"
#include "milters/common/milter.h"
#include "milters/common/redis.h"
#include "milters/common/resolver.h"
#include "milters/common/say.h"

#define DESCRIPTORS_AT_START 64 /* more are not open before there are connections */
#define PACKET_MAX (1024UL * 1024) /* the longest header field an MTA sends in one packet */

static struct {
	const struct role *role;
	const char *conf_dir;
	bool check_only, foreground;
} self = { NULL, GATEPOST_CONFIG_DIR, false, false };

static void usage(void)
{
	fprintf(stderr,
		"usage: %s [-c config_directory] [-f] [-n]\n"
		"  -f  stay in the foreground\n"
		"  -n  check the configuration and exit\n",
		self.role->name);
	exit(64);
}

static void parse_options(int argc, char **argv)
{
	int option;

	while ((option = getopt(argc, argv, "c:fn")) != -1) {
		if (option == 'c')
			self.conf_dir = optarg;
		else if (option == 'f')
			self.foreground = true;
		else if (option == 'n')
			self.check_only = true;
		else
			usage();
	}
	if (optind != argc)
		usage();
}

static void open_log(const struct conf *c)
{
	struct buf ident = { 0 };
	const char *target = conf_str(c, "maillog_file");

	buf_addf(&ident, "%s/%s", conf_str(c, "syslog_name"), self.role->name);
	if (*target == '\0')
		target = conf_str(c, "syslog_facility");
	if (!log_open(buf_z(&ident), target))
		log_fatal("cannot open the log \"%s\": %s", target, strerror(errno));
	buf_done(&ident);
}

/* libmilter answers the end of a message with one small packet for each change and one for the verdict: without this the last waits 40 ms
 * for the MTA's delayed acknowledgement. Connections inherit it from the listening socket, which libmilter does not tell; it is the one
 * that listens. */
static void send_at_once(void)
{
	for (int fd = 3; fd < DESCRIPTORS_AT_START; fd++) {
		int listens = 0, yes = 1;
		socklen_t n = sizeof listens;

		if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &n) == 0 && listens)
			(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes); /* no matter to a Unix socket */
	}
}

static void open_socket(const struct conf *c)
{
	struct str socket = str_z(conf_str(c, self.role->socket));
	struct buf spec = { 0 };
	struct err e = ERR_INIT;

	if (listen_spec(str_trim(socket), conf_str(c, "queue_directory"), &spec, &e) < 0)
		log_fatal("%s: %s", self.role->socket, e.text);
	if (self.check_only) {
		buf_done(&spec);
		return;
	}
	umask(007); /* the socket: for the MTA's user or group, nobody else */
	(void)smfi_setmaxdatasize(PACKET_MAX);
	if (session_register(self.role) != MI_SUCCESS || smfi_setconn((char *)buf_z(&spec)) != MI_SUCCESS ||
		smfi_opensocket(true) != MI_SUCCESS)
		log_fatal("%s: cannot listen on \"%.*s\": %s", self.role->socket, STRF(socket), strerror(errno));
	send_at_once();
	log_info("listening on %.*s", STRF(socket));
	buf_done(&spec);
}

/* Started by root: be mail_owner from here on. The socket stays usable for processes of that user, as Gatepost's are. */
static void become_owner(const struct conf *c)
{
	const char *name = conf_str(c, "mail_owner");
	struct str socket = str_trim(str_z(conf_str(c, self.role->socket)));
	const struct passwd *pw;
	struct buf path = { 0 };
	struct err e = ERR_INIT;

	if (geteuid() != 0)
		return;
	pw = getpwnam(name);
	if (pw == NULL || pw->pw_uid == 0)
		log_fatal("mail_owner: %s is %s", name, pw == NULL ? "no user of this host" : "root");
	if (str_starts(socket, STR("unix:")) && listen_spec(socket, conf_str(c, "queue_directory"), &path, &e) == 0 &&
		chown(buf_z(&path) + strlen("unix:"), pw->pw_uid, (gid_t)-1) < 0)
		log_fatal("%s: %s", buf_z(&path), strerror(errno));
	if (initgroups(name, pw->pw_gid) < 0 || setresgid(pw->pw_gid, pw->pw_gid, pw->pw_gid) < 0 ||
		setresuid(pw->pw_uid, pw->pw_uid, pw->pw_uid) < 0 || setuid(0) == 0)
		log_fatal("cannot become user %s", name);
	buf_done(&path);
}

/* ---- in the working process ---- */

/* What a running process cannot take over. */
static void warn_unchanged(const struct conf *before, const struct conf *now)
{
	const char *const fixed[] = { self.role->socket, "dns_servers", "dns_trust_anchor_file", "maillog_file", "syslog_name" };

	for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++)
		if (strcmp(conf_str(before, fixed[i]), conf_str(now, fixed[i])) != 0)
			say_warn("%s is changed: that needs a restart", fixed[i]);
}

static void reload(void)
{
	struct err e = ERR_INIT;
	struct settings *s = settings_load(self.role, self.conf_dir, false, &e), *before;

	if (s == NULL) {
		say_warn("configuration not taken over: %s", e.text);
		return;
	}
	before = settings_get();
	warn_unchanged(before->conf, s->conf);
	settings_put(before);
	settings_use(s);
	if (redis_use(s->conf, &e) < 0)
		say_warn("%s", e.text);
	say_info("configuration and keys read again");
}

static int serve(void)
{
	struct settings *s = settings_get();
	struct err e = ERR_INIT;

	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); /* nothing is ever executed here */
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0); /* private keys stay out of core files and debuggers */
	if (conf_confine(s->conf, NULL, NULL, false, &e) < 0) {
		say_warn("%s", e.text);
		return 1;
	}
	keeper_obey(reload);
	if (resolver_start(conf_str(s->conf, "dns_servers"), conf_str(s->conf, "dns_trust_anchor_file"), &e) < 0) {
		say_warn("%s", e.text);
		return 1;
	}
	settings_put(s);
	return smfi_main() == MI_SUCCESS ? 0 : 1;
}

int milter_main(const struct role *role, int argc, char **argv)
{
	struct err e = ERR_INIT;
	struct settings *s;

	self.role = role;
	parse_options(argc, argv);
	s = settings_load(role, self.conf_dir, true, &e);
	if (s == NULL || redis_use(s->conf, &e) < 0)
		log_fatal("%s", e.text);
	settings_use(s);
	if (!self.check_only)
		open_log(s->conf);
	open_socket(s->conf);
	if (self.check_only)
		return 0;
	become_owner(s->conf);
	if (!self.foreground && keeper_detach() < 0)
		log_fatal("cannot go to the background: %s", strerror(errno));
	return keeper_run(serve);
}
