/* mta/smtp/smtp.c - the SMTP and LMTP delivery agent; the name it is started by decides which.
 * Security: takes requests and open message files from qmgr, talks to any host on the internet, runs as mail_owner. It never opens a queue
 * file by name, and what servers say goes nowhere unescaped.
 */
#include <string.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/net/dns.h"
#include "lib/proto/agent.h"
#include "lib/service/service.h"
#include "mta/smtp/smtp.h"

static bool is_lmtp;

static void init(const struct conf *c)
{
	struct err e = ERR_INIT;

	own_load(c);
	if (settings_load(c, is_lmtp, &e) < 0)
		log_fatal("%s", e.text);
	if (cfg->sts)
		sts_init(c);
}

/* Who asks for DNSSEC means it: without a file of his own, the root's key as distributions install it. */
static void trust_root(const struct conf *c)
{
	static const char *const files[] = { "/usr/share/dns/root.key", "/var/lib/unbound/root.key", "/etc/unbound/root.key" };

	if (!cfg->dnssec || *conf_str(c, "dns_trust_anchor_file") != '\0')
		return;
	for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
		if (access(files[i], R_OK) == 0) {
			dns_trust(files[i]);
			return;
		}
	}
	log_warn("smtp_dns_support_level = dnssec, and no key of the root is found: nothing will be secure. Set dns_trust_anchor_file, or install "
		 "dns-root-data");
}

static void start(const struct conf *c)
{
	trust_root(c);
	cache_init();
}

static void serve(struct stream *s, const struct sock_addr *peer, unsigned listener)
{
	(void)peer; /* qmgr */
	(void)listener; /* there is one */
	agent_serve(s, "smtp request", deliver_message);
}

static void drain(void)
{
	agent_drain();
	cache_close_all();
}

int main(int argc, char **argv)
{
	const char *slash = argc > 0 ? strrchr(argv[0], '/') : NULL, *name = slash != NULL ? slash + 1 : argc > 0 ? argv[0] : "smtp";
	static const char *const directories[] = { "active", NULL };
	struct service service = { .init = init, .start = start, .serve = serve, .drain = drain, .queue_dirs = directories };

	service.flags = SERVICE_DNS | SERVICE_CONNECTS_FROM;
	is_lmtp = strcmp(name, "lmtp") == 0;
	service.command = is_lmtp ? "lmtp" : "smtp";
	return service_main(argc, argv, &service);
}
