/* lib/net/dns.c - questions from fibers to libunbound on the process's loop.
 * A fiber queues its question and sleeps; an event in the loop hands the queue to libunbound (on the loop's own deep stack: its resolver
 * would overflow a fiber's). Answers may come inside that call, from its cache, or later; either way they wake the fiber. A question whose
 * deadline passes is cancelled: libunbound goes on and caches what it finds, nobody is called.
 */
#include "lib/net/dns.h"

#include <event2/event.h>
#include <string.h>

#include <unbound.h>

#include <unbound-event.h>

#include "lib/base/clock.h"
#include "lib/base/list.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/metrics.h"
#include "lib/net/dns_ask.h"
#include "lib/net/dns_hosts.h"
#include "lib/net/dns_parse.h"
#include "lib/net/fiber.h"
#include "lib/net/loop.h"

#define SEC_SECURE 2
#define SEC_BOGUS 1
#define SERVERS_MAX 16

/* The process's resolver. servers and trust_anchor are settings; ctx appears with the first question. */
static struct {
	char *servers, *trust_anchor;
	struct ub_ctx *ctx;
	struct event *pump;
	struct list queue;
	size_t open; /* questions inside libunbound */
} dns;

/* Values that differ from libunbound's defaults, and why. */
static const struct {
	const char *name, *value;
} options[] = {
	{ "do-not-query-localhost:", "no" }, /* a resolver on 127.0.0.1 is the usual case on a mail host */
	{ "unblock-lan-zones:", "yes" }, /* reverse names of private networks: the operator's resolver knows them */
	{ "outgoing-range:", "256" }, /* a burst of sessions asks several lists each */
	{ "num-queries-per-thread:", "4096" },
	{ "msg-cache-size:", "8m" },
	{ "rrset-cache-size:", "16m" },
	{ "rrset-roundrobin:", "no" }, /* who wants another order makes it (smtp_randomize_addresses) */
};

/* libunbound's own answers for these would hide the configured name server's (RFC 6761 asks stubs to pass them on). */
static const char *const pass_on[] = { "test.", "invalid.", "home.arpa.", "onion." };

int dns_init(const char *servers, struct err *e)
{
	struct str rest = str_z(servers);

	for (int n = 0; str_word(&rest, ", \t\r\n").n > 0; n++)
		if (n == SERVERS_MAX)
			return err_temp(e, "more than %d name servers in \"%s\"", SERVERS_MAX, servers);
	dns.servers = mem_strdup(servers == NULL ? "" : servers);
	dns.trust_anchor = mem_strdup("");
	list_init(&dns.queue);
	return 0;
}

void dns_trust(const char *anchor_file)
{
	mem_free(dns.trust_anchor);
	dns.trust_anchor = mem_strdup(anchor_file);
}

void dns_done(void)
{
	check(dns.open == 0 && (dns.queue.next == NULL || list_empty(&dns.queue)));
	if (dns.pump != NULL)
		event_free(dns.pump);
	if (dns.ctx != NULL)
		ub_ctx_delete(dns.ctx);
	mem_free(dns.servers);
	mem_free(dns.trust_anchor);
	dns_hosts_forget();
	memset(&dns, 0, sizeof dns);
}

/* "192.0.2.53", "192.0.2.53:5353", "192.0.2.53@5353", "[2001:db8::53]:53" as libunbound writes them: "addr@port". */
static void add_server(struct ub_ctx *ctx, struct str word)
{
	struct buf b = { 0 };
	struct str port = STR_NONE;
	ptrdiff_t at;

	if (str_starts(word, STR("["))) {
		word = str_skip(word, 1);
		port = word;
		word = str_cut(&port, ']');
		port = str_skip(port, 1);
	} else if ((at = str_chr(word, '@')) >= 0 || ((at = str_chr(word, ':')) >= 0 && at == str_rchr(word, ':'))) {
		port = str_skip(word, (size_t)at + 1);
		word = str_sub(word, 0, (size_t)at);
	}
	buf_add(&b, word);
	if (port.n > 0)
		buf_addf(&b, "@%.*s", STRF(port));
	if (ub_ctx_set_fwd(ctx, b.p) != 0)
		log_warn("name server \"%s\" in dns_servers is not an address", b.p);
	buf_done(&b);
}

static void add_servers(struct ub_ctx *ctx)
{
	struct str rest = str_z(dns.servers), word;

	if (*dns.servers == '\0') {
		if (ub_ctx_resolvconf(ctx, "/etc/resolv.conf") != 0)
			add_server(ctx, STR("127.0.0.1")); /* as resolver(5) does */
		return;
	}
	while ((word = str_word(&rest, ", \t\r\n")).n > 0)
		add_server(ctx, word);
}

static void make_context(void)
{
	struct ub_ctx *ctx = ub_ctx_create_event(loop_base());

	if (ctx == NULL)
		return;
	ub_ctx_debugout(ctx, NULL);
	for (size_t i = 0; i < sizeof options / sizeof *options; i++)
		check(ub_ctx_set_option(ctx, options[i].name, options[i].value) == 0);
	add_servers(ctx);
	if (*dns.trust_anchor != '\0' && ub_ctx_add_ta_file(ctx, dns.trust_anchor) != 0)
		log_warn("cannot use DNSSEC trust anchor file \"%s\"", dns.trust_anchor);
	for (size_t i = 0; i < sizeof pass_on / sizeof *pass_on; i++)
		ub_ctx_zone_remove(ctx, pass_on[i]);
	dns.ctx = ctx;
}

static void finish(struct dns_question *q)
{
	struct fiber *waiter = q->waiter;

	q->state = DNS_Q_DONE;
	q->waiter = NULL;
	if (waiter != NULL)
		fiber_wake(waiter);
}

/* libunbound's answer. Runs in the loop, possibly inside ub_resolve_event(). The packet is only ours for the call. */
static void answered(void *arg, int rcode, void *packet, int size, int sec, char *why_bogus, int was_ratelimited)
{
	struct dns_question *q = arg;

	(void)why_bogus; /* names of strangers; the fact is enough */
	(void)was_ratelimited; /* we set no rate limit */
	dns.open--;
	q->bogus = sec == SEC_BOGUS;
	q->secure = sec == SEC_SECURE;
	if (rcode == 0 && packet != NULL && size > 0) /* with another code, failures all of them, it is what was there before */
		buf_addn(&q->packet, packet, (size_t)size);
	finish(q);
}

static void ask_unbound(struct dns_question *q)
{
	int id = 0;

	if (dns.ctx == NULL)
		make_context();
	q->state = DNS_Q_ASKED;
	dns.open++;
	if (dns.ctx == NULL || ub_resolve_event(dns.ctx, q->name.p, (int)q->type, 1, q, answered, &id) != 0) {
		if (q->state == DNS_Q_ASKED) {
			dns.open--;
			finish(q);
		}
		return;
	}
	q->async_id = id;
}

static void pump_queue(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
	while (!list_empty(&dns.queue)) {
		struct dns_question *q = LIST_OWNER(dns.queue.next, struct dns_question, node);

		list_del(&q->node);
		ask_unbound(q);
	}
}

void dns_question_start(struct dns_question *q, struct str name, enum dns_type type)
{
	memset(q, 0, sizeof *q);
	list_init(&q->node);
	q->type = type;
	if (dns.servers == NULL) /* a tool's first question: the name servers of the system */
		check(dns_init("", &(struct err)ERR_INIT) == 0);
	if (!dns_name_text(name, &q->name, &q->bad_name)) {
		q->state = DNS_Q_DONE;
		return;
	}
	q->bad_name = NULL;
	q->began_us = clock_mono_us();
	q->state = DNS_Q_QUEUED;
	list_add_tail(&dns.queue, &q->node);
	if (dns.pump == NULL)
		dns.pump = event_new(loop_base(), -1, 0, pump_queue, NULL);
	event_active(dns.pump, EV_TIMEOUT, 0);
}

static void cancel(struct dns_question *q)
{
	if (q->state == DNS_Q_QUEUED)
		list_del(&q->node);
	if (q->state == DNS_Q_ASKED) {
		check(ub_cancel(dns.ctx, q->async_id) == 0);
		dns.open--;
	}
	q->state = DNS_Q_CANCELLED;
}

static const char *type_name(enum dns_type type)
{
	static const struct {
		enum dns_type type;
		const char *name;
	} names[] = { { DNS_A, "A" }, { DNS_NS, "NS" }, { DNS_CNAME, "CNAME" }, { DNS_PTR, "PTR" }, { DNS_MX, "MX" }, { DNS_TXT, "TXT" },
		{ DNS_AAAA, "AAAA" }, { DNS_SRV, "SRV" }, { DNS_TLSA, "TLSA" } };

	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (names[i].type == type)
			return names[i].name;
	return "other";
}

static void count(const struct dns_question *q, enum dns_result result)
{
	static const char *const results[] = { [DNS_OK] = "found", [DNS_NODATA] = "nodata", [DNS_NXDOMAIN] = "nxdomain",
		[DNS_TEMPFAIL] = "failed", [DNS_BADNAME] = "badname" };

	metric_count(METRIC_DNS_QUERIES, type_name(q->type), results[result], NULL);
	metric_observe(METRIC_DNS_SECONDS, (uint64_t)(clock_mono_us() - q->began_us), NULL, NULL);
}

void dns_question_finish(struct dns_question *q, struct arena *a, int64_t deadline, struct dns_answer *answer)
{
	while (q->state != DNS_Q_DONE) {
		q->waiter = fiber_self();
		if (!fiber_wait(deadline) && q->state != DNS_Q_DONE) {
			cancel(q);
			break;
		}
	}
	if (q->bad_name != NULL)
		*answer = (struct dns_answer){ .result = DNS_BADNAME, .why = q->bad_name };
	else if (q->state == DNS_Q_CANCELLED)
		*answer = (struct dns_answer){ .result = DNS_TEMPFAIL, .why = "no answer from the name server in time" };
	else if (q->bogus)
		*answer = (struct dns_answer){ .result = DNS_TEMPFAIL, .why = "DNSSEC validation failed" };
	else if (q->packet.n == 0)
		*answer = (struct dns_answer){ .result = DNS_TEMPFAIL, .why = "the name server failed" };
	else
		dns_parse(a, buf_str(&q->packet), q->type, answer);
	count(q, answer->result);
	answer->secure = q->secure && answer->result <= DNS_NXDOMAIN;
	buf_done(&q->name);
	buf_done(&q->packet);
}

void dns_ask(struct arena *a, struct str name, enum dns_type type, int64_t deadline, struct dns_answer *answer)
{
	struct dns_question q;

	dns_question_start(&q, name, type);
	dns_question_finish(&q, a, deadline, answer);
}
