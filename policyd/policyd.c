/* policyd/policyd.c - the policy daemon: access tables, DNS lists, SPF, greylisting, rates; one action for each question.
 *
 * Security: answers smtpd over a socket in private/ and, where master.cf says so, a stock Postfix over loopback. It reads envelope data
 * that strangers chose, DNS answers (SPF records are little programs of strangers), and what Redis says; all three are bounded and taken as
 * hints that can delay mail but not let in what a table refuses. It never sees message content. Runs as mail_owner; tables named in
 * main.cf are opened before the privileges go.
 */
#include "policyd/policyd.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/service/service.h"
#include "policyd/checks.h"
#include "policyd/ruleset.h"
#include "policyd/store.h"

struct settings settings;

/* A setting that cannot be used. "policyd -n" goes on and tells the next one, too. */
static void bad_setting(const char *parameter, const struct err *e)
{
	const char *source = conf_source(settings.conf, parameter);

	if (!service_testing())
		log_fatal("%s: parameter %s: %s", source, parameter, e->text);
	log_error("%s: parameter %s: %s", source, parameter, e->text);
	settings.broken = true;
}

static struct matchlist *open_clients(const struct conf *c, const char *parameter)
{
	struct err e = ERR_INIT;
	struct matchlist *m = matchlist_open(conf_str(c, parameter), MATCH_ADDR | MATCH_HOST | MATCH_PARENT, conf_dir(c), &e);

	if (m == NULL)
		bad_setting(parameter, &e);
	return m;
}

static void open_tables(const struct conf *c, const char *parameter, struct tables *out)
{
	struct err e = ERR_INIT;

	if (tables_open(arena_new("policyd tables"), conf_str(c, parameter), conf_dir(c), out, &e) < 0)
		bad_setting(parameter, &e);
}

/* Who asks for these gets 451 until they are mended; the others are served. */
static void bad_restrictions(const char *parameter, const struct err *e)
{
	if (service_testing())
		bad_setting(parameter, e);
	else
		log_warn("%s: parameter %s: %s", conf_source(settings.conf, parameter), parameter, e->text);
}

/* "policyd -n": what differs from the defaults; or failure. */
static void tell_settings(const struct conf *c)
{
	static const struct {
		const struct param *rows;
		const size_t *count;
	} areas[] = { { params_policy, &params_policy_count }, { params_redis, &params_redis_count } };

	if (settings.broken) {
		log_flush();
		exit(1);
	}
	for (size_t i = 0; i < sizeof areas / sizeof *areas; i++)
		for (size_t k = 0; k < *areas[i].count; k++)
			if (conf_is_set(c, areas[i].rows[k].name))
				printf("%s = %s\n", areas[i].rows[k].name, conf_raw(c, areas[i].rows[k].name));
}

static void init(const struct conf *c)
{
	struct err e = ERR_INIT;

	settings.conf = c;
	settings.myhostname = conf_str(c, "myhostname");
	settings.recipient_delimiter = conf_str(c, "recipient_delimiter");
	settings.null_key = conf_str(c, "smtpd_null_access_lookup_key");
	settings.parents_plain = conf_list_has(c, "parent_domain_matches_subdomains", "smtpd_access_maps");
	settings.timeout_ms = conf_time_ms(c, "policyd_timeout");
	settings.dns_timeout_ms = conf_time_ms(c, "dns_timeout");
	settings.restrictions = str_z(conf_str(c, "policyd_restrictions"));
	settings.key_prefix = str_z(conf_str(c, "redis_key_prefix"));
	settings.spf_exempt = open_clients(c, "spf_exempt_clients");
	settings.greylist_exempt = open_clients(c, "greylist_exempt_clients");
	settings.greylist_known_domains = open_clients(c, "greylist_known_domains");
	settings.allow_clients = open_clients(c, "policyd_allow_clients");
	settings.classes = str_z(conf_str(c, "policyd_restriction_classes"));
	open_tables(c, "rbl_reply_maps", &settings.rbl_reply_maps);
	open_tables(c, "greylist_exempt_recipients", &settings.greylist_exempt_recipients);
	open_tables(c, "policyd_allow_recipients", &settings.allow_recipients);
	open_tables(c, "policyd_allow_senders", &settings.allow_senders);
	if (trouble_prepare(conf_str(c, "policyd_trouble_actions"), &e) < 0)
		bad_setting("policyd_trouble_actions", &e);
	if (store_init(c, &e) < 0)
		bad_setting("redis_server", &e);
	ruleset_open_tables(c);
	ruleset_try_all(c, bad_restrictions);
	if (service_testing())
		tell_settings(c);
}

/* Who may name restrictions, and so choose which tables are read: smtpd, which runs as we do, and root. */
static bool trusted(struct stream *s, const struct sock_addr *peer)
{
	struct ucred who;
	socklen_t size = sizeof who;

	return peer->u.sa.sa_family == AF_UNIX && getsockopt(stream_fd(s), SOL_SOCKET, SO_PEERCRED, &who, &size) == 0 &&
	       (who.uid == 0 || who.uid == geteuid());
}

static void serve(struct stream *s, const struct sock_addr *peer, unsigned listener)
{
	(void)listener; /* what counts is who comes */
	session_serve(s, trusted(s, peer));
}

int main(int argc, char **argv)
{
	static const struct service policyd = {
		.command = "policyd",
		.own_file = "policyd.cf",
		.listen = "policyd_listen",
		.init = init,
		.serve = serve,
		.drain = session_drain,
		.flags = SERVICE_DNS,
	};

	if (argc == 2 && strcmp(argv[1], "-l") == 0) {
		checks_print();
		return 0;
	}
	return service_main(argc, argv, &policyd);
}
