/* mta/local/local.c - the local delivery agent: aliases, .forward files, mailboxes, commands.
 * Security: takes requests and open message files from qmgr. Runs as root when started so, but only to fork children that become the
 * recipient: root itself opens no file of a user and runs no command. Addresses come from strangers and choose neither paths nor shell
 * text.
 */
#include <string.h>

#include "lib/base/fs.h"
#include "lib/base/log.h"
#include "lib/mail/header.h"
#include "lib/net/fiber.h"
#include "lib/mailbox/worker.h"
#include "lib/service/service.h"
#include "mta/local/local.h"

#define HEADER_MAX (1024 * 1024) /* octets of a header block that are searched for Delivered-To */

static void init(const struct conf *c)
{
	settings_load(c);
}

static void start(const struct conf *c)
{
	cfg.rewrite = rewrite_client_new(service_endpoint(c, "rewrite_service_name"), conf_time_ms(c, "ipc_timeout"));
	forward_init(c);
}

/* ---- Delivered-To ---- */

struct reading {
	const struct deliver_request *r;
	char *p;
	size_t n;
	int result;
	struct err *e;
};

static void read_header(void *arg)
{
	struct reading *x = arg;

	x->result = fs_pread_all(x->r->fd, x->p, x->n, (off_t)x->r->m.header_at, x->e);
}

static int find_delivered(struct arena *a, const struct deliver_request *r, struct str **out, size_t *count, struct err *e)
{
	struct reading x = { .r = r, .n = r->m.header_size < HEADER_MAX ? (size_t)r->m.header_size : HEADER_MAX, .e = e };
	struct header_field *f;
	struct header h;
	bool missing_blank;

	x.p = arena_alloc(a, x.n + 1);
	offload(read_header, &x);
	if (x.result < 0)
		return err_context(e, "cannot read the message");
	header_init(&h, a);
	header_parse(&h, str_n(x.p, x.n), &missing_blank);
	*out = arena_alloc(a, (h.count + 1) * sizeof **out);
	for (*count = 0; (f = header_find(&h, "Delivered-To", *count + 1)) != NULL; (*count)++)
		(*out)[*count] = addr_unquote(a, str_trim(header_unfold(a, f->value)));
	return 0;
}

/* ---- requests ---- */

static void defer_all(const struct deliver_request *r, const struct err *e, struct deliver_answer *out)
{
	struct deliver_result res = {
		.status = DELIVER_DEFERRED, .code = CODE(0, 4, 3, 0), .relay = STR("local"), .text = STR("cannot read the message")
	};

	log_warn("%s: %s", r->m.id, e->text);
	agent_same_result(r, &res, out);
}

static void deliver(struct arena *a, const struct deliver_request *r, struct deliver_answer *out)
{
	struct job base = { .r = r, .a = a };
	struct err e = ERR_INIT;

	if (find_delivered(a, r, &base.delivered_to, &base.delivered_count, &e) < 0) {
		defer_all(r, &e, out);
		return;
	}
	base.seen = map_new();
	for (size_t i = 0; i < r->m.rcpt_count; i++) {
		struct job j = base;

		j.result = &out->results[i];
		job_run(&j, &r->m.rcpts[i]);
	}
	map_free(base.seen, NULL);
}

static void serve(struct stream *s, const struct sock_addr *peer, unsigned listener)
{
	(void)peer; /* qmgr */
	(void)listener; /* there is one */
	agent_serve(s, "local request", deliver);
}

static void drain(void)
{
	agent_drain();
	worker_drain();
}

static const struct service local_service = {
	.command = "local", .init = init, .start = start, .serve = serve, .drain = drain, .flags = SERVICE_KEEP_ROOT | SERVICE_DNS
};

int main(int argc, char **argv)
{
	return service_main(argc, argv, &local_service);
}
