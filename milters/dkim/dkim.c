/* milters/dkim/dkim.c - the DKIM milter: verifies and signs, RFC 6376, 8301 and 8463.
 * It reads mail from strangers through the MTA and key records from their name servers, with the rights of the user who starts it; private
 * keys are in its memory. It writes nothing but its socket and log lines.
 */
#include <errno.h>
#include <getopt.h>
#include <sys/stat.h>

#include <libmilter/mfapi.h>

#include "lib/base/log.h"
#include "milters/common/keeper.h"
#include "milters/common/listen.h"
#include "milters/common/resolver.h"
#include "milters/common/say.h"
#include "milters/dkim/dkim.h"

#define PACKET_MAX (1024UL * 1024) /* the longest header field an MTA sends in one packet */

static struct {
	const char *conf_dir;
	bool check_only, foreground;
} options = { GATEPOST_CONFIG_DIR, false, false };

static void usage(void)
{
	fputs("usage: dkim [-c config_directory] [-f] [-n]\n"
	      "  -f  stay in the foreground\n"
	      "  -n  check the configuration and exit\n",
		stderr);
	exit(64);
}

static void parse_options(int argc, char **argv)
{
	int option;

	while ((option = getopt(argc, argv, "c:fn")) != -1) {
		if (option == 'c')
			options.conf_dir = optarg;
		else if (option == 'f')
			options.foreground = true;
		else if (option == 'n')
			options.check_only = true;
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

	buf_addf(&ident, "%s/dkim", conf_str(c, "syslog_name"));
	if (*target == '\0')
		target = conf_str(c, "syslog_facility");
	if (!log_open(buf_z(&ident), target))
		log_fatal("cannot open the log \"%s\": %s", target, strerror(errno));
	buf_done(&ident);
}

static void open_socket(const struct conf *c)
{
	struct str socket = str_z(conf_str(c, "dkim_socket"));
	struct buf spec = { 0 };
	struct err e = ERR_INIT;

	if (listen_spec(str_trim(socket), conf_str(c, "queue_directory"), &spec, &e) < 0)
		log_fatal("dkim_socket: %s", e.text);
	if (options.check_only) {
		buf_done(&spec);
		return;
	}
	umask(007); /* the socket: for the MTA's user or group, nobody else */
	(void)smfi_setmaxdatasize(PACKET_MAX);
	if (session_register() != MI_SUCCESS || smfi_setconn((char *)buf_z(&spec)) != MI_SUCCESS || smfi_opensocket(true) != MI_SUCCESS)
		log_fatal("dkim_socket: cannot listen on \"%.*s\": %s", STRF(socket), strerror(errno));
	log_info("listening on %.*s, mode %s", STRF(socket), conf_str(c, "dkim_mode"));
	buf_done(&spec);
}

/* ---- in the working process ---- */

static void reload(void)
{
	struct err e = ERR_INIT;
	struct policy *p = policy_load(options.conf_dir, false, &e);

	if (p == NULL) {
		say_warn("configuration not taken over: %s", e.text);
		return;
	}
	policy_use(p);
	say_info("configuration and keys read again");
}

static int serve(void)
{
	struct policy *p = policy_get();
	struct err e = ERR_INIT;

	if (resolver_start(conf_str(p->conf, "dns_servers"), conf_str(p->conf, "dns_trust_anchor_file"), &e) < 0) {
		say_warn("%s", e.text);
		return 1;
	}
	policy_put(p);
	return smfi_main() == MI_SUCCESS ? 0 : 1;
}

int main(int argc, char **argv)
{
	struct err e = ERR_INIT;
	struct policy *p;

	parse_options(argc, argv);
	p = policy_load(options.conf_dir, true, &e);
	if (p == NULL)
		log_fatal("%s", e.text);
	policy_use(p);
	if (!options.check_only)
		open_log(p->conf);
	open_socket(p->conf);
	if (options.check_only)
		return 0;
	if (!options.foreground && keeper_detach() < 0)
		log_fatal("cannot go to the background: %s", strerror(errno));
	return keeper_run(serve, reload);
}
