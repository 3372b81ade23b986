/* policyd/policyd.c - the policy daemon: access tables, DNS lists, SPF, greylisting, rates; one action for each question.
 *
 * Security: answers smtpd over a socket in private/ and, where master.cf says so, a stock Postfix over loopback. It reads envelope data
 * that strangers chose, DNS answers (SPF records are little programs of strangers), and what Redis says; all three are bounded and taken as
 * hints that can delay mail but not let in what a table refuses. It never sees message content. Runs as mail_owner; tables named in
 * main.cf are opened before the privileges go.
 */
#include "policyd/policyd.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/service/service.h"
#include "policyd/checks.h"

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
		.init = settings_load,
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
