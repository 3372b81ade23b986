/* lib/driver/sqlite.c - table-sqlite.so: sqlite_table(5). "dbpath = file", "query = SELECT value FROM t WHERE key = '%s'". The file is opened
 * for reading only.
 */
#include <time.h>

#include <sqlite3.h>

#include "lib/driver/driver.h"

#define STEPS_BETWEEN_LOOKS 10000 /* virtual machine instructions between two looks at the clock */

struct connection {
	sqlite3 *db;
	struct timespec until;
};

static const char *const names[] = { "dbpath", "query", NULL };
static const char *const templates[] = { "query", NULL };
static const char *const defaults[] = { NULL };

static int check_settings(const struct driver_settings *s, char *why)
{
	if (s->get(s->ctx, "dbpath", NULL) != NULL)
		return 0;
	snprintf(why, DRIVER_WHY_SIZE, "\"dbpath = ...\" is not set");
	return -1;
}

static void set_until(struct connection *c, int timeout_ms)
{
	clock_gettime(CLOCK_MONOTONIC, &c->until);
	c->until.tv_sec += timeout_ms / 1000;
}

/* Not 0: interrupt, the time is over. */
static int look_at_clock(void *ctx)
{
	const struct connection *c = ctx;
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec > c->until.tv_sec;
}

static void disconnect(void *connection)
{
	struct connection *c = connection;

	sqlite3_close(c->db);
	free(c);
}

static void *open_database(const struct driver_settings *s, int timeout_ms, char *why)
{
	struct connection *c = calloc(1, sizeof *c);
	const char *path = s->get(s->ctx, "dbpath", "");

	(void)timeout_ms; /* a file is there or not */
	if (c == NULL) {
		snprintf(why, DRIVER_WHY_SIZE, "out of memory");
		return NULL;
	}
	if (sqlite3_open_v2(path, &c->db, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, NULL) == SQLITE_OK) {
		sqlite3_progress_handler(c->db, STEPS_BETWEEN_LOOKS, look_at_clock, c);
		return c;
	}
	snprintf(why, DRIVER_WHY_SIZE, "cannot open \"%s\": %s", path, sqlite3_errmsg(c->db));
	disconnect(c);
	return NULL;
}

/* Inside of '...' only the quote itself means anything. */
static size_t quote(void *connection, int template_number, const char *p, size_t n, char *out)
{
	size_t used = 0;

	(void)connection;
	(void)template_number; /* there is one */
	for (size_t i = 0; i < n; i++) {
		if (p[i] == '\'')
			out[used++] = '\'';
		out[used++] = p[i];
	}
	return used;
}

static int read_rows(sqlite3_stmt *statement, const struct driver_sink *sink)
{
	int code;

	while ((code = sqlite3_step(statement)) == SQLITE_ROW) {
		const void *text = sqlite3_column_text(statement, 0); /* the first column, as Postfix has it */

		if (text != NULL && sink->value(sink->ctx, text, (size_t)sqlite3_column_bytes(statement, 0)) != 0)
			return SQLITE_ABORT;
	}
	return code;
}

static int ask(void *connection, const char *const *texts, const struct driver_sink *sink, int timeout_ms, char *why)
{
	struct connection *c = connection;
	sqlite3_stmt *statement = NULL;
	int code;

	set_until(c, timeout_ms);
	sqlite3_busy_timeout(c->db, timeout_ms);
	code = sqlite3_prepare_v2(c->db, texts[0], -1, &statement, NULL);
	if (code == SQLITE_OK)
		code = read_rows(statement, sink);
	if (code != SQLITE_DONE)
		snprintf(why, DRIVER_WHY_SIZE, "%s", code == SQLITE_INTERRUPT ? "the query took too long" : sqlite3_errmsg(c->db));
	sqlite3_finalize(statement);
	return code == SQLITE_DONE ? 0 : -1;
}

extern const struct driver gatepost_driver;
const struct driver gatepost_driver = { DRIVER_VERSION, names, templates, defaults, check_settings, open_database, quote, ask, disconnect };
