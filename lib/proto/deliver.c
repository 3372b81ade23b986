/* lib/proto/deliver.c - "deliver these recipients", both ends, and the agents' log line. */
#include "lib/proto/deliver.h"

#include <linux/sockios.h>
#include <string.h>
#include <sys/ioctl.h>

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/metrics.h"
#include "lib/mail/addr.h"
#include "lib/mail/delay.h"
#include "lib/mail/dsn.h"
#include "lib/proto/message.h"
#include "lib/proto/wire.h"

#define RESULT_LEAST 23 /* octets of a result with empty texts */
#define HEARD_MS 50 /* between looks whether the answer was taken */

int deliver_send_request(struct stream *s, const struct deliver_request *r, int64_t deadline, struct err *e)
{
	struct buf b = { 0 };
	size_t at = wire_begin(&b);

	message_put(&b, &r->m);
	wire_put_str(&b, r->nexthop);
	wire_put_u64(&b, (uint64_t)r->active_us);
	wire_put_u64(&b, (uint64_t)r->start_us);
	wire_put_u8(&b, r->soft_bounce);
	wire_end(&b, at);
	return wire_send(s, &b, &r->fd, 1, deadline, e);
}

int deliver_receive_request(struct stream *s, struct arena *a, struct deliver_request *out, int64_t deadline, struct err *e)
{
	struct wire_in in;
	int r = wire_receive_request(s, a, &in, deadline, e);

	memset(out, 0, sizeof *out);
	out->fd = -1;
	if (r != 0)
		return r;
	message_get(&in, a, &out->m);
	out->nexthop = wire_get_str(&in);
	out->active_us = (int64_t)wire_get_u64(&in);
	out->start_us = (int64_t)wire_get_u64(&in);
	out->soft_bounce = wire_get_u8(&in) != 0;
	if (!wire_ok(&in) || out->m.rcpt_count == 0)
		return wire_malformed(e);
	return wire_take_fds(s, &out->fd, 1, e);
}

static void put_result(struct buf *b, const struct deliver_result *r)
{
	wire_put_u8(b, (uint8_t)r->status);
	message_put_code(b, r->code);
	wire_put_str(b, r->relay);
	wire_put_str(b, r->text);
	wire_put_str(b, r->remote_mta);
	wire_put_u8(b, (uint8_t)r->action);
	wire_put_u8(b, r->dsn_passed);
}

static void get_result(struct wire_in *in, struct deliver_result *r)
{
	uint8_t status = wire_get_u8(in), action;

	r->status = (enum deliver_status)status;
	r->code = message_get_code(in);
	r->relay = wire_get_str(in);
	r->text = wire_get_str(in);
	r->remote_mta = wire_get_str(in);
	action = wire_get_u8(in);
	r->action = (enum deliver_action)action;
	r->dsn_passed = wire_get_u8(in) != 0;
	if (status > DELIVER_BOUNCED || action > DELIVER_EXPANDED)
		in->bad = true;
}

int deliver_send_answer(struct stream *s, const struct deliver_answer *a, int64_t deadline, struct err *e)
{
	struct buf b = { 0 };
	size_t at = wire_begin(&b);

	wire_put_u32(&b, (uint32_t)a->count);
	for (size_t i = 0; i < a->count; i++)
		put_result(&b, &a->results[i]);
	wire_put_u8(&b, a->site_down);
	wire_put_str(&b, a->site_text);
	message_put_code(&b, a->site_code);
	wire_end(&b, at);
	return wire_send(s, &b, NULL, 0, deadline, e);
}

/* Has qmgr taken the answer? It may die with answers still in its socket. Its next request or an empty socket says yes. */
static bool heard(struct stream *s)
{
	struct str next;
	int r, unread = 0;

	do {
		r = stream_peek(s, &next, deadline_in(HEARD_MS));
		if (r == STREAM_TIMEOUT && ioctl(stream_fd(s), SIOCOUTQ, &unread) < 0)
			unread = 0;
	} while (r == STREAM_TIMEOUT && unread > 0);
	return r == STREAM_OK || r == STREAM_TIMEOUT;
}

static void mark_delivered(const struct deliver_request *r, const struct deliver_answer *a)
{
	struct err e = ERR_INIT;

	for (size_t i = 0; i < a->count && i < r->m.rcpt_count; i++)
		if (a->results[i].status == DELIVER_SENT && queue_mark_done(r->fd, &r->m.rcpts[i], 1, &e) < 0)
			log_warn("%s: %s", r->m.id, e.text);
}

int deliver_conclude(struct stream *s, const struct deliver_request *r, const struct deliver_answer *a, int64_t deadline, struct err *e)
{
	int sent = deliver_send_answer(s, a, deadline, e);

	if (sent < 0 || !heard(s))
		mark_delivered(r, a);
	return sent;
}

int deliver_receive_answer(struct stream *s, struct arena *a, struct deliver_answer *out, int64_t deadline, struct err *e)
{
	struct wire_in in;

	memset(out, 0, sizeof *out);
	if (wire_receive_answer(s, a, &in, deadline, e) < 0)
		return -1;
	out->count = wire_get_count(&in, RESULT_LEAST);
	out->results = arena_alloc(a, (out->count + 1) * sizeof *out->results);
	for (size_t i = 0; i < out->count; i++)
		get_result(&in, &out->results[i]);
	out->site_down = wire_get_u8(&in) != 0;
	out->site_text = wire_get_str(&in);
	out->site_code = message_get_code(&in);
	return wire_ok(&in) ? 0 : wire_malformed(e);
}

enum deliver_status deliver_status_of(struct code c)
{
	return c.c == 2 ? DELIVER_SENT : c.c == 5 ? DELIVER_BOUNCED : DELIVER_DEFERRED;
}

/* ---- the log line ---- */

static const char *status_word(const struct deliver_request *r, const struct deliver_result *res)
{
	if (r->m.flags & QUEUE_PROBE)
		return res->status == DELIVER_SENT ? "deliverable" : "undeliverable";
	if (res->status == DELIVER_BOUNCED && r->soft_bounce)
		return "SOFTBOUNCE";
	return res->status == DELIVER_SENT ? "sent" : res->status == DELIVER_DEFERRED ? "deferred" : "bounced";
}

static int64_t at_least_zero(int64_t us)
{
	return us > 0 ? us : 0; /* a clock set back must not print nonsense */
}

static void add_delays(struct buf *b, const struct deliver_request *r, const struct deliver_result *res, int64_t connect_us)
{
	int64_t now = clock_wall_us();
	bool network = str_chr(res->relay, '[') >= 0 || str_eqz(res->relay, "none");
	/* No session: all the time went into getting one; an agent without a network has no connection phase. */
	int64_t ready = connect_us > 0 ? connect_us : network ? now : r->start_us;
	int64_t parts[4] = { r->active_us - r->m.arrival_us, r->start_us - r->active_us, ready - r->start_us, now - ready };
	static const char *const phases[4] = { "before_qmgr", "in_qmgr", "connect", "transfer" };

	buf_addz(b, "delay=");
	delay_print(b, at_least_zero(now - r->m.arrival_us));
	buf_addz(b, ", delays=");
	for (int i = 0; i < 4; i++) {
		if (i > 0)
			buf_addc(b, '/');
		delay_print(b, at_least_zero(parts[i]));
		if (!(r->m.flags & QUEUE_PROBE))
			metric_observe(METRIC_DELIVERY_SECONDS, (uint64_t)at_least_zero(parts[i]), phases[i], NULL);
	}
}

void deliver_log(const struct deliver_request *r, size_t rcpt, const struct deliver_result *res, unsigned conn_use, int64_t connect_us)
{
	struct arena *a = arena_new("delivery log line");
	const struct queue_rcpt *to = &r->m.rcpts[rcpt];
	struct str addr = addr_log(a, to->addr);
	struct buf b = { 0 };

	buf_addf(&b, "%s: to=<%.*s>, ", r->m.id, STRF(addr));
	if (to->orig.n > 0 && !str_eqi(to->orig, to->addr)) {
		addr = addr_log_original(a, to->orig);
		buf_addf(&b, "orig_to=<%.*s>, ", STRF(addr));
	}
	buf_addf(&b, "relay=%.*s, ", STRF(res->relay));
	if (conn_use > 1)
		buf_addf(&b, "conn_use=%u, ", conn_use);
	add_delays(&b, r, res, connect_us);
	buf_addz(&b, ", dsn=");
	dsn_print(&b, res->code);
	metric_count(METRIC_DELIVERIES, status_word(r, res), NULL, NULL);
	log_info("%s, status=%s (%.*s)", buf_z(&b), status_word(r, res), STRF(res->text));
	buf_done(&b);
	arena_free(a);
}
