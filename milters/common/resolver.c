/* milters/common/resolver.c - libunbound with its own thread; a second one of ours hands its answers to whoever waits. A question
 * belongs to its asker and to libunbound: the one that lets go last frees it, so that nobody needs to cancel.
 */
#include "milters/common/resolver.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>

#include <unbound.h>

#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "milters/common/say.h"

#define TYPE_TXT 16
#define CLASS_IN 1
#define NAME_MAX_SIZE 253 /* RFC 1035 section 2.3.4, as text */
#define RECORD_MAX 16384 /* octets of one record: four times what a 4096-bit RSA key takes, several times over */
#define PUMP_STACK_SIZE (1024 * 1024)

struct txt_query {
	int refs; /* asker, libunbound */
	bool answered;
	bool failed;
	struct ub_result *result; /* NULL: none */
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
	for (size_t i = 0; i < sizeof pass_on / sizeof *pass_on; i++)
		ub_ctx_zone_remove(resolver.ctx, pass_on[i]);
	ub_ctx_async(resolver.ctx, 1); /* a thread, not a process */
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
	ub_resolve_free(q->result);
	mem_free(q);
}

static void answered(void *arg, int error, struct ub_result *result)
{
	struct txt_query *q = arg;
	bool last;

	pthread_mutex_lock(&resolver.lock);
	q->answered = true;
	q->failed = error != 0 || result == NULL || result->bogus;
	q->result = result;
	last = let_go(q);
	pthread_cond_broadcast(&resolver.news);
	pthread_mutex_unlock(&resolver.lock);
	if (last)
		query_free(q);
}

/* Names come out of mail: only what a key can be published under is asked for, no escapes. */
static bool can_be_asked(struct str name)
{
	if (name.n == 0 || name.n > NAME_MAX_SIZE || str_find(name, STR("..")) >= 0 || name.p[0] == '.')
		return false;
	for (size_t i = 0; i < name.n; i++)
		if (!isalnum((unsigned char)name.p[i]) && strchr("-_.", name.p[i]) == NULL)
			return false;
	return true;
}

struct txt_query *txt_ask(const char *name)
{
	struct txt_query *q = mem_alloc(sizeof *q);

	if (!can_be_asked(str_z(name))) {
		*q = (struct txt_query){ .refs = 1, .answered = true };
		return q;
	}
	q->refs = 2;
	if (ub_resolve_async(resolver.ctx, name, TYPE_TXT, CLASS_IN, q, answered, NULL) != 0)
		*q = (struct txt_query){ .refs = 1, .answered = true, .failed = true };
	return q;
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

/* More than one record is against the rules; one that says what it is goes first. */
static enum txt_result choose(const struct ub_result *r, struct str prefix, struct buf *out)
{
	struct buf record = { 0 };
	bool found = false;

	for (int i = 0; r->data[i] != NULL; i++) {
		if (r->len[i] > RECORD_MAX)
			continue;
		buf_clear(&record);
		join_strings((const unsigned char *)r->data[i], (size_t)r->len[i], &record);
		if (found && !str_startsi(buf_str(&record), prefix))
			continue;
		buf_clear(out);
		buf_add(out, buf_str(&record));
		found = true;
		if (str_startsi(buf_str(&record), prefix))
			break;
	}
	buf_done(&record);
	return found ? TXT_FOUND : TXT_NONE;
}

enum txt_result txt_wait(struct txt_query *q, int64_t deadline_ms, struct str prefix, struct buf *out)
{
	struct timespec until = { .tv_sec = (time_t)(deadline_ms / 1000), .tv_nsec = (long)(deadline_ms % 1000) * 1000000 };
	bool done;

	pthread_mutex_lock(&resolver.lock);
	while (!q->answered && pthread_cond_timedwait(&resolver.news, &resolver.lock, &until) != ETIMEDOUT)
		;
	done = q->answered;
	pthread_mutex_unlock(&resolver.lock);
	if (!done || q->failed)
		return TXT_TEMPFAIL;
	if (q->result == NULL)
		return TXT_NONE;
	if (q->result->havedata)
		return choose(q->result, prefix, out);
	return q->result->rcode == 0 || q->result->nxdomain ? TXT_NONE : TXT_TEMPFAIL;
}
