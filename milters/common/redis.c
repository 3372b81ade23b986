/* milters/common/redis.c - blocking Redis for threads: a command takes an idle connection or makes one, and gives it back when all went
 * well. */
#include "milters/common/redis.h"

#include <pthread.h>
#include <sys/time.h>

#include <hiredis/hiredis.h>

#include "lib/base/clock.h"
#include "lib/base/fs.h"
#include "lib/base/mem.h"
#include "milters/common/say.h"

#define IDLE_MAX 16 /* connections kept */
#define PORT_MAX 65535
#define REDIS_PORT 6379
#define PASSWORD_FILE_MAX 4096 /* octets */
#define TEXT_MAX (1024 * 1024) /* octets of an answer's text that are believed */

static struct {
	pthread_mutex_t lock; /* guards all of this */
	char *host, *path, *user, *password, *prefix;
	int port;
	int64_t database, timeout_ms, breaker_failures, breaker_ms;
	unsigned generation; /* of these settings */
	redisContext *idle[IDLE_MAX];
	size_t idle_count;
	int64_t failures, closed_until; /* the breaker */
} redis = { .lock = PTHREAD_MUTEX_INITIALIZER };

/* ---- settings ---- */

static void set(char **to, const char *value)
{
	mem_free(*to);
	*to = value == NULL || *value == '\0' ? NULL : mem_strdup(value);
}

static int set_server(struct str server, struct err *e)
{
	struct str rest = server, type = str_cut(&rest, ':'), host;
	ptrdiff_t colon = str_rchr(rest, ':');
	struct buf z = { 0 };
	uint64_t port = REDIS_PORT;

	set(&redis.host, NULL);
	set(&redis.path, NULL);
	if (server.n == 0)
		return 0;
	if (str_eqz(type, "unix") && rest.n > 0) {
		buf_add(&z, rest);
		set(&redis.path, buf_z(&z));
		buf_done(&z);
		return 0;
	}
	host = colon < 0 ? rest : str_sub(rest, 0, (size_t)colon);
	if (!str_eqz(type, "inet") || host.n == 0 || (colon >= 0 && !str_to_u64(str_skip(rest, (size_t)colon + 1), PORT_MAX, &port)))
		return err_perm(e, "redis_server = \"%.*s\": \"inet:host:port\" or \"unix:/path\" expected", STRF(server));
	if (host.n > 2 && host.p[0] == '[')
		host = str_sub(host, 1, host.n - 2);
	buf_add(&z, host);
	set(&redis.host, buf_z(&z));
	buf_done(&z);
	redis.port = (int)port;
	return 0;
}

static int set_password(const struct conf *c, struct err *e)
{
	const char *file = conf_str(c, "redis_password_file");
	struct buf text = { 0 };
	struct str rest, line;

	set(&redis.password, conf_str(c, "redis_password"));
	if (*file == '\0')
		return 0;
	if (fs_read_file(file, PASSWORD_FILE_MAX, &text, e) < 0)
		return err_context(e, "redis_password_file");
	rest = buf_str(&text);
	line = str_trim(str_cut(&rest, '\n'));
	buf_truncate(&text, line.n); /* it begins the file */
	set(&redis.password, buf_z(&text));
	buf_done(&text);
	return 0;
}

/* What only Gatepost's other daemons can: the milters go on with what they remember themselves. */
static bool beyond_us(const struct conf *c)
{
	return conf_bool(c, "redis_cluster") || conf_bool(c, "redis_tls") || *conf_str(c, "redis_sentinel_master") != '\0' ||
	       str_any(str_trim(str_z(conf_str(c, "redis_server"))), ", \t\n") >= 0;
}

static void drop_idle(void)
{
	while (redis.idle_count > 0)
		redisFree(redis.idle[--redis.idle_count]);
}

int redis_use(const struct conf *c, struct err *e)
{
	bool beyond = beyond_us(c);
	int status;

	pthread_mutex_lock(&redis.lock);
	drop_idle();
	redis.generation++;
	redis.failures = 0;
	redis.closed_until = 0;
	set(&redis.user, conf_str(c, "redis_user"));
	set(&redis.prefix, conf_str(c, "redis_key_prefix"));
	redis.database = conf_int(c, "redis_database");
	redis.timeout_ms = conf_int(c, "redis_timeout_ms");
	redis.breaker_failures = conf_int(c, "redis_breaker_failures");
	redis.breaker_ms = conf_time_ms(c, "redis_breaker_time");
	status = set_server(beyond ? STR_NONE : str_trim(str_z(conf_str(c, "redis_server"))), e);
	if (status == 0)
		status = set_password(c, e);
	pthread_mutex_unlock(&redis.lock);
	if (beyond)
		say_warn("milters use one plain Redis server only: going on without the one in redis_server");
	return status;
}

bool redis_ready(void)
{
	bool ready;

	pthread_mutex_lock(&redis.lock);
	ready = (redis.host != NULL || redis.path != NULL) && redis.closed_until <= clock_mono_ms();
	pthread_mutex_unlock(&redis.lock);
	return ready;
}

struct str redis_key(struct arena *a, const char *kind, struct str name)
{
	struct str key;

	pthread_mutex_lock(&redis.lock);
	key = arena_printf(a, "%s%s:%.*s", redis.prefix != NULL ? redis.prefix : "", kind, STRF(name));
	pthread_mutex_unlock(&redis.lock);
	return key;
}

/* ---- connections ---- */

static bool accepted(redisReply *r)
{
	bool fine = r != NULL && r->type != REDIS_REPLY_ERROR;

	if (r != NULL)
		freeReplyObject(r);
	return fine;
}

/* Under the lock for the settings; a server that takes its time keeps others waiting no longer than the breaker allows. */
static bool introduce(redisContext *c)
{
	if (redis.password != NULL && !accepted(redis.user != NULL ? redisCommand(c, "AUTH %s %s", redis.user, redis.password)
								   : redisCommand(c, "AUTH %s", redis.password)))
		return false;
	return redis.database == 0 || accepted(redisCommand(c, "SELECT %lld", (long long)redis.database));
}

/* NULL when there is none to be had. */
static redisContext *connect_now(void)
{
	struct timeval limit = { .tv_sec = redis.timeout_ms / 1000, .tv_usec = redis.timeout_ms % 1000 * 1000 };
	redisContext *c = redis.path != NULL ? redisConnectUnixWithTimeout(redis.path, limit)
					     : redisConnectWithTimeout(redis.host, redis.port, limit);

	if (c == NULL)
		return NULL;
	if (c->err == 0 && redisSetTimeout(c, limit) == REDIS_OK && introduce(c))
		return c;
	redisFree(c);
	return NULL;
}

static redisContext *take(unsigned *generation, bool *reused)
{
	redisContext *c = NULL;

	pthread_mutex_lock(&redis.lock);
	*generation = redis.generation;
	*reused = redis.idle_count > 0;
	if (*reused)
		c = redis.idle[--redis.idle_count];
	else if ((redis.host != NULL || redis.path != NULL) && redis.closed_until <= clock_mono_ms())
		c = connect_now();
	pthread_mutex_unlock(&redis.lock);
	return c;
}

static void give_back(redisContext *c, unsigned generation)
{
	pthread_mutex_lock(&redis.lock);
	redis.failures = 0;
	if (generation == redis.generation && redis.idle_count < IDLE_MAX) {
		redis.idle[redis.idle_count++] = c;
		c = NULL;
	}
	pthread_mutex_unlock(&redis.lock);
	if (c != NULL)
		redisFree(c);
}

static void failed(void)
{
	bool opened = false;

	pthread_mutex_lock(&redis.lock);
	if (++redis.failures >= redis.breaker_failures) {
		opened = redis.closed_until <= clock_mono_ms();
		redis.closed_until = deadline_in(redis.breaker_ms);
	}
	pthread_mutex_unlock(&redis.lock);
	if (opened)
		say_warn("Redis does not answer: going on without for a while");
}

/* ---- commands ---- */

static bool append(redisContext *c, const struct redis_words *w)
{
	const char *argv[REDIS_WORDS_MAX];
	size_t sizes[REDIS_WORDS_MAX];

	for (size_t i = 0; i < w->count; i++) {
		argv[i] = w->words[i].p;
		sizes[i] = w->words[i].n;
	}
	return redisAppendCommandArgv(c, (int)w->count, argv, sizes) == REDIS_OK;
}

static void keep(struct arena *a, const redisReply *r, struct redis_answer *out)
{
	*out = (struct redis_answer){ .text = STR_NONE };
	if (r->type == REDIS_REPLY_INTEGER) {
		out->found = true;
		out->number = r->integer;
	} else if (r->type == REDIS_REPLY_STRING || r->type == REDIS_REPLY_STATUS) {
		out->found = r->len <= TEXT_MAX;
		out->text = out->found ? arena_dup(a, str_n(r->str, (size_t)r->len)) : STR_NONE;
	} else if (r->type == REDIS_REPLY_ERROR) {
		say_warn("Redis refuses a command: %s", r->str);
	}
}

static bool converse(redisContext *c, struct arena *a, const struct redis_words *commands, size_t count, struct redis_answer *answers)
{
	for (size_t i = 0; i < count; i++)
		if (!append(c, &commands[i]))
			return false;
	for (size_t i = 0; i < count; i++) {
		void *reply = NULL;

		if (redisGetReply(c, &reply) != REDIS_OK || reply == NULL)
			return false;
		keep(a, reply, &answers[i]);
		freeReplyObject(reply);
	}
	return true;
}

/* One connection's try. *reused: it was idle before, and may only have been closed meanwhile. */
static bool try_once(struct arena *a, const struct redis_words *commands, size_t count, struct redis_answer *answers, bool *reused)
{
	unsigned generation;
	redisContext *c = take(&generation, reused);

	if (c != NULL && converse(c, a, commands, count, answers)) {
		give_back(c, generation);
		return true;
	}
	if (c != NULL)
		redisFree(c);
	return false;
}

int redis_ask(struct arena *a, const struct redis_words *commands, size_t count, struct redis_answer *answers)
{
	bool reused = true;

	if (!redis_ready())
		return -1;
	for (size_t tries = 0; reused && tries <= IDLE_MAX; tries++)
		if (try_once(a, commands, count, answers, &reused))
			return 0;
	failed();
	return -1;
}
