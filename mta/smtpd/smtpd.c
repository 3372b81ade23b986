/* mta/smtpd/smtpd.c - the SMTP server: one fiber for each client.
 *
 * Security: reads whatever the internet sends, as an unprivileged user once the configuration, certificates and listeners are open.
 * It opens no file after that, writes nothing to the queue, and trusts nothing from a client: lines, recipients, sizes, errors, time
 * and connections are bounded; what clients say reaches logs, headers and other processes only in safe form. Tables and lists in the
 * DNS are asked by policyd, addresses are resolved by trivial-rewrite, messages are written by cleanup.
 */
#include "lib/service/service.h"
#include "mta/smtpd/crowd.h"
#include "mta/smtpd/early.h"
#include "mta/smtpd/limit.h"
#include "mta/smtpd/limit_fleet.h"
#include "mta/smtpd/session.h"
#include "mta/smtpd/settings.h"
#include "mta/smtpd/verify.h"

static void init(const struct conf *c)
{
	settings_load(c);
	settings_stress_load(c);
	verify_init(c);
	early_init(c);
	crowd_init();
	if (!service_testing())
		limit_init(service_name());
	fleet_init(c, service_name());
}

static void start(const struct conf *c)
{
	(void)c; /* read before */
	crowd_start();
}

static void serve(struct stream *s, const struct sock_addr *peer, unsigned listener)
{
	(void)listener; /* all of a service's sockets are alike */
	session_run(s, peer);
}

int main(int argc, char **argv)
{
	static const struct service smtpd = { .command = "smtpd", .init = init, .start = start, .serve = serve,
		.flags = SERVICE_DNS | SERVICE_CROWD };

	return service_main(argc, argv, &smtpd);
}
