/* mta/qmgr/qmgr.c - the queue manager: decides which message is tried when, by which agent, with how many at once; the only writer of a
 * queue file after cleanup. Security: takes notices from cleanup and commands from the operator's programs on public/qmgr, and answers from
 * delivery agents; reads queue files, which it treats as untrusted. Runs as mail_owner, talks to nobody outside, delivers nothing itself.
 */
#include "mta/qmgr/qmgr.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/proto/notify.h"
#include "lib/service/service.h"

#define NOTICE_IDLE_MS (3600 * 1000)
#define RESOLVE_MS 60000
#define LOCK_RETRY_MS 200
#define DRAIN_MS 60000 /* how long running deliveries are waited for */
#define DRAIN_STEP_MS 50

struct listener { /* one connection that brings notices */
	struct list node;
	struct stream *stream;
};

static struct list listeners; /* to be closed when draining */

/* Exclusive lock on active/: whoever holds it may take up messages. */
static int lock_active(void)
{
	int fd = open("active", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		log_fatal("cannot open active: %s", strerror(errno));
	if (flock(fd, LOCK_EX | LOCK_NB) == 0)
		return fd;
	if (errno != EWOULDBLOCK)
		log_fatal("cannot lock active: %s", strerror(errno));
	close(fd);
	return -1;
}

/* There is one queue manager: its predecessor may still be giving its work back. Notices that come meanwhile are declined, the files are
 * found by the scan. */
static void begin(void *arg)
{
	bool told = false;

	(void)arg; /* there is one lock */
	while (!qmgr.draining) {
		qmgr.lock_fd = lock_active();
		if (qmgr.lock_fd >= 0) {
			scan_start();
			return;
		}
		if (!told)
			log_info("waiting for the queue manager before this one");
		told = true;
		fiber_sleep(LOCK_RETRY_MS);
	}
}

static void start(const struct conf *c)
{
	qmgr.messages = map_new();
	qmgr.transports = map_new();
	list_init(&qmgr.finishing);
	list_init(&listeners);
	waitq_init(&qmgr.room);
	qmgr.rewrite = rewrite_client_new(service_endpoint(c, "rewrite_service_name"), RESOLVE_MS);
	qmgr.bounce = pool_new(service_endpoint(c, "bounce_service_name"), 4, 30000, 600000);
	fiber_start("begin", begin, NULL);
}

static void obey(const struct notice *n)
{
	switch (n->kind) {
	case NOTIFY_FLUSH:
		scan_flush();
		break;
	case NOTIFY_FLUSH_ID:
		scan_flush_id(n->m.id);
		break;
	case NOTIFY_FLUSH_SITE:
		site_flush(n->site);
		break;
	default:
		qmgr.want_incoming = true;
		qmgr.next_due_s = 1;
		qmgr.next_due_s = 1; /* operators put files into deferred/ too */
		scan_kick();
	}
}

/* False: no more to be expected on this connection. */
static bool serve_one(struct stream *s)
{
	struct arena *a = arena_new("message");
	struct err e = ERR_INIT;
	struct notice n;
	int r = notify_receive(s, a, &n, deadline_in(NOTICE_IDLE_MS), &e);

	if (r == 0 && n.kind == NOTIFY_MESSAGE) {
		active_take_notice(a, &n.m, n.fd);
		return true;
	}
	if (r == 0 && !qmgr.draining)
		obey(&n);
	arena_free(a);
	return r == 0;
}

static void serve(struct stream *s, const struct sock_addr *peer, unsigned listener)
{
	struct listener l = { .stream = s };

	(void)peer; /* a local process */
	(void)listener; /* there is one */
	list_add_tail(&listeners, &l.node);
	while (serve_one(s))
		;
	list_del(&l.node);
}

/* Everything that is not being delivered right now is left to the successor: its file lies in active/, unlocked. The lock goes as soon as
 * this process takes up nothing more; running deliveries are seen to their end, protected by the locks on their files. */
static void drain(void)
{
	int64_t deadline = deadline_in(DRAIN_MS);

	qmgr.draining = true;
	for (struct list *n = listeners.next; n != &listeners; n = n->next)
		(void)shutdown(stream_fd(LIST_OWNER(n, struct listener, node)->stream), SHUT_RD);
	scan_kick();
	while ((!list_empty(&listeners) || qmgr.scanner != NULL) && clock_mono_ms() < deadline)
		fiber_sleep(DRAIN_STEP_MS / 10);
	active_drop_idle();
	if (qmgr.lock_fd >= 0)
		close(qmgr.lock_fd);
	qmgr.lock_fd = -1;
	while (map_count(qmgr.messages) > 0 && clock_mono_ms() < deadline) {
		fiber_sleep(DRAIN_STEP_MS);
		active_drop_idle();
	}
	if (map_count(qmgr.messages) > 0)
		log_warn("leaving while %zu messages are being delivered", map_count(qmgr.messages));
}

static const char *const directories[] = { "incoming", "active", "deferred", "flush", "hold", "corrupt", NULL };
static const struct service qmgr_service = {
	.command = "qmgr", .init = settings_read, .start = start, .serve = serve, .drain = drain, .queue_dirs = directories
};

int main(int argc, char **argv)
{
	return service_main(argc, argv, &qmgr_service);
}
