/* mta/smtpd/verify.c - probes and what is remembered of them.
 *
 * A probe is a delivery request without a message: the agent says MAIL and RCPT to the host that would get the mail, and no more. It
 * runs in a fiber of its own, one for each address at a time, whoever waits for it. What it found is kept as
 * "<g|b|u> <unix time> <class.subject.detail> <reason>": good and bad for long, undecided hardly at all.
 */
#include "mta/smtpd/verify.h"

#include <sys/mman.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/utf8.h"
#include "lib/base/map.h"
#include "lib/base/mem.h"
#include "lib/mail/dsn.h"
#include "lib/net/fiber.h"
#include "lib/net/sock.h"
#include "lib/proto/deliver.h"
#include "lib/service/shared_cache.h"
#include "mta/smtpd/resolve.h"
#include "mta/smtpd/settings.h"

#define CACHE_ENTRIES 20000
#define NEAR_MS 60000        /* trust in one's own copy of what is in Redis */
#define PROBE_PATIENCE_MS 900000
#define ALIAS_STEPS 10       /* aliases of aliases */
#define UNSURE_S 60          /* how long an undecided answer stands: nobody is asked more often than that */

static struct {
	struct shared_cache *cache;
	struct map *pending; /* address -> struct probe */
	struct str sender;
	const char *transports[CLASS_DEFAULT + 1]; /* by class; NULL: the usual one */
	const char *relayhost;
	struct tables maps;
	int64_t good_s, good_refresh_s, bad_s, bad_refresh_s, wait_ms, pending_limit;
	bool detects_utf8;
} verify;

struct probe {
	struct arena *a;
	struct str address, transport, nexthop;
	struct waitq done;
	unsigned waiting;
	bool over;
};

/* ---- settings ---- */

/* Only what differs from the way of real mail is overruled. */
static const char *own_transport(const struct conf *c, const char *param, const char *usual)
{
	return str_eqz(str_z(conf_str(c, param)), conf_str(c, usual)) ? NULL : conf_str(c, param);
}

static struct str sender_address(const struct conf *c)
{
	struct str sender = str_z(conf_str(c, "address_verify_sender"));

	if (sender.n == 0 || str_eqz(sender, "<>"))
		return STR_NONE;
	if (str_chr(sender, '@') >= 0)
		return sender;
	return arena_printf(cf.life, "%.*s@%s", STRF(sender), conf_str(c, "myorigin"));
}

static bool detects_utf8(const struct conf *c)
{
	struct str rest = str_z(conf_str(c, "smtputf8_autodetect_classes")), word;
	bool wanted = false;

	while ((word = str_word(&rest, ", \t\r\n")).n > 0)
		wanted |= str_eqiz(word, "verify") || str_eqiz(word, "all");
	return wanted && conf_bool(c, "smtputf8_enable");
}

void verify_init(const struct conf *c)
{
	struct err e = ERR_INIT;

	verify.cache = shared_cache_new(c, "verify:", CACHE_ENTRIES, NEAR_MS);
	verify.pending = map_new();
	verify.sender = sender_address(c);
	verify.transports[CLASS_LOCAL] = own_transport(c, "address_verify_local_transport", "local_transport");
	verify.transports[CLASS_VIRTUAL_MAILBOX] = own_transport(c, "address_verify_virtual_transport", "virtual_transport");
	verify.transports[CLASS_RELAY] = own_transport(c, "address_verify_relay_transport", "relay_transport");
	verify.transports[CLASS_DEFAULT] = own_transport(c, "address_verify_default_transport", "default_transport");
	verify.relayhost = own_transport(c, "address_verify_relayhost", "relayhost");
	if (own_transport(c, "address_verify_transport_maps", "transport_maps") != NULL &&
		tables_open(cf.life, conf_str(c, "address_verify_transport_maps"), conf_dir(c), &verify.maps, &e) < 0)
		log_fatal("address_verify_transport_maps: %s", e.text);
	verify.good_s = conf_time_ms(c, "address_verify_positive_expire_time") / 1000;
	verify.good_refresh_s = conf_time_ms(c, "address_verify_positive_refresh_time") / 1000;
	verify.bad_s = conf_bool(c, "address_verify_negative_cache") ? conf_time_ms(c, "address_verify_negative_expire_time") / 1000 : 0;
	verify.bad_refresh_s = conf_time_ms(c, "address_verify_negative_refresh_time") / 1000;
	verify.wait_ms = conf_int(c, "address_verify_poll_count") * conf_time_ms(c, "address_verify_poll_delay");
	verify.detects_utf8 = detects_utf8(c);
	verify.pending_limit = conf_int(c, "address_verify_pending_request_limit");
}

bool verify_is_our_sender(struct str address)
{
	return verify.sender.n > 0 && str_eqi(address, verify.sender);
}

/* ---- what is remembered ---- */

struct memory {
	char status; /* 'g', 'b', 'u' */
	int64_t at_s;
	struct str reason;
};

static bool read_memory(struct str text, struct memory *m)
{
	struct str status = str_cut(&text, ' '), at = str_cut(&text, ' ');
	uint64_t seconds;
	struct code code;

	if (status.n != 1 || !str_to_u64(at, INT64_MAX, &seconds))
		return false;
	m->status = status.p[0];
	m->at_s = (int64_t)seconds;
	m->reason = str_skip(text, dsn_parse(text, &code));
	return m->status == 'g' || m->status == 'b' || m->status == 'u';
}

static void remember(struct arena *a, struct str address, char status, struct code code, struct str reason)
{
	struct str text = arena_printf(a, "%c %lld %u.%u.%u %.*s", status, (long long)(clock_wall_us() / 1000000), (unsigned)code.c,
		(unsigned)code.s, (unsigned)code.d, STRF(reason));
	int64_t seconds = status == 'g' ? verify.good_s : status == 'b' ? verify.bad_s : UNSURE_S;

	shared_cache_put(verify.cache, a, address, text, seconds > 0 ? seconds : UNSURE_S);
}

/* Known too long to be sure of it: probed again, while the old answer still stands. */
static bool is_stale(const struct memory *m)
{
	int64_t age = clock_wall_us() / 1000000 - m->at_s;

	return age > (m->status == 'g' ? verify.good_refresh_s : verify.bad_refresh_s);
}

/* ---- a probe ---- */

static void learn(const struct probe *p, const struct deliver_answer *answer)
{
	const struct deliver_result *r = &answer->results[0];

	if (r->status == DELIVER_SENT)
		remember(p->a, p->address, 'g', r->code, STR("deliverable"));
	else
		remember(p->a, p->address, r->status == DELIVER_BOUNCED ? 'b' : 'u', r->code, r->text);
}

static int ask_agent(struct probe *p, int fd, struct err *e)
{
	struct str endpoint = arena_printf(p->a, "unix:private/%.*s", STRF(p->transport));
	struct queue_rcpt rcpt = { .addr = p->address };
	struct deliver_request r = { .nexthop = p->nexthop, .active_us = clock_wall_us(), .start_us = clock_wall_us(), .fd = fd };
	struct deliver_answer answer = { 0 };
	int64_t by = deadline_in(PROBE_PATIENCE_MS);
	struct stream *io = sock_connect_endpoint(endpoint, by, e);
	int rc = -1;

	if (io == NULL)
		return -1;
	queue_id_new(r.m.id);
	r.m.flags = QUEUE_PROBE | (verify.detects_utf8 && !utf8_ascii(p->address) ? QUEUE_UTF8 : 0u);
	r.m.arrival_us = r.start_us;
	r.m.sender = verify.sender;
	r.m.rcpts = &rcpt;
	r.m.rcpt_count = 1;
	if (deliver_send_request(io, &r, by, e) == 0 && deliver_receive_answer(io, p->a, &answer, by, e) == 0 && answer.count == 1) {
		learn(p, &answer);
		rc = 0;
	}
	stream_close(io);
	return rc;
}

static void probe_free(struct probe *p)
{
	if (!p->over || p->waiting > 0)
		return;
	arena_free(p->a);
}

static void run_probe(void *arg)
{
	struct probe *p = arg;
	struct err e = ERR_INIT;
	int fd = memfd_create("probe", MFD_CLOEXEC);

	if (fd < 0 || ask_agent(p, fd, &e) < 0) {
		log_warn("address verification of \"%.*s\" by transport %.*s: %s", STRF(p->address), STRF(p->transport),
			fd < 0 ? "no descriptor" : e.text);
		remember(p->a, p->address, 'u', CODE(0, 4, 3, 0), STR("mail transport unavailable"));
	}
	if (fd >= 0)
		close(fd);
	(void)map_del(verify.pending, p->address);
	p->over = true;
	waitq_wake_all(&p->done);
	probe_free(p);
}

/* ---- where a probe goes ---- */

static void split_way(struct str text, struct str *transport, struct str *nexthop)
{
	struct str rest = text, head = str_cut(&rest, ':');

	if (head.n > 0)
		*transport = head;
	if (rest.n > 0)
		*nexthop = rest;
}

static void find_way(struct probe *p, const struct rewrite_answer *w)
{
	struct buf value = { 0 };
	struct err e = ERR_INIT;
	struct str ext = STR_NONE;

	p->transport = w->transport;
	p->nexthop = w->nexthop;
	if (verify.transports[w->klass] != NULL)
		split_way(str_z(verify.transports[w->klass]), &p->transport, &p->nexthop);
	if (w->klass == CLASS_DEFAULT && verify.relayhost != NULL && *verify.relayhost != '\0')
		p->nexthop = str_z(verify.relayhost);
	if (verify.maps.count > 0 && tables_lookup_address(&verify.maps, p->address, "", false, &value, &ext, &e) == TABLE_FOUND)
		split_way(buf_str(&value), &p->transport, &p->nexthop);
	p->transport = arena_dup(p->a, p->transport);
	p->nexthop = arena_dup(p->a, p->nexthop);
	buf_done(&value);
}

static struct probe *start_probe(const struct rewrite_answer *w, struct str address)
{
	struct probe *p = map_get(verify.pending, address);
	struct arena *a;

	if (p != NULL || map_count(verify.pending) >= (size_t)verify.pending_limit)
		return p;
	a = arena_new("smtpd probe");
	p = arena_alloc(a, sizeof *p);
	p->a = a;
	p->address = arena_dup(a, address);
	waitq_init(&p->done);
	find_way(p, w);
	(void)map_put(verify.pending, p->address, p);
	fiber_start("address probe", run_probe, p);
	return p;
}

static void wait_for(struct probe *p)
{
	int64_t by = deadline_in(verify.wait_ms);

	p->waiting++;
	while (!p->over && waitq_wait(&p->done, by))
		;
	p->waiting--;
	probe_free(p);
}

/* ---- the question ---- */

static bool recall(struct session *s, struct str address, struct memory *m)
{
	struct str text;

	return shared_cache_get(verify.cache, session_scratch(s), address, &text) && read_memory(text, m);
}

/* An address that stands for another one alone is as good as that one. NULL: a table failed. */
static const struct rewrite_answer *follow_aliases(struct session *s, const struct rewrite_answer *w)
{
	for (int i = 0; i < ALIAS_STEPS && w != NULL && w->alias.n > 0 && !str_eqi(w->alias, w->address); i++)
		w = resolve_ask(s, w->alias, true);
	return w;
}

/* What needs no probe: an address that stands for several, and the words of the error transport. False: it needs one. */
static bool known_already(struct session *s, const struct rewrite_answer *w, struct verify_answer *out)
{
	struct code code;

	*out = (struct verify_answer){ VERIFY_GOOD, STR_NONE };
	if ((w->flags & REWRITE_ALIASED) && !str_eqi(w->alias, w->address))
		return true;
	if (!str_eqz(w->transport, "error") && !str_eqz(w->transport, "retry"))
		return false;
	out->status = str_eqz(w->transport, "error") ? VERIFY_BAD : VERIFY_UNSURE;
	out->reason = arena_dup(session_scratch(s), str_skip(w->nexthop, dsn_parse(w->nexthop, &code)));
	return true;
}

void verify_address(struct session *s, const struct rewrite_answer *w, struct verify_answer *out)
{
	struct str address;
	struct memory m;
	struct probe *p;

	w = follow_aliases(s, w);
	if (w == NULL) {
		*out = (struct verify_answer){ VERIFY_UNSURE, STR("Temporary lookup failure") };
		return;
	}
	address = arena_lower(session_scratch(s), w->address);
	if (known_already(s, w, out))
		return;
	if (recall(s, address, &m)) {
		if (m.status != 'u' && is_stale(&m))
			(void)start_probe(w, address);
	} else {
		p = start_probe(w, address);
		if (p != NULL)
			wait_for(p);
		if (!recall(s, address, &m))
			m = (struct memory){ 'u', 0, STR("Address verification in progress") };
	}
	*out = (struct verify_answer){ m.status == 'g' ? VERIFY_GOOD : m.status == 'b' ? VERIFY_BAD : VERIFY_UNSURE, m.reason };
}
