/* lib/table/database.c - ldap:/file, pgsql:/file and sqlite:/file: tables that a loadable module asks, so that no daemon links a database's
 * client library. Its calls block, so they run in the thread pool, over a few kept connections; who finds all of them busy waits until the
 * deadline.
 */
#include <dlfcn.h>
#include <limits.h>
#include <sys/auxv.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/fs.h"
#include "lib/base/mem.h"
#include "lib/driver/driver.h"
#include "lib/net/fiber.h"
#include "lib/net/loop.h"
#include "lib/table/query.h"
#include "lib/table/registry.h"

#define CONNECTIONS_MAX 4 /* for each table of a process: of 16 threads, which other work needs, too */
#define TIMEOUT_SECONDS 10
#define TIMEOUT_SECONDS_MAX 60
#define SETTINGS_MAX 40

struct database {
	struct query q;
	const struct driver *driver;
	const char *templates[DRIVER_TEMPLATES_MAX];
	int timeout_ms;
	void *idle[CONNECTIONS_MAX];
	unsigned idle_count, busy_count;
	struct waitq free_again;
};

/* ---- the module ---- */

/* Beside the program that runs (an uninstalled build), unless it runs with more rights than who called it has. */
static void *open_module(const char *type)
{
	char self[PATH_MAX];
	ssize_t n = getauxval(AT_SECURE) ? -1 : readlink("/proc/self/exe", self, sizeof self - 1);
	static const char *const places[] = { "", "../libexec/gatepost/" };
	struct buf path = { 0 };
	void *module = NULL;

	while (n > 0 && self[n - 1] != '/')
		n--;
	for (size_t i = 0; i < sizeof places / sizeof *places && n > 0 && module == NULL; i++) {
		buf_clear(&path);
		buf_addf(&path, "%.*s%stable-%s.so", (int)n, self, places[i], type);
		module = dlopen(buf_z(&path), RTLD_NOW | RTLD_LOCAL);
	}
	buf_clear(&path);
	buf_addf(&path, "%s/table-%s.so", GATEPOST_DAEMON_DIR, type);
	if (module == NULL)
		module = dlopen(buf_z(&path), RTLD_NOW | RTLD_LOCAL);
	buf_done(&path);
	return module;
}

/* Modules stay loaded for the life of the process. */
static const struct driver *load_driver(const char *type, struct err *e)
{
	void *module = open_module(type);
	const struct driver *d = module == NULL ? NULL : dlsym(module, DRIVER_SYMBOL);

	if (module == NULL)
		(void)err_perm(e, "the module for %s tables is not installed: %s", type, dlerror());
	else if (d == NULL || d->version != DRIVER_VERSION)
		(void)err_perm(e, "the module table-%s.so belongs to another version", type);
	else
		return d;
	return NULL;
}

/* ---- opening ---- */

static const char *get_setting(const void *ctx, const char *name, const char *fallback)
{
	const struct database *d = ctx;

	return query_setting(&d->q, name, fallback);
}

static struct driver_settings settings_of(const struct database *d)
{
	return (struct driver_settings){ get_setting, d };
}

static int read_settings(struct database *d, const struct table *t, struct str name, struct err *e)
{
	const char *names[SETTINGS_MAX] = { "timeout" };
	size_t count = 1;

	for (size_t i = 0; d->driver->names[i] != NULL; i++) {
		check(count < SETTINGS_MAX - 1);
		names[count++] = d->driver->names[i];
	}
	return query_open(&d->q, t, name, names, e);
}

static int use_settings(struct database *d, struct err *e)
{
	struct driver_settings s = settings_of(d);
	char why[DRIVER_WHY_SIZE] = "";
	uint64_t timeout;

	if (query_number(&d->q, "timeout", TIMEOUT_SECONDS_MAX, TIMEOUT_SECONDS, &timeout, e) < 0)
		return -1;
	d->timeout_ms = (int)timeout * 1000;
	for (size_t i = 0; d->driver->templates[i] != NULL; i++) {
		d->templates[i] = query_setting(&d->q, d->driver->templates[i], d->driver->defaults[i]);
		if (d->templates[i] == NULL)
			return err_perm(e, "\"%s = ...\" is not set", d->driver->templates[i]);
	}
	return d->driver->judge(&s, why) == 0 ? 0 : err_perm(e, "%s", why);
}

static void database_close(struct table *t)
{
	struct database *d = t->state;

	while (d->idle_count > 0)
		d->driver->close(d->idle[--d->idle_count]);
	query_close(&d->q);
	mem_free(d);
}

static int database_open(struct table *t, struct str name, struct err *e)
{
	struct database *d = mem_alloc(sizeof *d);

	d->driver = load_driver(t->type->name, e);
	if (d->driver == NULL || read_settings(d, t, name, e) < 0) {
		mem_free(d);
		return -1;
	}
	waitq_init(&d->free_again);
	t->state = d;
	if (use_settings(d, e) == 0)
		return 0;
	database_close(t);
	return -1;
}

/* ---- asking ---- */

struct job {
	const struct database *d;
	struct query_result *result;
	void *connection; /* NULL: make one; NULL afterwards: it failed */
	int64_t deadline;
	bool incomplete; /* the key lacks a part the question needs */
	int rc;
	struct err *e;
};

struct quoting {
	const struct job *job;
	int template_number;
};

static void quote(void *ctx, struct str part, struct buf *out)
{
	const struct quoting *q = ctx;
	char *p = buf_reserve(out, DRIVER_QUOTED_MAX(part.n));

	out->n += q->job->d->driver->quote(q->job->connection, q->template_number, part.p, part.n, p);
}

static int take_value(void *ctx, const char *p, size_t n)
{
	const struct job *j = ctx;

	return query_add_value(j->result, str_n(p, n), j->e);
}

static int time_left(const struct job *j)
{
	int64_t left = j->deadline - clock_mono_ms();

	return left > 1 ? (int)left : 1;
}

/* In a thread: one question on the connection. */
static void ask_connected(struct job *j)
{
	struct buf text[DRIVER_TEMPLATES_MAX] = { { 0 } };
	const char *texts[DRIVER_TEMPLATES_MAX] = { NULL };
	const struct driver_sink sink = { take_value, j };
	char why[DRIVER_WHY_SIZE] = "";

	for (int i = 0; i < DRIVER_TEMPLATES_MAX && j->d->templates[i] != NULL; i++) {
		struct quoting q = { j, i };

		j->incomplete |= !query_expand(j->d->templates[i], j->result->key, quote, &q, &text[i]);
		texts[i] = buf_z(&text[i]);
	}
	if (!j->incomplete && j->d->driver->ask(j->connection, texts, &sink, time_left(j), why) != 0)
		j->rc = j->e->kind != ERR_NONE ? -1 : err_temp(j->e, "%s", why);
	for (int i = 0; i < DRIVER_TEMPLATES_MAX; i++)
		buf_done(&text[i]);
}

/* In a thread. A kept connection that the server has closed meanwhile is replaced once. */
static void run_job(void *arg)
{
	struct job *j = arg;
	struct driver_settings s = settings_of(j->d);
	char why[DRIVER_WHY_SIZE] = "";
	bool reused;

	do {
		*j->e = (struct err)ERR_INIT;
		j->rc = 0;
		j->result->count = 0;
		buf_clear(&j->result->values);
		reused = j->connection != NULL;
		if (!reused)
			j->connection = j->d->driver->connect(&s, time_left(j), why);
		if (j->connection == NULL) {
			j->rc = err_temp(j->e, "%s", why);
			return;
		}
		ask_connected(j);
		if (j->rc < 0) {
			j->d->driver->close(j->connection);
			j->connection = NULL;
		}
	} while (j->rc < 0 && reused && clock_mono_ms() < j->deadline);
}

/* In a fiber: with a connection of its own, or without one yet. */
static void ask(void *arg)
{
	struct job *j = arg;
	struct database *d = (struct database *)(uintptr_t)j->d;

	while (d->busy_count == CONNECTIONS_MAX) {
		if (!waitq_wait(&d->free_again, j->deadline)) {
			j->rc = err_temp(j->e, "no connection became free in time");
			return;
		}
	}
	d->busy_count++;
	if (d->idle_count > 0)
		j->connection = d->idle[--d->idle_count];
	table_offload(run_job, j);
	d->busy_count--;
	if (j->connection != NULL)
		d->idle[d->idle_count++] = j->connection;
	waitq_wake_one(&d->free_again);
}

static enum table_answer database_lookup(struct table *t, struct str key, struct buf *value, struct err *e)
{
	const struct database *d = t->state;
	struct buf folded = { 0 };
	struct query_result result = { .query = &d->q, .key = table_key(t, key, &folded) };
	struct job j = { .d = d, .result = &result, .deadline = deadline_in(d->timeout_ms), .e = e };
	enum table_answer answer = query_wants(&d->q, result.key, e);

	if (answer == TABLE_FOUND) {
		loop_call("database table", ask, &j);
		answer = j.rc < 0 ? TABLE_FAILED : result.count > 0 && !j.incomplete ? TABLE_FOUND : TABLE_MISSING;
	}
	if (answer == TABLE_FOUND)
		buf_add(value, buf_str(&result.values));
	buf_done(&result.values);
	buf_done(&folded);
	return answer;
}

const struct table_type table_ldap = { "ldap", TABLE_SUSPENDS, database_open, database_lookup, database_close };
const struct table_type table_pgsql = { "pgsql", TABLE_SUSPENDS, database_open, database_lookup, database_close };
const struct table_type table_sqlite = { "sqlite", TABLE_SUSPENDS, database_open, database_lookup, database_close };
