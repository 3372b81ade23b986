/* mta/cleanup/cleanup.c - takes messages from smtpd, pickup, bounce and local, makes them what will be delivered, and says yes when they
 * are on disk.
 *
 * Security: reads from other processes of ours over private/cleanup, but the content and the addresses in it are a stranger's: every length
 * is checked by lib/proto, parsing is bounded by header_size_limit, mime_nesting_limit and message_size_limit. Milters are strangers as
 * well: what they ask for is checked in lib/milter. Runs as mail_owner, writes only below incoming/ and hold/ of the queue directory, by
 * queue ids that were checked to be letters and digits, and connects only to rewrite, qmgr and the configured milters and tables.
 */
#include "mta/cleanup/cleanup.h"

#include "lib/service/service.h"
#include "mta/cleanup/settings.h"

#define REWRITE_PATIENCE_MS 30000 /* longest wait for trivial-rewrite, whatever ipc_timeout says: a client waits for us */

static void init(const struct conf *c)
{
	settings_load(c);
}

static void start(const struct conf *c)
{
	rewrite_init(service_endpoint(c, "rewrite_service_name"),
		set->ipc_timeout_ms < REWRITE_PATIENCE_MS ? set->ipc_timeout_ms : REWRITE_PATIENCE_MS);
	store_init();
	session_init();
}

static void serve(struct stream *s, const struct sock_addr *peer, unsigned listener)
{
	(void)peer; /* a process of ours, by the socket's directory */
	(void)listener; /* there is one kind */
	session_serve(s);
}

int main(int argc, char **argv)
{
	static const char *const directories[] = { "incoming", NULL };
	static const struct service cleanup = {
		.command = "cleanup", .init = init, .start = start, .serve = serve, .drain = session_drain, .queue_dirs = directories, .flags = SERVICE_DNS
	};

	return service_main(argc, argv, &cleanup);
}
