/* lib/net/redis.c - Redis commands from fibers over a few kept connections, one command on each at a time.
 * hiredis formats commands and reads answers; ours are the connections, the deadline, the breaker, and the limits on what a server
 * may make us hold: answers are built straight into the caller's arena and are bounded in size and number.
 */
#include "lib/net/redis.h"

#include <limits.h>
#include <string.h>

#include <hiredis/hiredis.h>
#include <openssl/sha.h>

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/net/fiber.h"
#include "lib/net/redis_value.h"
#include "lib/net/sock.h"
#include "lib/net/stream.h"

#define CONNECTIONS_MAX 16 /* a process's share of the server; more commands wait for a free one */
#define REPLY_MAX (1u << 20) /* octets of one answer */
#define READ_SIZE 4096

struct redis {
	struct redis_settings set;
	struct stream *idle[CONNECTIONS_MAX];
	unsigned idle_count, busy_count;
	struct waitq free_again;
	unsigned failures; /* in a row */
	int64_t closed_at; /* breaker open until then; 0: closed */
	bool open, trying; /* breaker open; one command is finding out whether it still has to be */
};

/* Answers by which the server says that it cannot serve at all: for us the same as no answer. */
static const char *const refusals[] = { "LOADING", "MASTERDOWN", "CLUSTERDOWN", "BUSY ", "NOAUTH", "WRONGPASS", "NOPERM", "READONLY", "OOM",
	"MISCONF" };

struct redis *redis_new(const struct redis_settings *set)
{
	struct redis *r = mem_alloc(sizeof *r);

	r->set = *set;
	r->set.endpoint = mem_strdup(set->endpoint);
	r->set.user = mem_strdup(set->user == NULL ? "" : set->user);
	r->set.password = mem_strdup(set->password == NULL ? "" : set->password);
	waitq_init(&r->free_again);
	return r;
}

void redis_free(struct redis *r)
{
	if (r == NULL)
		return;
	check(r->busy_count == 0);
	while (r->idle_count > 0)
		stream_close(r->idle[--r->idle_count]);
	mem_free((void *)r->set.endpoint);
	mem_free((void *)r->set.user);
	mem_free((void *)r->set.password);
	mem_free(r);
}

bool redis_available(const struct redis *r)
{
	return !r->open;
}

/* May a command go out now? When the breaker's time is over, the first one to ask tries for all. */
static bool breaker_lets(struct redis *r, struct err *e)
{
	if (!r->open)
		return true;
	if (!r->trying && clock_mono_ms() >= r->closed_at) {
		r->trying = true;
		return true;
	}
	err_temp(e, "Redis %s is not available", r->set.endpoint);
	return false;
}

static void breaker_good(struct redis *r)
{
	if (r->open)
		log_info("Redis %s is available again", r->set.endpoint);
	r->failures = 0;
	r->open = r->trying = false;
}

static void breaker_bad(struct redis *r, const struct err *e)
{
	r->trying = false;
	if (++r->failures < r->set.breaker_failures)
		return;
	if (!r->open)
		log_warn("Redis %s: %s; going on without it", r->set.endpoint, e->text);
	r->open = true;
	r->closed_at = deadline_in(r->set.breaker_ms);
}

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

static struct str format_command(size_t argc, const struct str *argv)
{
	const char *words[REDIS_ARGS_MAX];
	size_t sizes[REDIS_ARGS_MAX];
	char *text = NULL;
	int n;

	check(argc > 0 && argc <= REDIS_ARGS_MAX);
	for (size_t i = 0; i < argc; i++) {
		words[i] = argv[i].p;
		sizes[i] = argv[i].n;
	}
	n = redisFormatCommandArgv(&text, (int)argc, words, sizes);
	check(n > 0);
	return str_n(text, (size_t)n);
}

static int greet_one(struct stream *s, struct arena *a, size_t argc, const struct str *argv, int64_t deadline, struct err *e)
{
	struct str command = format_command(argc, argv);
	struct redis_value v;
	int rc = exchange(s, a, command, deadline, &v, e);

	redisFreeCommand((char *)(uintptr_t)command.p);
	if (rc == 0 && v.type == REDIS_ERROR)
		rc = err_temp(e, "%.*s", STRF(v.text));
	return rc;
}

/* AUTH and SELECT on a new connection, where the settings ask for them. */
static int greet(struct redis *r, struct stream *s, struct arena *a, int64_t deadline, struct err *e)
{
	struct str auth[3] = { STR_INIT("AUTH"), str_z(r->set.user), str_z(r->set.password) };
	char number[16];
	struct str select[2] = { STR_INIT("SELECT"), { number, 0 } };

	if (auth[1].n == 0)
		auth[1] = auth[2];
	if (auth[2].n > 0 && greet_one(s, a, *r->set.user != '\0' ? 3 : 2, auth, deadline, e) < 0)
		return err_context(e, "AUTH");
	select[1].n = (size_t)snprintf(number, sizeof number, "%d", r->set.database);
	if (r->set.database != 0 && greet_one(s, a, 2, select, deadline, e) < 0)
		return err_context(e, "SELECT");
	return 0;
}

/* A connection for one command: kept or new; waits for one when too many are busy. */
static struct stream *take(struct redis *r, struct arena *a, int64_t deadline, bool *reused, struct err *e)
{
	struct stream *s;

	while (r->busy_count == CONNECTIONS_MAX)
		if (!waitq_wait(&r->free_again, deadline)) {
			err_temp(e, "no connection became free in time");
			return NULL;
		}
	r->busy_count++;
	*reused = true;
	while (r->idle_count > 0) {
		s = r->idle[--r->idle_count];
		if (stream_idle_ok(s))
			return s;
		stream_close(s);
	}
	*reused = false;
	s = sock_connect_endpoint(str_z(r->set.endpoint), deadline, e);
	if (s != NULL && greet(r, s, a, deadline, e) == 0)
		return s;
	stream_close(s);
	r->busy_count--;
	waitq_wake_one(&r->free_again);
	return NULL;
}

static void give_back(struct redis *r, struct stream *s, bool usable)
{
	r->busy_count--;
	if (usable && r->idle_count < CONNECTIONS_MAX)
		r->idle[r->idle_count++] = s;
	else
		stream_close(s);
	waitq_wake_one(&r->free_again);
}

/* A kept connection may have been closed by the server a moment ago: then once more, on a new one. */
static int run_command(struct redis *r, struct arena *a, struct str command, int64_t deadline, struct redis_value *value, struct err *e)
{
	for (;;) {
		bool reused;
		struct stream *s = take(r, a, deadline, &reused, e);
		int rc;

		if (s == NULL)
			return -1;
		rc = exchange(s, a, command, deadline, value, e);
		give_back(r, s, rc == 0);
		if (rc == 0 || !reused || clock_mono_ms() >= deadline)
			return rc;
		while (r->idle_count > 0)
			stream_close(r->idle[--r->idle_count]);
	}
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

static int run_guarded(struct redis *r, struct arena *a, struct str command, struct redis_value *value, struct err *e)
{
	int rc;

	if (!breaker_lets(r, e))
		return -1;
	rc = run_command(r, a, command, deadline_in(r->set.timeout_ms), value, e);
	if (rc == 0 && is_refusal(value))
		rc = err_temp(e, "%.*s", STRF(value->text));
	if (rc == 0)
		breaker_good(r);
	else
		breaker_bad(r, e);
	return rc < 0 ? err_context(e, "Redis %s", r->set.endpoint) : 0;
}

int redis_command(struct redis *r, struct arena *a, size_t argc, const struct str *argv, struct redis_value *value, struct err *e)
{
	struct str command = format_command(argc, argv);
	int rc = run_guarded(r, a, command, value, e);

	redisFreeCommand((char *)(uintptr_t)command.p);
	return rc;
}

int redis_commandf(struct redis *r, struct arena *a, struct redis_value *value, struct err *e, const char *fmt, ...)
{
	char *text = NULL;
	va_list ap;
	int n, rc;

	va_start(ap, fmt);
	n = redisvFormatCommand(&text, fmt, ap);
	va_end(ap);
	check(n > 0);
	rc = run_guarded(r, a, str_n(text, (size_t)n), value, e);
	redisFreeCommand(text);
	return rc;
}

static struct str script_sha(struct arena *a, const char *script)
{
	unsigned char digest[SHA_DIGEST_LENGTH];
	char *hex = arena_alloc(a, sizeof digest * 2 + 1);

	SHA1((const unsigned char *)script, strlen(script), digest);
	for (size_t i = 0; i < sizeof digest; i++)
		snprintf(hex + 2 * i, 3, "%02x", digest[i]);
	return str_n(hex, sizeof digest * 2);
}

int redis_script(struct redis *r, struct arena *a, const char *script, size_t keys, size_t argc, const struct str *argv,
	struct redis_value *value, struct err *e)
{
	struct str words[REDIS_ARGS_MAX] = { STR_INIT("EVALSHA"), script_sha(a, script), arena_printf(a, "%zu", keys) };

	check(argc + 3 <= REDIS_ARGS_MAX && keys <= argc);
	for (size_t i = 0; i < argc; i++)
		words[i + 3] = argv[i];
	if (redis_command(r, a, argc + 3, words, value, e) < 0)
		return -1;
	if (value->type != REDIS_ERROR || !str_starts(value->text, STR("NOSCRIPT")))
		return 0;
	words[0] = STR("EVAL");
	words[1] = str_z(script);
	return redis_command(r, a, argc + 3, words, value, e);
}
