/* lib/net/redis_node.c - one Redis server: a few kept connections, one command on each at a time, and a breaker.
 * When the breaker opens, a fiber looks from time to time whether the server answers again: no command pays for finding out.
 */
#include <string.h>

#include <hiredis/hiredis.h>

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/metrics.h"
#include "lib/net/redis_parts.h"
#include "lib/net/redis_value.h"
#include "lib/net/sock.h"
#include "lib/net/tls.h"

#define REPLY_MAX (1u << 20) /* octets of one answer */
#define READ_SIZE 4096
#define PROBE_END_MS 5 /* between two looks whether a probe has ended */

/* Answers by which the server says that it cannot serve at all: for us the same as no answer. */
static const char *const refusals[] = { "LOADING", "MASTERDOWN", "CLUSTERDOWN", "BUSY ", "NOAUTH", "WRONGPASS", "NOPERM", "READONLY", "OOM",
	"MISCONF", "NOREPLICAS" };

struct redis_node *redis_node_new(struct redis *r, struct str endpoint, bool sentinel)
{
	struct redis_node *n = mem_alloc(sizeof *n);
	struct buf text = { 0 };

	buf_add(&text, endpoint);
	n->r = r;
	n->endpoint = mem_strdup(buf_z(&text));
	n->sentinel = sentinel;
	waitq_init(&n->free_again);
	waitq_init(&n->rest);
	buf_done(&text);
	return n;
}

static void close_idle(struct redis_node *n)
{
	while (n->idle_count > 0)
		stream_close(n->idle[--n->idle_count]);
}

void redis_node_free(struct redis_node *n)
{
	while (n->probe != NULL) {
		waitq_wake_all(&n->rest);
		fiber_sleep(PROBE_END_MS);
	}
	check(n->busy_count == 0);
	close_idle(n);
	mem_free(n->endpoint);
	mem_free(n);
}

/* ---- one answer ---- */

static int read_reply(struct stream *s, struct arena *a, int64_t deadline, struct redis_value *value, struct err *e)
{
	redisReader *reader = redis_reader_new(a);
	void *got = NULL;
	size_t total = 0;
	int rc = 0;

	while (got == NULL && rc == 0) {
		char chunk[READ_SIZE];
		ssize_t n = stream_read(s, chunk, sizeof chunk, deadline);

		if (n < 0)
			rc = err_temp(e, "%s", stream_strerror((enum stream_result)n, s));
		else if ((total += (size_t)n) > REPLY_MAX)
			rc = err_temp(e, "answer is larger than %u octets", REPLY_MAX);
		else if (redisReaderFeed(reader, chunk, (size_t)n) != REDIS_OK || redisReaderGetReply(reader, &got) != REDIS_OK)
			rc = err_temp(e, "answer is not RESP");
	}
	if (rc == 0)
		*value = *(struct redis_value *)got;
	redisReaderFree(reader);
	return rc;
}

static int exchange(struct stream *s, struct arena *a, struct str command, int64_t deadline, struct redis_value *value, struct err *e)
{
	enum stream_result r = (enum stream_result)stream_write(s, command, deadline);

	if (r == STREAM_OK)
		r = (enum stream_result)stream_flush(s, deadline);
	if (r != STREAM_OK)
		return err_temp(e, "%s", stream_strerror(r, s));
	return read_reply(s, a, deadline, value, e);
}

/* ---- a new connection ---- */

static int say(struct stream *s, struct arena *a, size_t argc, const struct str *argv, int64_t deadline, struct redis_value *v, struct err *e)
{
	struct str command = redis_format(argc, argv);
	int rc = exchange(s, a, command, deadline, v, e);

	redisFreeCommand((char *)(uintptr_t)command.p);
	if (rc == 0 && v->type == REDIS_ERROR)
		rc = err_temp(e, "%.*s", STRF(v->text));
	return rc < 0 ? err_context(e, "%.*s", STRF(argv[0])) : 0;
}

static int log_in(const struct redis_node *n, struct stream *s, struct arena *a, int64_t deadline, struct err *e)
{
	const struct redis_settings *set = &n->r->set;
	struct str user = str_z(n->sentinel ? set->sentinel_user : set->user);
	struct str words[3] = { STR_INIT("AUTH"), user, str_z(n->sentinel ? set->sentinel_password : set->password) };
	struct redis_value v;

	if (words[2].n == 0)
		return 0;
	if (user.n == 0)
		words[1] = words[2];
	return say(s, a, user.n > 0 ? 3 : 2, words, deadline, &v, e);
}

/* A server that was demoted still takes connections: who comes by a sentinel's word asks what it is (as their documentation wants). */
static int check_role(struct stream *s, struct arena *a, int64_t deadline, struct err *e)
{
	static const struct str role[] = { STR_INIT("ROLE") };
	struct redis_value v;

	if (say(s, a, 1, role, deadline, &v, e) < 0)
		return -1;
	if (v.type == REDIS_ARRAY && v.count > 0 && str_eqz(v.items[0].text, "master"))
		return 0;
	return err_temp(e, "is not the master");
}

static int greet(const struct redis_node *n, struct stream *s, struct arena *a, int64_t deadline, struct err *e)
{
	const struct redis_settings *set = &n->r->set;
	struct str select[2] = { STR_INIT("SELECT"), STR_NONE };
	struct redis_value v;

	if (log_in(n, s, a, deadline, e) < 0)
		return -1;
	if (n->sentinel)
		return 0;
	select[1] = arena_printf(a, "%d", set->database);
	if (set->database != 0 && say(s, a, 2, select, deadline, &v, e) < 0)
		return -1;
	return *set->sentinel_master == '\0' ? 0 : check_role(s, a, deadline, e);
}

static const char *host_of(const struct redis_node *n, struct arena *a)
{
	struct str rest = str_z(n->endpoint), host;

	if (str_starts(rest, STR("inet:")))
		rest = str_skip(rest, 5);
	host = str_sub(rest, 0, (size_t)str_rchr(rest, ':'));
	if (host.n > 2 && host.p[0] == '[')
		host = str_sub(host, 1, host.n - 2);
	return arena_z(a, host);
}

static int start_tls(const struct redis_node *n, struct stream *s, struct arena *a, int64_t deadline, struct err *e)
{
	const struct redis_settings *set = &n->r->set;
	const char *name = *set->tls_name != '\0' ? set->tls_name : host_of(n, a);
	struct str names;

	if (set->tls == NULL || str_starts(str_z(n->endpoint), STR("unix:")))
		return 0;
	names = str_z(name);
	return tls_connect(s, set->tls, &(struct tls_demand){ .authority = set->tls_verify, .names = &names, .name_count = set->tls_verify },
		deadline, e);
}

/* A connection for one command: kept or new; waits for one when too many are busy. */
static struct stream *take(struct redis_node *n, struct arena *a, int64_t deadline, bool *reused, struct err *e)
{
	struct stream *s;

	while (n->busy_count == REDIS_CONNECTIONS_MAX)
		if (!waitq_wait(&n->free_again, deadline)) {
			err_temp(e, "no connection became free in time");
			return NULL;
		}
	n->busy_count++;
	*reused = true;
	while (n->idle_count > 0) {
		s = n->idle[--n->idle_count];
		if (stream_idle_ok(s))
			return s;
		stream_close(s);
	}
	*reused = false;
	s = sock_connect_endpoint(str_z(n->endpoint), deadline, e);
	if (s != NULL && start_tls(n, s, a, deadline, e) == 0 && greet(n, s, a, deadline, e) == 0)
		return s;
	stream_close(s);
	n->busy_count--;
	waitq_wake_one(&n->free_again);
	return NULL;
}

static void give_back(struct redis_node *n, struct stream *s, bool usable)
{
	n->busy_count--;
	if (usable && n->idle_count < REDIS_CONNECTIONS_MAX)
		n->idle[n->idle_count++] = s;
	else
		stream_close(s);
	waitq_wake_one(&n->free_again);
}

static bool is_refusal(const struct redis_value *v)
{
	if (v->type != REDIS_ERROR)
		return false;
	for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++)
		if (str_starts(v->text, str_z(refusals[i])))
			return true;
	return false;
}

static int exchange_behind_asking(
	struct stream *s, struct arena *a, struct str command, int64_t deadline, struct redis_value *value, struct err *e)
{
	static const struct str asking[] = { STR_INIT("ASKING") };

	return say(s, a, 1, asking, deadline, value, e) < 0 ? -1 : exchange(s, a, command, deadline, value, e);
}

/* A kept connection may have been closed by the server a moment ago: then once more, on a new one. */
int redis_node_exchange(struct redis_node *n, struct arena *a, struct str command, bool ask, int64_t deadline, struct redis_value *value,
	struct err *e)
{
	for (;;) {
		bool reused;
		struct stream *s = take(n, a, deadline, &reused, e);
		int rc;

		if (s == NULL)
			return -1;
		rc = (ask ? exchange_behind_asking : exchange)(s, a, command, deadline, value, e);
		give_back(n, s, rc == 0 && !is_refusal(value));
		if (rc == 0)
			return is_refusal(value) ? err_temp(e, "%.*s", STRF(value->text)) : 0;
		if (!reused || clock_mono_ms() >= deadline)
			return -1;
		close_idle(n);
	}
}

/* ---- the breaker ---- */

static bool answers(struct redis_node *n)
{
	static const struct str ping = STR_INIT("*1\r\n$4\r\nPING\r\n");
	struct arena *a = arena_new("redis probe");
	struct redis_value v;
	struct err e = ERR_INIT;
	bool good = redis_node_exchange(n, a, ping, false, deadline_in(n->r->set.timeout_ms), &v, &e) == 0 && v.type == REDIS_STATUS;

	arena_free(a);
	return good;
}

static void look_until_back(void *arg)
{
	struct redis_node *n = arg;

	while (n->open && !n->r->closing) {
		(void)waitq_wait(&n->rest, deadline_in(n->r->set.breaker_ms));
		if (n->r->closing || n->back)
			continue;
		redis_route_doubt(n->r);
		n->back = answers(n);
	}
	n->probe = NULL;
}

static bool breaker_lets(struct redis_node *n, struct err *e)
{
	if (!n->open)
		return true;
	if (n->back && !n->trying) {
		n->trying = true;
		return true;
	}
	err_temp(e, "not available");
	return false;
}

static void breaker_good(struct redis_node *n)
{
	if (n->open) {
		log_info("Redis %s is available again", n->endpoint);
		metric_move(METRIC_REDIS_OPEN, -1, n->endpoint);
	}
	n->failures = 0;
	n->open = n->back = n->trying = false;
	waitq_wake_all(&n->rest);
}

static void breaker_bad(struct redis_node *n, const struct err *e)
{
	n->trying = n->back = false;
	if (++n->failures < n->r->set.breaker_failures)
		return;
	if (!n->open) {
		log_warn("Redis %s: %s; going on without it", n->endpoint, e->text);
		metric_move(METRIC_REDIS_OPEN, 1, n->endpoint);
	}
	n->open = true;
	if (n->probe == NULL)
		n->probe = fiber_start("redis probe", look_until_back, n);
}

/* A cluster without a primary for some slots may answer nothing else on all its nodes. It answers at once: no reason to leave them alone. */
static bool cluster_is_down(struct redis_node *n, const struct err *e)
{
	struct redis *r = n->r;

	if (r->slots == NULL || strncmp(e->text, "CLUSTERDOWN", 11) != 0)
		return false;
	for (size_t i = 0; i < r->node_count; i++)
		r->down |= r->nodes[i]->open; /* that was told, and is the reason */
	if (!r->down)
		log_warn("Redis %s: %s; going on without it", r->set.servers, e->text);
	r->down = true;
	n->trying = false;
	redis_route_doubt(r);
	return true;
}

int redis_node_run(struct redis_node *n, struct arena *a, struct str command, bool ask, int64_t deadline, struct redis_value *value,
	struct err *e)
{
	int64_t began_us;
	int rc;

	if (!breaker_lets(n, e))
		return -1;
	began_us = clock_mono_us();
	rc = redis_node_exchange(n, a, command, ask, deadline, value, e);
	metric_count(METRIC_REDIS_COMMANDS, rc < 0 ? "failed" : value->type == REDIS_ERROR ? "error" : "done", NULL, NULL);
	metric_observe(METRIC_REDIS_SECONDS, (uint64_t)(clock_mono_us() - began_us), NULL, NULL);
	if (rc == 0) {
		breaker_good(n);
		n->r->down = false;
	} else if (!cluster_is_down(n, e)) {
		breaker_bad(n, e);
	}
	return rc;
}
