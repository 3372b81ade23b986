/* mta/tools/gatepost/flush.c - ask qmgr to try everything, one message, or what waits for one domain, now. */
#include <sysexits.h>

#include "lib/base/clock.h"
#include "lib/net/loop.h"
#include "lib/net/sock.h"
#include "lib/queue/queue.h"
#include "lib/table/table.h"
#include "mta/tools/gatepost/gatepost.h"

#define QMGR_TIMEOUT_MS 10000

struct request {
	enum notify_kind kind;
	const char *what;
	int result;
	struct err e;
};

static void tell_qmgr(void *arg)
{
	struct request *r = arg;
	int64_t deadline = deadline_in(QMGR_TIMEOUT_MS);
	struct stream *s = sock_connect_endpoint(STR("unix:public/qmgr"), deadline, &r->e);

	if (s != NULL)
		r->result = notify_send_command(s, r->kind, r->what, deadline, &r->e);
	stream_close(s);
}

/* Is there a record of what waits for it? */
static int check_site(struct tool *t, const char *site)
{
	const struct conf *c = tool_conf(t);
	unsigned parents = conf_list_has(c, "parent_domain_matches_subdomains", "fast_flush_domains") ? MATCH_PARENT : 0;
	struct err e = ERR_INIT;
	struct matchlist *m = matchlist_open(conf_str(c, "fast_flush_domains"), MATCH_HOST | parents, conf_dir(c), &e);
	enum table_answer answer = m != NULL ? matchlist_host(m, str_z(site), &e) : TABLE_FAILED;

	matchlist_close(m);
	if (answer == TABLE_FAILED)
		tool_complain("fast_flush_domains: %s", e.text);
	else if (answer == TABLE_MISSING)
		tool_complain("Flush service is not configured for destination \"%s\": name it in fast_flush_domains", site);
	return answer == TABLE_FOUND ? EX_OK : answer == TABLE_FAILED ? EX_TEMPFAIL : EX_UNAVAILABLE;
}

int flush_queue(struct tool *t, enum notify_kind kind, const char *what)
{
	struct request r = { .kind = kind, .what = what, .result = -1, .e = ERR_INIT };
	int status = kind == NOTIFY_FLUSH_SITE ? check_site(t, what) : EX_OK;

	if (kind == NOTIFY_FLUSH_ID && !queue_id_valid(str_z(what))) {
		tool_complain("\"%s\" is no queue id", what);
		return EX_USAGE;
	}
	if (status != EX_OK)
		return status;
	tool_enter_queue(t);
	loop_call("flush", tell_qmgr, &r);
	if (r.result == 0)
		return EX_OK;
	tool_complain("the queue manager cannot be reached (is the mail system running?): %s", r.e.text);
	return EX_UNAVAILABLE;
}
