/* mta/virtual/virtual.c - delivers to mailboxes that belong to no system user: where, and as whom, is looked up in tables.
 * Security: takes requests and open message files from qmgr; runs as root when started so, but only to fork children that become the
 * mailbox's owner (never root, never below virtual_minimum_uid). Recipients choose neither file nor user: tables do, and a table that
 * substitutes parts of the recipient into a path may not lead out of virtual_mailbox_base by "..".
 */
#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/mail/addr.h"
#include "lib/mailbox/mailbox.h"
#include "lib/mailbox/worker.h"
#include "lib/proto/agent.h"
#include "lib/service/service.h"
#include "lib/table/table.h"

static struct {
	struct arena *life;
	struct tables mailboxes, uids, gids, status_filter;
	const char *base, *delimiter, *myhostname;
	uint64_t minimum_uid;
	int64_t size_limit;
	unsigned locks;
	int lock_attempts;
	int64_t lock_delay_ms, stale_ms;
	bool original, strict_owner;
} set;

static void open_tables(const struct conf *c, const char *name, struct tables *out)
{
	struct err e = ERR_INIT;

	if (tables_open(set.life, conf_str(c, name), conf_dir(c), out, &e) < 0)
		log_fatal("%s: %s", name, e.text);
}

static void init(const struct conf *c)
{
	set.life = arena_new("virtual");
	open_tables(c, "virtual_mailbox_maps", &set.mailboxes);
	open_tables(c, "virtual_uid_maps", &set.uids);
	open_tables(c, "virtual_gid_maps", &set.gids);
	open_tables(c, "virtual_delivery_status_filter", &set.status_filter);
	set.base = conf_str(c, "virtual_mailbox_base");
	set.delimiter = conf_str(c, "recipient_delimiter");
	set.myhostname = conf_str(c, "myhostname");
	set.minimum_uid = (uint64_t)conf_int(c, "virtual_minimum_uid");
	set.size_limit = conf_size(c, "virtual_mailbox_limit");
	set.locks = mbox_lock_flags(conf_str(c, "virtual_mailbox_lock"));
	set.lock_attempts = (int)conf_int(c, "deliver_lock_attempts");
	set.lock_delay_ms = conf_time_ms(c, "deliver_lock_delay");
	set.stale_ms = conf_time_ms(c, "stale_lock_time");
	set.original = conf_bool(c, "enable_original_recipient");
	set.strict_owner = conf_bool(c, "strict_mailbox_ownership");
	worker_confine(c);
}

/* ---- what the tables say ---- */

struct place {
	const char *path;
	struct identity who;
};

static int settle(struct deliver_result *res, enum deliver_status status, struct code code, struct str text)
{
	res->status = status;
	res->code = code;
	res->text = text;
	return -1;
}

/* Our own trouble: the log says which, the sender need not know. */
static int fail_config(struct deliver_result *res, const char *id, const char *what, struct str rcpt, const char *why)
{
	log_warn("%s: %s for recipient %.*s: %s", id, what, STRF(rcpt), why);
	return settle(res, DELIVER_DEFERRED, CODE(0, 4, 3, 5), STR("mail system configuration error"));
}

static bool leads_out(struct str path)
{
	while (path.n > 0) {
		if (str_eq(str_cut(&path, '/'), STR("..")))
			return true;
	}
	return false;
}

static int find_path(struct arena *a, const char *id, struct str rcpt, struct place *out, struct deliver_result *res)
{
	struct buf value = { 0 };
	struct err e = ERR_INIT;
	struct str ext, path;
	enum table_answer answer = tables_lookup_address(&set.mailboxes, rcpt, set.delimiter, false, &value, &ext, &e);

	path = arena_dup(a, str_trim(buf_str(&value)));
	buf_done(&value);
	if (answer == TABLE_FAILED) {
		log_warn("%s: %s", id, e.text);
		return settle(res, DELIVER_DEFERRED, CODE(0, 4, 3, 0), STR("mailbox lookup failure"));
	}
	if (answer == TABLE_MISSING)
		return settle(res, DELIVER_BOUNCED, CODE(0, 5, 1, 1), arena_printf(a, "unknown user: \"%.*s\"", STRF(rcpt)));
	if (path.n == 0 || leads_out(path))
		return fail_config(res, id, "virtual_mailbox_maps", rcpt, "no usable path");
	if (set.base[0] != '\0')
		path = arena_printf(a, "%s/%.*s", set.base, STRF(path));
	else if (path.p[0] != '/')
		return fail_config(res, id, "virtual_mailbox_maps", rcpt, "relative path without virtual_mailbox_base");
	out->path = arena_z(a, path);
	return 0;
}

static int find_id(const struct tables *ts, const char *what, uint64_t least, const char *id, struct str rcpt, uint64_t *out,
	struct deliver_result *res)
{
	struct buf value = { 0 };
	struct err e = ERR_INIT;
	struct str ext;
	enum table_answer answer = tables_lookup_address(ts, rcpt, set.delimiter, false, &value, &ext, &e);
	int r = 0;

	if (answer == TABLE_FAILED) {
		log_warn("%s: %s", id, e.text);
		r = settle(res, DELIVER_DEFERRED, CODE(0, 4, 3, 0), STR("mailbox lookup failure"));
	} else if (answer == TABLE_MISSING) {
		r = fail_config(res, id, what, rcpt, "nothing found");
	} else if (!str_to_u64(str_trim(buf_str(&value)), UINT32_MAX - 1, out)) {
		r = fail_config(res, id, what, rcpt, "not a number");
	} else if (*out < least) {
		r = fail_config(res, id, what, rcpt, "number too small");
	}
	buf_done(&value);
	return r;
}

static int find_place(struct arena *a, const char *id, struct str rcpt, struct place *out, struct deliver_result *res)
{
	uint64_t uid, gid;

	if (find_path(a, id, rcpt, out, res) < 0)
		return -1;
	if (!identity_can_switch())
		return 0; /* everything belongs to us */
	if (find_id(&set.uids, "virtual_uid_maps", set.minimum_uid, id, rcpt, &uid, res) < 0 ||
		find_id(&set.gids, "virtual_gid_maps", 1, id, rcpt, &gid, res) < 0)
		return -1;
	out->who = (struct identity){ .uid = (uid_t)uid, .gid = (gid_t)gid, .name = "", .home = "", .shell = "" };
	return 0;
}

/* ---- delivery ---- */

static void make_content(struct arena *a, const struct deliver_request *r, const struct queue_rcpt *rcpt, bool maildir, struct content *out)
{
	struct front f = { .lines = FRONT_RETURN_PATH | FRONT_DELIVERED, .null_sender = "MAILER-DAEMON", .now_us = clock_wall_us() };
	struct buf b = { 0 };

	f.sender = addr_quote(a, r->m.sender);
	f.recipient = addr_quote(a, rcpt->addr);
	f.original = rcpt->orig.n > 0 ? addr_quote(a, rcpt->orig) : f.recipient;
	f.lines |= maildir ? 0 : FRONT_FROM;
	f.lines |= set.original ? FRONT_ORIGINAL : 0;
	content_front(&f, &b);
	*out = (struct content){ r->fd, r->m.header_at, r->m.header_size, r->m.body_at, r->m.body_size, arena_dup(a, buf_str(&b)),
		STR("\n"), maildir ? 0 : CONTENT_QUOTE_FROM | CONTENT_BLANK_END };
	buf_done(&b);
}

static void take_report(struct arena *a, struct report *report, bool maildir, struct deliver_result *res)
{
	static const enum deliver_status statuses[] = {
		[ERR_NONE] = DELIVER_SENT, [ERR_TEMP] = DELIVER_DEFERRED, [ERR_PERM] = DELIVER_BOUNCED
	};

	res->status = statuses[report->kind];
	res->code = report->kind == ERR_NONE ? CODE(0, 2, 0, 0) : report->code;
	res->text = maildir ? STR("delivered to maildir") : STR("delivered to mailbox");
	if (report->kind != ERR_NONE)
		res->text = arena_dup(a, buf_str(&report->text));
	buf_done(&report->text);
}

static void deliver_one(struct arena *a, const struct deliver_request *r, const struct queue_rcpt *rcpt, struct deliver_result *res)
{
	struct place place = { 0 };
	struct mailbox_task task = { .hostname = set.myhostname, .file_limit = set.size_limit };
	struct report report;

	res->relay = str_z(service_name());
	if (find_place(a, r->m.id, rcpt->addr, &place, res) < 0)
		return;
	task.who = place.who;
	task.maildir = place.path[strlen(place.path) - 1] == '/';
	if (r->m.flags & QUEUE_PROBE) {
		(void)settle(res, DELIVER_SENT, CODE(0, 2, 0, 0), task.maildir ? STR("delivers to maildir") : STR("delivers to mailbox"));
		return;
	}
	task.mbox = (struct mbox){ place.path, set.locks, set.lock_attempts, set.lock_delay_ms, set.stale_ms, NULL };
	task.mbox.what = arena_z(a, arena_printf(a, "%s %s for user %.*s", task.maildir ? "maildir" : "mailbox", place.path, STRF(rcpt->addr)));
	task.mbox.flags |= set.strict_owner ? MBOX_OWNER : 0;
	task.time_limit_ms = set.lock_attempts * set.lock_delay_ms * 2 + 600000;
	make_content(a, r, rcpt, task.maildir, &task.content);
	mailbox_run(&task, &report);
	take_report(a, &report, task.maildir, res);
}

static void deliver(struct arena *a, const struct deliver_request *r, struct deliver_answer *out)
{
	for (size_t i = 0; i < r->m.rcpt_count; i++) {
		struct deliver_result *res = &out->results[i];

		deliver_one(a, r, &r->m.rcpts[i], res);
		tables_filter_status(&set.status_filter, a, r->m.id, &res->code, &res->text);
		res->status = deliver_status_of(res->code);
		deliver_log(r, i, res, 0, 0);
	}
}

static void serve(struct stream *s, const struct sock_addr *peer, unsigned listener)
{
	(void)peer; /* qmgr */
	(void)listener; /* there is one */
	agent_serve(s, "virtual request", deliver);
}

static void drain(void)
{
	agent_drain();
	worker_drain();
}

static const struct service virtual_service = {
	.command = "virtual", .init = init, .serve = serve, .drain = drain, .flags = SERVICE_KEEP_ROOT | SERVICE_DNS
};

int main(int argc, char **argv)
{
	return service_main(argc, argv, &virtual_service);
}
