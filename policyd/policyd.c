/* policyd/policyd.c - the policy daemon: access tables, DNS lists, SPF, greylisting, rates; one action for each question.
 *
 * Security: answers smtpd over a socket in private/ and, where master.cf says so, a stock Postfix over loopback. It reads envelope data
 * that strangers chose, DNS answers (SPF records are little programs of strangers), and what Redis says; all three are bounded and taken as
 * hints that can delay mail but not let in what a table refuses. It never sees message content. Runs as mail_owner; tables named in
 * main.cf are opened before the privileges go.
 */
#include "policyd/policyd.h"

#include "lib/base/log.h"
#include "lib/service/service.h"
#include "policyd/ruleset.h"
#include "policyd/store.h"

struct settings settings;

static struct matchlist *open_clients(const struct conf *c, const char *parameter)
{
	struct err e = ERR_INIT;
	struct matchlist *m = matchlist_open(conf_str(c, parameter), MATCH_ADDR | MATCH_HOST | MATCH_PARENT, conf_dir(c), &e);

	if (m == NULL)
		log_fatal("parameter %s: %s", parameter, e.text);
	return m;
}

static void open_tables(const struct conf *c, const char *parameter, struct tables *out)
{
	struct err e = ERR_INIT;

	if (tables_open(arena_new("policyd tables"), conf_str(c, parameter), conf_dir(c), out, &e) < 0)
		log_fatal("parameter %s: %s", parameter, e.text);
}

static bool list_has(const char *list, const char *want)
{
	struct str rest = str_z(list), word;

	while ((word = str_word(&rest, ", \t\r\n")).n > 0)
		if (str_eqiz(word, want))
			return true;
	return false;
}

static void init(const struct conf *c)
{
	struct err e = ERR_INIT;

	settings.conf = c;
	settings.myhostname = conf_str(c, "myhostname");
	settings.recipient_delimiter = conf_str(c, "recipient_delimiter");
	settings.null_key = conf_str(c, "smtpd_null_access_lookup_key");
	settings.parents_plain = list_has(conf_str(c, "parent_domain_matches_subdomains"), "smtpd_access_maps");
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
		log_fatal("parameter policyd_trouble_actions: %s", e.text);
	store_init(c);
	ruleset_open_tables(c);
}

static void serve(struct stream *s, const struct sock_addr *peer, unsigned listener)
{
	(void)listener; /* what counts is who can reach it */
	session_serve(s, peer->u.sa.sa_family == AF_UNIX);
}

int main(int argc, char **argv)
{
	static const struct service policyd = {
		.command = "policyd",
		.init = init,
		.serve = serve,
		.drain = session_drain,
		.flags = SERVICE_DNS,
	};

	return service_main(argc, argv, &policyd);
}
