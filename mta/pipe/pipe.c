/* mta/pipe/pipe.c - delivers by running a command of master.cf that gets the message on its standard input.
 * Security: takes requests and open message files from qmgr; runs as root when started so, but only to fork children that become the user
 * of the service, which may be neither root nor mail_owner. Addresses come from strangers and reach the command as single arguments,
 * never through a shell.
 */
#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/fs.h"
#include "lib/base/log.h"
#include "lib/mail/addr.h"
#include "lib/mail/header.h"
#include "lib/mailbox/command.h"
#include "lib/net/fiber.h"
#include "lib/proto/agent.h"
#include "lib/service/service.h"
#include "lib/table/table.h"
#include "mta/pipe/argv.h"

#define HEADER_MAX (1024 * 1024) /* octets of a header block that are searched for Delivered-To */

static struct {
	struct arena *life;
	struct pipe_settings service;
	struct identity who;
	struct tables status_filter;
	const char *delimiter;
	const char *const *env;
	int64_t time_limit_ms;
	bool nobody; /* the service's user does not exist: its mail waits */
} set;

/* ---- settings ---- */

static void find_user(const struct conf *c)
{
	struct identity owner = { 0 };
	struct err e = ERR_INIT;
	int r = identity_find(set.life, str_z(set.service.user), &set.who, &e);

	if (r == 0 && set.service.group != NULL)
		r = identity_group(set.life, str_z(set.service.group), &set.who.gid, &e);
	if (r > 0) { /* a row that came with the system and is not used must not stop everything else */
		log_warn("service %s: user=%s: no such user or group: its mail is deferred", service_name(), set.service.user);
		set.nobody = true;
		return;
	}
	if (r < 0)
		log_fatal("user=%s: %s", set.service.user, e.text);
	if (set.who.uid == 0)
		log_fatal("user=%s: commands do not run as root", set.service.user);
	if (identity_find(set.life, str_z(conf_str(c, "mail_owner")), &owner, &e) == 0 && set.who.uid == owner.uid)
		log_fatal("user=%s: commands do not run as mail_owner", set.service.user);
}

static void init(const struct conf *c)
{
	struct environment env;
	struct err e = ERR_INIT;
	const char *const *args;
	size_t count;

	set.life = arena_new("pipe");
	args = service_args(&count);
	if (pipe_parse(set.life, args, count, &set.service, &e) < 0)
		log_fatal("service %s: %s", service_name(), e.text);
	if (identity_can_switch())
		find_user(c);
	else if (set.service.chroot_dir != NULL)
		log_fatal("service %s: chroot= needs root", service_name());
	set.delimiter = conf_str(c, "recipient_delimiter");
	set.time_limit_ms = conf_transport_time_ms(c, service_name(), "time_limit");
	if (tables_open(set.life, conf_str(c, "pipe_delivery_status_filter"), conf_dir(c), &set.status_filter, &e) < 0)
		log_fatal("pipe_delivery_status_filter: %s", e.text);
	environment_init(&env, set.life);
	environment_export(&env, conf_str(c, "export_environment"));
	set.env = environment_list(&env);
}

/* ---- checks before ---- */

struct reading {
	const struct deliver_request *r;
	char *p;
	size_t n;
	int result;
	struct err e;
};

static void read_header(void *arg)
{
	struct reading *x = arg;

	x->result = fs_pread_all(x->r->fd, x->p, x->n, (off_t)x->r->m.header_at, &x->e);
}

static bool was_delivered_to(struct arena *a, const struct deliver_request *r, struct str address)
{
	struct reading x = { .r = r, .n = r->m.header_size < HEADER_MAX ? (size_t)r->m.header_size : HEADER_MAX, .e = ERR_INIT };
	struct header_field *f;
	struct header h;
	bool missing_blank;

	x.p = arena_alloc(a, x.n + 1);
	offload(read_header, &x);
	if (x.result < 0)
		return false; /* the command's turn will fail the same way, and defer */
	header_init(&h, a);
	header_parse(&h, str_n(x.p, x.n), &missing_blank);
	for (size_t i = 1; (f = header_find(&h, "Delivered-To", i)) != NULL; i++) {
		if (str_eqi(addr_unquote(a, str_trim(header_unfold(a, f->value))), address))
			return true;
	}
	return false;
}

/* False, for who asks whether to go on. */
static bool settle(struct deliver_result *res, enum deliver_status status, struct code code, struct str text)
{
	*res = (struct deliver_result){ .status = status, .code = code, .relay = res->relay, .text = text };
	return false;
}

static bool acceptable(struct arena *a, const struct deliver_request *r, struct deliver_result *res)
{
	uint64_t size = r->m.header_size + r->m.body_size;

	if (set.nobody)
		return settle(res, DELIVER_DEFERRED, CODE(0, 4, 3, 5), arena_printf(a, "user=%s: no such user or group", set.service.user));
	if (set.service.size_limit > 0 && size > set.service.size_limit)
		return settle(res, DELIVER_BOUNCED, CODE(0, 5, 2, 3),
			arena_printf(a, "message size %llu exceeds size limit %llu of transport %s", (unsigned long long)size,
				(unsigned long long)set.service.size_limit, service_name()));
	if (!(set.service.flags & PIPE_DELIVERED_TO))
		return true;
	if (r->m.rcpt_count > 1) {
		log_warn("flags=D requires %s_destination_recipient_limit = 1", service_name());
		return settle(res, DELIVER_DEFERRED, CODE(0, 4, 3, 5), STR("mail system configuration error"));
	}
	if (was_delivered_to(a, r, r->m.rcpts[0].addr))
		return settle(
			res, DELIVER_BOUNCED, CODE(0, 5, 4, 6), arena_printf(a, "mail forwarding loop for %.*s", STRF(r->m.rcpts[0].addr)));
	return true;
}

/* ---- the command ---- */

static unsigned front_lines(void)
{
	static const struct {
		unsigned flag, line;
	} rows[] = {
		{ PIPE_FROM, FRONT_FROM },
		{ PIPE_RETURN_PATH, FRONT_RETURN_PATH },
		{ PIPE_ORIGINAL_TO, FRONT_ORIGINAL },
		{ PIPE_DELIVERED_TO, FRONT_DELIVERED },
	};
	unsigned lines = 0;

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		lines |= set.service.flags & rows[i].flag ? rows[i].line : 0;
	return lines;
}

static void make_content(struct arena *a, const struct pipe_message *p, int fd, struct content *out)
{
	const struct queue_message *m = p->m;
	const struct queue_rcpt *rcpt = &m->rcpts[0];
	struct front f = { .lines = front_lines(), .null_sender = set.service.null_sender, .now_us = clock_wall_us() };
	struct buf b = { 0 };

	f.sender = m->sender.n > 0 ? addr_quote(a, m->sender) : str_z(set.service.null_sender);
	f.recipient = pipe_recipient(a, &set.service, rcpt->addr, true);
	f.original = addr_quote(a, rcpt->orig.n > 0 ? rcpt->orig : rcpt->addr);
	content_front(&f, &b);
	*out = (struct content){ fd, m->header_at, m->header_size, m->body_at, m->body_size, arena_dup(a, buf_str(&b)), set.service.eol,
		0 };
	out->flags |= set.service.flags & PIPE_QUOTE_FROM ? CONTENT_QUOTE_FROM : 0;
	out->flags |= set.service.flags & PIPE_DOT_STUFF ? CONTENT_DOT_STUFF : 0;
	out->flags |= set.service.flags & PIPE_BLANK_END ? CONTENT_BLANK_END : 0;
	buf_done(&b);
}

static void run(void *arg, struct report *out)
{
	command_run(arg, out);
}

static void take_report(struct arena *a, struct report *report, struct deliver_result *res)
{
	static const enum deliver_status statuses[] = {
		[ERR_NONE] = DELIVER_SENT, [ERR_TEMP] = DELIVER_DEFERRED, [ERR_PERM] = DELIVER_BOUNCED
	};
	struct str text = arena_dup(a, buf_str(&report->text));

	res->status = statuses[report->kind];
	res->code = report->kind == ERR_NONE ? CODE(0, 2, 0, 0) : report->code;
	res->action = set.service.flags & PIPE_FINAL ? DELIVER_DELIVERED : DELIVER_RELAYED;
	res->text = text;
	if (report->kind == ERR_NONE && text.n > 0)
		res->text = arena_printf(a, "delivered via %s service (%.*s)", service_name(), STRF(text));
	else if (report->kind == ERR_NONE)
		res->text = arena_printf(a, "delivered via %s service", service_name());
	buf_done(&report->text);
}

static void run_command(struct arena *a, const struct deliver_request *r, struct deliver_result *res)
{
	struct pipe_message p = { &set.service, &r->m, r->nexthop, set.delimiter };
	struct command command = { .env = set.env, .directory = set.service.directory, .time_limit_ms = set.time_limit_ms };
	struct child child = { .who = set.who, .chroot_dir = set.service.chroot_dir, .time_limit_ms = set.time_limit_ms, .work = run };
	struct report report;
	struct err e = ERR_INIT;

	if (pipe_argv(a, &p, &command.argv, &e) < 0) {
		log_warn("%s: service %s: %s", r->m.id, service_name(), e.text);
		(void)settle(res, DELIVER_DEFERRED, CODE(0, 4, 3, 5), STR("mail system configuration error"));
		return;
	}
	command.shown = command.argv[0];
	if (r->m.flags & QUEUE_PROBE) {
		(void)settle(res, DELIVER_SENT, CODE(0, 2, 0, 0), arena_printf(a, "delivers to command: %s", command.shown));
		return;
	}
	make_content(a, &p, r->fd, &command.content);
	child.arg = &command;
	child.keep[child.keep_count++] = r->fd;
	child_run(&child, &report);
	take_report(a, &report, res);
}

static void deliver(struct arena *a, const struct deliver_request *r, struct deliver_answer *out)
{
	struct deliver_result res = { .relay = str_z(service_name()) };

	if (acceptable(a, r, &res))
		run_command(a, r, &res);
	tables_filter_status(&set.status_filter, a, r->m.id, &res.code, &res.text);
	res.status = deliver_status_of(res.code);
	agent_same_result(r, &res, out);
}

static void serve(struct stream *s, const struct sock_addr *peer, unsigned listener)
{
	(void)peer; /* qmgr */
	(void)listener; /* there is one */
	agent_serve(s, "pipe request", deliver);
}

static const struct service pipe_service = {
	.command = "pipe", .init = init, .serve = serve, .drain = agent_drain, .flags = SERVICE_KEEP_ROOT
};

int main(int argc, char **argv)
{
	return service_main(argc, argv, &pipe_service);
}
