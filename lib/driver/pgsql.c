/* lib/driver/pgsql.c - table-pgsql.so: pgsql_table(5). "hosts", "user", "password", "dbname", "encoding", "query = SELECT ... WHERE x = '%s'".
 * libpq's calls that cannot block are used, with poll(2) between them, so that every question has its end.
 */
#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <time.h>

#include <libpq-fe.h>

#include "lib/driver/driver.h"

#define HOST_MAX 1024 /* octets of one host, "postgresql://..." included */

static const char *const names[] = { "dbname", "encoding", "hosts", "idle_interval", "password", "query", "retry_interval", "user", NULL };
static const char *const templates[] = { "query", NULL };
static const char *const defaults[] = { NULL };

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static int check_settings(const struct driver_settings *s, char *why)
{
	if (s->get(s->ctx, "dbname", NULL) != NULL || strstr(s->get(s->ctx, "hosts", ""), "://") != NULL)
		return 0;
	snprintf(why, DRIVER_WHY_SIZE, "\"dbname = ...\" is not set");
	return -1;
}

/* 0: ready; -1: the time is over. */
static int wait_for(PGconn *c, short what, int64_t until)
{
	for (;;) {
		struct pollfd p = { .fd = PQsocket(c), .events = what };
		int64_t left = until - now_ms();
		int n = left <= 0 ? 0 : poll(&p, 1, (int)left);

		if (n > 0)
			return 0;
		if (n == 0 || errno != EINTR)
			return -1;
	}
}

/* libpq's message in one line. */
static void explain(char *why, const char *what, const char *text)
{
	int n = snprintf(why, DRIVER_WHY_SIZE, "%s: %s", what, text);

	for (int i = 0; i < n && i < DRIVER_WHY_SIZE - 1; i++)
		if (why[i] == '\n')
			why[i] = i + 1 == n ? '\0' : ' ';
}

/* "host", "host:port", "inet:host:port", "unix:/directory", "postgresql://...". */
static PGconn *start(const struct driver_settings *s, char *host)
{
	char *port, *bracket;

	if (strstr(host, "://") != NULL)
		return PQconnectStart(host);
	if (strncmp(host, "unix:", 5) == 0 || strncmp(host, "inet:", 5) == 0)
		host += 5;
	bracket = strchr(host, ']');
	port = *host == '/' ? NULL : strrchr(bracket != NULL ? bracket : host, ':');
	if (port != NULL)
		*port++ = '\0';
	if (*host == '[' && bracket != NULL) {
		*bracket = '\0';
		host++;
	}
	const char *const keys[] = { "host", "port", "user", "password", "dbname", "application_name", NULL };
	const char *const values[] = { *host != '\0' ? host : NULL, port, s->get(s->ctx, "user", NULL), s->get(s->ctx, "password", NULL),
		s->get(s->ctx, "dbname", NULL), "gatepost", NULL };

	return PQconnectStartParams(keys, values, 0);
}

static PGconn *connect_to(const struct driver_settings *s, char *host, int64_t until, char *why)
{
	PGconn *c = start(s, host);
	PostgresPollingStatusType state = PGRES_POLLING_WRITING;

	while (c != NULL && PQstatus(c) != CONNECTION_BAD && state != PGRES_POLLING_OK && state != PGRES_POLLING_FAILED) {
		if (wait_for(c, state == PGRES_POLLING_READING ? POLLIN : POLLOUT, until) < 0)
			break;
		state = PQconnectPoll(c);
	}
	if (c != NULL && state == PGRES_POLLING_OK && PQsetClientEncoding(c, s->get(s->ctx, "encoding", "UTF8")) == 0)
		return c;
	explain(why, host, c == NULL ? "out of memory" : *PQerrorMessage(c) != '\0' ? PQerrorMessage(c) : "no connection in time");
	PQfinish(c);
	return NULL;
}

/* The hosts in turn, each with an equal share of the time that is left at its turn at most halved. */
static void *connect_any(const struct driver_settings *s, int timeout_ms, char *why)
{
	const char *hosts = s->get(s->ctx, "hosts", "localhost");
	int64_t end = now_ms() + timeout_ms;
	PGconn *c = NULL;

	while (c == NULL && *hosts != '\0') {
		char host[HOST_MAX];
		size_t n = strcspn(hosts, ", \t");
		int64_t left = end - now_ms();
		int last = hosts[n + strspn(hosts + n, ", \t")] == '\0';

		if (n > 0 && n < sizeof host && left > 0) {
			memcpy(host, hosts, n);
			host[n] = '\0';
			c = connect_to(s, host, last ? end : now_ms() + left / 2, why);
		}
		hosts += n + strspn(hosts + n, ", \t");
	}
	return c;
}

static size_t quote(void *connection, int template_number, const char *p, size_t n, char *out)
{
	int error = 0;
	size_t used;

	(void)template_number; /* there is one */
	used = PQescapeStringConn(connection, out, p, n, &error);
	if (error == 0)
		return used;
	for (used = 0; used < n; used++) /* not text in this encoding: no key of the database either */
		out[used] = '?';
	return used;
}

static int take_rows(const PGresult *r, const struct driver_sink *sink)
{
	for (int row = 0; row < PQntuples(r); row++)
		for (int column = 0; column < PQnfields(r); column++)
			if (sink->value(sink->ctx, PQgetvalue(r, row, column), (size_t)PQgetlength(r, row, column)) != 0)
				return -1;
	return 0;
}

static int take_result(PGconn *c, const struct driver_sink *sink, char *why)
{
	PGresult *r;
	int rc = -1;

	r = PQgetResult(c);
	if (r == NULL || PQresultStatus(r) != PGRES_TUPLES_OK)
		explain(why, "query", r == NULL ? PQerrorMessage(c) : PQresultErrorMessage(r));
	else
		rc = take_rows(r, sink);
	PQclear(r);
	while ((r = PQgetResult(c)) != NULL) /* the end mark */
		PQclear(r);
	return rc;
}

static int ask(void *connection, const char *const *texts, const struct driver_sink *sink, int timeout_ms, char *why)
{
	PGconn *c = connection;
	int64_t until = now_ms() + timeout_ms;

	/* With parameters, even none, it must be one statement. */
	if (PQsendQueryParams(c, texts[0], 0, NULL, NULL, NULL, NULL, 0) == 0) {
		explain(why, "query", PQerrorMessage(c));
		return -1;
	}
	while (PQisBusy(c)) {
		if (wait_for(c, POLLIN, until) < 0) {
			explain(why, "query", "no answer in time");
			return -1;
		}
		if (PQconsumeInput(c) == 0) {
			explain(why, "query", PQerrorMessage(c));
			return -1;
		}
	}
	return take_result(c, sink, why);
}

static void disconnect(void *connection)
{
	PQfinish(connection);
}

extern const struct driver gatepost_driver;
const struct driver gatepost_driver = { DRIVER_VERSION, names, templates, defaults, check_settings, connect_any, quote, ask, disconnect };
