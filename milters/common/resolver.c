/* milters/common/resolver.c - libunbound with its own thread; a second one of ours hands its answers to whoever waits. A question
 * belongs to its asker and to libunbound: the one that lets go last frees it, so that nobody needs to cancel.
 * Kept answers are "<octets>:<record>" one after the other; nothing at all means that there is no record, "!" that there is no such name.
 */
#include "milters/common/resolver.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>

#include <unbound.h>

#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "milters/common/cache.h"
#include "milters/common/redis.h"
#include "milters/common/say.h"

#define TYPE_TXT 16
#define CLASS_IN 1
#define NAME_MAX_SIZE 253 /* RFC 1035 section 2.3.4, as text */
#define RECORD_MAX 16384 /* octets of one record: four times what a 4096-bit RSA key takes, several times over */
#define RECORDS_MAX 16 /* of one name */
#define TTL_MAX 86400 /* seconds; nothing is believed for longer */
#define ASK_MAX 128 /* names asked for together */
#define PUMP_STACK_SIZE (1024 * 1024)

struct txt_query {
	int refs; /* asker, libunbound */
	bool answered, failed;
	bool kept; /* was known: nobody has to be told */
	struct buf records; /* as kept */
	uint32_t ttl;
	char name[NAME_MAX_SIZE + 1]; /* lower case */
};

static struct {
	struct ub_ctx *ctx;
	pthread_mutex_t lock; /* guards all questions */
	pthread_cond_t news;
} resolver = { .lock = PTHREAD_MUTEX_INITIALIZER };

static const struct {
	const char *name, *value;
} options[] = {
	{ "do-not-query-localhost:", "no" }, /* a resolver on 127.0.0.1 is the usual case on a mail host */
	{ "num-queries-per-thread:", "4096" },
};

/* libunbound's own answers for these would hide the configured name server's. */
static const char *const pass_on[] = { "test.", "invalid.", "home.arpa.", "onion." };

/* ---- start ---- */

/* "192.0.2.53", "192.0.2.53:5353", "192.0.2.53@5353", "[2001:db8::53]:53" as libunbound writes them: "addr@port". */
static int add_server(struct str word, struct err *e)
{
	struct buf b = { 0 };
	struct str port = STR_NONE;
	ptrdiff_t at;
	int status;

	if (str_starts(word, STR("["))) {
		port = str_skip(word, 1);
		word = str_cut(&port, ']');
		port = str_skip(port, 1);
	} else if ((at = str_chr(word, '@')) >= 0 || ((at = str_chr(word, ':')) >= 0 && at == str_rchr(word, ':'))) {
		port = str_skip(word, (size_t)at + 1);
		word = str_sub(word, 0, (size_t)at);
	}
	buf_add(&b, word);
	if (port.n > 0)
		buf_addf(&b, "@%.*s", STRF(port));
	status = ub_ctx_set_fwd(resolver.ctx, buf_z(&b));
	if (status != 0)
		(void)err_perm(e, "name server \"%s\" in dns_servers is not an address", buf_z(&b));
	buf_done(&b);
	return status == 0 ? 0 : -1;
}

static int add_servers(const char *servers, struct err *e)
{
	struct str rest = str_z(servers), word;

	if (str_trim(rest).n == 0) {
		if (ub_ctx_resolvconf(resolver.ctx, "/etc/resolv.conf") != 0)
			return add_server(STR("127.0.0.1"), e); /* as resolver(5) does */
		return 0;
	}
	while ((word = str_word(&rest, ", \t\r\n")).n > 0)
		if (add_server(word, e) < 0)
			return -1;
	return 0;
}

static void *pump(void *unused)
{
	struct pollfd p = { .fd = ub_fd(resolver.ctx), .events = POLLIN };

	(void)unused;
	for (;;)
		if (poll(&p, 1, -1) > 0 && ub_process(resolver.ctx) != 0)
			say_warn("name resolver: trouble with its thread");
	return NULL;
}

static int start_pump(struct err *e)
{
	pthread_condattr_t clock;
	pthread_attr_t attr;
	pthread_t thread;
	int status;

	pthread_condattr_init(&clock);
	pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
	pthread_cond_init(&resolver.news, &clock);
	pthread_condattr_destroy(&clock);
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attr, PUMP_STACK_SIZE);
	status = pthread_create(&thread, &attr, pump, NULL);
	pthread_attr_destroy(&attr);
	return status == 0 ? 0 : err_errno(e, status, "cannot start a thread");
}

int resolver_start(const char *servers, const char *anchor, struct err *e)
{
	resolver.ctx = ub_ctx_create();
	if (resolver.ctx == NULL)
		return err_temp(e, "cannot start the name resolver");
	ub_ctx_debugout(resolver.ctx, NULL);
	for (size_t i = 0; i < sizeof options / sizeof *options; i++)
		check(ub_ctx_set_option(resolver.ctx, options[i].name, options[i].value) == 0);
	if (add_servers(servers, e) < 0)
		return -1;
	if (*anchor != '\0' && ub_ctx_add_ta_file(resolver.ctx, anchor) != 0)
		return err_perm(e, "cannot use DNSSEC trust anchor file \"%s\"", anchor);
	check(ub_ctx_async(resolver.ctx, 1) == 0); /* a thread, not a process: before the next calls, which settle it */
	for (size_t i = 0; i < sizeof pass_on / sizeof *pass_on; i++)
		ub_ctx_zone_remove(resolver.ctx, pass_on[i]);
	return start_pump(e);
}

/* ---- questions ---- */

/* Under the lock. True: the last one. */
static bool let_go(struct txt_query *q)
{
	return --q->refs == 0;
}

static void query_free(struct txt_query *q)
{
	buf_done(&q->records);
	mem_free(q);
}

/* The character-strings of a record, joined (RFC 6376 section 3.6.2.2). */
static void join_strings(const unsigned char *p, size_t n, struct buf *out)
{
	while (n > 0) {
		size_t size = p[0];

		if (size > n - 1)
			size = n - 1;
		buf_addn(out, p + 1, size);
		p += size + 1;
		n -= size + 1;
	}
}

static void take_result(struct txt_query *q, const struct ub_result *r)
{
	struct buf record = { 0 };

	q->ttl = r->ttl > TTL_MAX ? TTL_MAX : r->ttl < 0 ? 0 : (uint32_t)r->ttl;
	q->failed = r->bogus || !(r->havedata || r->rcode == 0 || r->nxdomain);
	if (r->nxdomain && !q->failed)
		buf_addc(&q->records, '!');
	for (int i = 0; r->havedata && !q->failed && i < RECORDS_MAX && r->data[i] != NULL; i++) {
		if (r->len[i] > RECORD_MAX)
			continue;
		buf_clear(&record);
		join_strings((const unsigned char *)r->data[i], (size_t)r->len[i], &record);
		buf_addf(&q->records, "%zu:", record.n);
		buf_add(&q->records, buf_str(&record));
	}
	buf_done(&record);
}

static void answered(void *arg, int error, struct ub_result *result)
{
	struct txt_query *q = arg;
	bool last;

	pthread_mutex_lock(&resolver.lock);
	if (error != 0 || result == NULL)
		q->failed = true;
	else
		take_result(q, result);
	q->answered = true;
	last = let_go(q);
	pthread_cond_broadcast(&resolver.news);
	pthread_mutex_unlock(&resolver.lock);
	ub_resolve_free(result);
	if (last)
		query_free(q);
}

/* Names come out of mail: only what a record can be published under is asked for, no escapes. */
static bool can_be_asked(struct str name)
{
	if (name.n == 0 || name.n > NAME_MAX_SIZE || str_find(name, STR("..")) >= 0 || name.p[0] == '.')
		return false;
	for (size_t i = 0; i < name.n; i++)
		if (!isalnum((unsigned char)name.p[i]) && strchr("-_.", name.p[i]) == NULL)
			return false;
	return str_chr(name, '\0') < 0;
}

static struct txt_query *query_new(struct str name)
{
	struct txt_query *q = mem_alloc(sizeof *q);

	q->refs = 1;
	q->kept = q->answered = !can_be_asked(name);
	for (size_t i = 0; !q->answered && i < name.n; i++)
		q->name[i] = (char)tolower((unsigned char)name.p[i]);
	return q;
}

static void ask_dns(struct txt_query *q)
{
	q->refs = 2;
	if (ub_resolve_async(resolver.ctx, q->name, TYPE_TXT, CLASS_IN, q, answered, NULL) == 0)
		return;
	q->refs = 1;
	q->answered = q->failed = true;
}

/* What other gateways found out, for those of the queries that are still open. */
static void ask_redis(struct txt_query **queries, size_t count)
{
	struct arena *a = arena_new("cache question");
	struct redis_words *commands = arena_alloc(a, 2 * count * sizeof *commands);
	struct redis_answer *answers = arena_alloc(a, 2 * count * sizeof *answers);
	struct txt_query *open[ASK_MAX];
	size_t n = 0;

	for (size_t i = 0; i < count; i++) {
		struct str key;

		if (queries[i]->answered)
			continue;
		key = redis_key(a, "txt", str_z(queries[i]->name));
		commands[2 * n] = (struct redis_words){ { STR("GET"), key }, 2 };
		commands[2 * n + 1] = (struct redis_words){ { STR("TTL"), key }, 2 };
		open[n++] = queries[i];
	}
	if (n > 0 && redis_ask(a, commands, 2 * n, answers) == 0)
		for (size_t i = 0; i < n; i++) {
			if (!answers[2 * i].found)
				continue;
			buf_add(&open[i]->records, answers[2 * i].text);
			open[i]->kept = open[i]->answered = true;
			cache_put(str_z(open[i]->name), answers[2 * i].text, answers[2 * i + 1].number);
		}
	arena_free(a);
}

void txt_ask(const struct str *names, size_t count, struct txt_query **queries)
{
	check(count <= ASK_MAX);
	for (size_t i = 0; i < count; i++) {
		queries[i] = query_new(names[i]);
		if (!queries[i]->answered)
			queries[i]->kept = queries[i]->answered = cache_get(str_z(queries[i]->name), &queries[i]->records);
	}
	if (redis_ready())
		ask_redis(queries, count);
	for (size_t i = 0; i < count; i++)
		if (!queries[i]->answered)
			ask_dns(queries[i]);
}

void txt_done(struct txt_query *q)
{
	bool last;

	if (q == NULL)
		return;
	pthread_mutex_lock(&resolver.lock);
	last = let_go(q);
	pthread_mutex_unlock(&resolver.lock);
	if (last)
		query_free(q);
}

/* ---- answers ---- */

/* False: not what we write. */
static bool unpack(struct str kept, struct arena *a, struct txt_records *out)
{
	out->records = arena_alloc(a, RECORDS_MAX * sizeof *out->records);
	out->nxdomain = str_eqz(kept, "!");
	while (kept.n > 0 && !out->nxdomain) {
		uint64_t n;

		if (!str_to_u64(str_cut(&kept, ':'), RECORD_MAX, &n) || n > kept.n || out->count == RECORDS_MAX)
			return false;
		out->records[out->count++] = arena_dup(a, str_sub(kept, 0, (size_t)n));
		kept = str_skip(kept, (size_t)n);
	}
	return true;
}

/* An answer from the DNS, for later and for the others. Once: whoever waits for it is the only one. */
static void share(struct txt_query *q)
{
	struct arena *a;
	struct redis_words set;
	struct redis_answer answer;

	q->kept = true;
	if (q->ttl == 0)
		return;
	cache_put(str_z(q->name), buf_str(&q->records), q->ttl);
	if (!redis_ready())
		return;
	a = arena_new("cache answer");
	set = (struct redis_words){ { STR("SET"), redis_key(a, "txt", str_z(q->name)), buf_str(&q->records), STR("EX"),
					    arena_printf(a, "%u", (unsigned)q->ttl) },
		5 };
	(void)redis_ask(a, &set, 1, &answer);
	arena_free(a);
}

enum txt_result txt_wait(struct txt_query *q, int64_t deadline_ms, struct arena *a, struct txt_records *out)
{
	struct timespec until = { .tv_sec = (time_t)(deadline_ms / 1000), .tv_nsec = (long)(deadline_ms % 1000) * 1000000 };
	bool done;

	*out = (struct txt_records){ 0 };
	pthread_mutex_lock(&resolver.lock);
	while (!q->answered && pthread_cond_timedwait(&resolver.news, &resolver.lock, &until) != ETIMEDOUT)
		;
	done = q->answered && !q->failed;
	pthread_mutex_unlock(&resolver.lock);
	if (!done)
		return TXT_TEMPFAIL;
	if (!q->kept)
		share(q);
	if (!unpack(buf_str(&q->records), a, out))
		return TXT_TEMPFAIL;
	return out->count > 0 ? TXT_FOUND : TXT_NONE;
}

/* More than one record is against the rules; one that says what it is goes first. */
enum txt_result txt_wait_one(struct txt_query *q, int64_t deadline_ms, struct str prefix, struct arena *a, struct str *out)
{
	struct txt_records all;
	enum txt_result result = txt_wait(q, deadline_ms, a, &all);

	*out = result == TXT_FOUND ? all.records[0] : STR_NONE;
	for (size_t i = 0; i < all.count; i++) {
		if (str_startsi(all.records[i], prefix)) {
			*out = all.records[i];
			break;
		}
	}
	return result;
}
