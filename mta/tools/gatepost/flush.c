/* mta/tools/gatepost/flush.c - flush: ask qmgr to try everything, or one message, now. */
#include <getopt.h>
#include <sysexits.h>

#include "lib/base/clock.h"
#include "lib/net/fiber.h"
#include "lib/net/loop.h"
#include "lib/net/sock.h"
#include "lib/proto/notify.h"
#include "mta/tools/gatepost/gatepost.h"

#define QMGR_TIMEOUT_MS 10000

struct request {
	const char *id; /* NULL: everything */
	int result;
	struct err e;
};

static void tell_qmgr(void *arg)
{
	struct request *r = arg;
	int64_t deadline = deadline_in(QMGR_TIMEOUT_MS);
	struct stream *s = sock_connect_endpoint(STR("unix:public/qmgr"), deadline, &r->e);

	if (s != NULL)
		r->result = notify_send_command(s, r->id != NULL ? NOTIFY_FLUSH_ID : NOTIFY_FLUSH, r->id, deadline, &r->e);
	stream_close(s);
	loop_stop();
}

int flush_queue(struct tool *t, const char *id)
{
	struct request r = { .id = id, .result = -1, .e = ERR_INIT };

	if (id != NULL && !queue_id_valid(str_z(id))) {
		tool_complain("\"%s\" is no queue id", id);
		return EX_USAGE;
	}
	tool_enter_queue(t);
	loop_init();
	fiber_start("flush", tell_qmgr, &r);
	loop_run();
	if (r.result == 0)
		return EX_OK;
	tool_complain("the queue manager cannot be reached (is the mail system running?): %s", r.e.text);
	return EX_UNAVAILABLE;
}

int verb_flush(struct tool *t, int argc, char **argv)
{
	if (argc > 2) {
		tool_complain("flush takes one queue id, or nothing");
		return EX_USAGE;
	}
	return flush_queue(t, argc > 1 ? argv[1] : NULL);
}
