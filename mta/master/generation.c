/* mta/master/generation.c - from main.cf and master.cf to the services that shall run.
 * Everything that can be wrong with the configuration is found here, before anything that runs is touched.
 */
#include "mta/master/master.h"

#include <sched.h>
#include <string.h>

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/conf/log_file.h"

#define CORES_MAX 16 /* workers by default; more are for those who measured */

/* Their sockets are private or public whatever the row says: other programs rely on it. */
static const struct {
	const char *command;
	bool is_private;
} places[] = {
	{ "bounce", true }, { "cleanup", true }, { "explain", true }, { "metrics", false }, { "pickup", false }, { "policyd", true }, { "qmgr", false },
	{ "trivial-rewrite", true },
};

/* The first fatal problem is in the error record and becomes the caller's message. */
static void report(void *ctx, bool fatal, const char *text)
{
	size_t *fatal_count = ctx;

	if (!fatal)
		log_warn("%s", text);
	else if ((*fatal_count)++ > 0)
		log_error("%s", text);
}

/* ---- one row ---- */

static const char *type_name(enum service_type t)
{
	return t == SERVICE_INET ? "inet" : "unix";
}

/* Is there something to run for this row? */
static bool row_counts(const struct service_row *row)
{
	const struct command *c = command_find(row->command);

	if (c != NULL && (c->flags & COMMAND_REFUSE))
		log_warn("master.cf:%d: service %s: there is no %s in Gatepost; the row is ignored", row->line, row->name, row->command);
	if (c != NULL && (c->flags & (COMMAND_SKIP | COMMAND_REFUSE)))
		return false;
	if (row->type == SERVICE_PASS || row->type == SERVICE_DGRAM)
		return false; /* smtpd behind postscreen, postlogd */
	return strcmp(row->command, "bounce") != 0 || strcmp(row->name, "bounce") == 0; /* not "defer", "trace": status is in the queue file */
}

static struct service_row placed(const struct service_row *row)
{
	struct service_row r = *row;

	if (r.type == SERVICE_FIFO)
		r.type = SERVICE_UNIX; /* pickup and qmgr of old */
	for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
		if (r.type == SERVICE_UNIX && strcmp(r.command, places[i].command) == 0)
			r.is_private = places[i].is_private;
	}
	return r;
}

static const char *program_of(const struct master *m, const struct command *c, const char *name, struct arena *a)
{
	struct str path = arena_printf(a, "%s/%s", m->daemon_dir, name);

	if (access(path.p, X_OK) < 0 && c != NULL && c->program != NULL)
		path = arena_printf(a, "%s/%s", m->daemon_dir, c->program);
	return path.p;
}

static int64_t cores(const struct conf *c)
{
	cpu_set_t set;
	int64_t n = conf_int(c, "default_workers");

	if (n > 0)
		return n;
	n = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
	return n < CORES_MAX ? n : CORES_MAX;
}

/* <command>_workers, or <service>_workers where the name cannot be mistaken for a command's. */
static size_t worker_count(const struct conf *c, const struct service_row *row, unsigned flags)
{
	int64_t n = flags & COMMAND_PARALLEL ? cores(c) : 1;

	if (flags & COMMAND_SINGLE)
		return 1;
	n = conf_workers(c, row->command, n);
	if (row->type == SERVICE_UNIX)
		n = conf_workers(c, row->name, n);
	return n > 0 ? (size_t)n : 1;
}

static unsigned client_share(const struct conf *c, const struct service_row *row, unsigned flags, size_t workers)
{
	size_t all = row->max_clients >= 0 ? (size_t)row->max_clients : (size_t)conf_int(c, "default_process_limit");

	if (!(flags & COMMAND_LIMITED))
		return 0;
	return flags & COMMAND_TOGETHER ? (unsigned)all : (unsigned)((all + workers - 1) / workers);
}

static void make_slots(struct service *s)
{
	s->workers = arena_alloc(s->generation->a, s->worker_count * sizeof *s->workers);
	for (size_t i = 0; i < s->worker_count; i++)
		s->workers[i] = (struct worker){ .service = s, .control = -1 };
}

/* The listeners so far are names only: struct listener with an address. */
static int name_listeners(struct service *s, const struct conf *c, struct err *e)
{
	struct arena *a = s->generation->a;
	struct str *addresses;

	if (listen_addresses(c, s->row, a, &addresses, &s->listener_count, e) < 0)
		return -1;
	s->listeners = arena_alloc(a, (s->listener_count + 1) * sizeof *s->listeners);
	for (size_t i = 0; i < s->listener_count; i++) {
		s->listeners[i] = arena_alloc(a, sizeof **s->listeners);
		s->listeners[i]->address = arena_z(a, addresses[i]);
	}
	return 0;
}

/* With the row's own -o settings, which are checked by this, too. */
static int fill_service(const struct master *m, struct service *s, const struct conf *c, struct err *e)
{
	const struct service_row *row = s->row;
	const struct command *command = command_find(row->command);
	unsigned flags = command == NULL ? 0 : command->flags;

	s->key = arena_printf(s->generation->a, "%s/%s", row->name, type_name(row->type)).p;
	s->command = command != NULL && command->program != NULL && strcmp(row->command, "lmtp") != 0 ? command->program : row->command;
	s->program = program_of(m, command, row->command, s->generation->a);
	s->single = flags & COMMAND_SINGLE;
	s->front = row->type == SERVICE_INET || (flags & COMMAND_FRONT);
	s->worker_count = worker_count(c, row, flags);
	s->clients = client_share(c, row, flags, s->worker_count);
	if (access(s->program, X_OK) < 0)
		return err_perm(e, "master.cf:%d: service %s: no program %s", row->line, row->name, s->program);
	make_slots(s);
	if (strcmp(s->command, "smtpd") == 0) {
		if (m->try_certs && certs_try(c, e) < 0)
			return -1;
		certs_add(s->generation, c);
	}
	return name_listeners(s, c, e);
}

static int add_service(const struct master *m, struct generation *g, const struct service_row *row, struct err *e)
{
	struct service *s = &g->services[g->service_count];
	struct service_row *own = arena_alloc(g->a, sizeof *own);
	struct conf *c;
	int result;

	*own = placed(row);
	*s = (struct service){ .generation = g, .row = own };
	c = row->override_count > 0 ? conf_load(m->conf_dir, row->overrides, row->override_count, NULL, NULL, e) : g->conf;
	if (c == NULL)
		return err_context(e, "master.cf:%d: service %s", row->line, row->name);
	result = fill_service(m, s, c, e);
	if (c != g->conf)
		conf_free(c);
	g->service_count++;
	return result;
}

/* ---- all of them ---- */

static bool has_row(const struct service_row *rows, size_t count, const struct service_row *wanted)
{
	for (size_t i = 0; i < count; i++) {
		if (rows[i].type != SERVICE_INET && strcmp(rows[i].name, wanted->name) == 0)
			return true;
	}
	return false;
}

static int add_services(const struct master *m, struct generation *g, struct err *e)
{
	struct service_row *rows;
	size_t count;

	if (master_cf_load(m->conf_dir, g->a, &rows, &count, e) < 0)
		return -1;
	master_cf_join_postscreen(g->a, rows, count, conf_str(g->conf, "smtpd_service_name"));
	g->services = arena_alloc(g->a, (count + default_row_count) * sizeof *g->services);
	for (size_t i = 0; i < count; i++) {
		if (row_counts(&rows[i]) && add_service(m, g, &rows[i], e) < 0)
			return -1;
	}
	for (size_t i = 0; i < default_row_count; i++) {
		if (!has_row(rows, count, &default_rows[i]) && add_service(m, g, &default_rows[i], e) < 0)
			return -1;
	}
	return 0;
}

static int check_log_file(const struct master *m, const struct conf *c, struct err *e)
{
	const char *file = conf_str(c, "maillog_file");

	if (conf_check_log(c, e) < 0)
		return err_context(e, "maillog_file");
	if (strcmp(file, "/dev/stdout") == 0 && m->detached)
		return err_perm(e, "maillog_file = /dev/stdout needs a master in the foreground");
	return 0;
}

struct generation *generation_load(const struct master *m, struct err *e)
{
	struct generation *g = mem_alloc(sizeof *g);
	size_t fatal_count = 0;

	list_init(&g->all);
	g->a = arena_new("master generation");
	g->conf = conf_load(m->conf_dir, NULL, 0, report, &fatal_count, e);
	if (g->conf != NULL && check_log_file(m, g->conf, e) == 0 && add_services(m, g, e) == 0)
		return g;
	generation_free(g);
	return NULL;
}

void generation_free(struct generation *g)
{
	list_del(&g->all);
	conf_free(g->conf);
	arena_free(g->a);
	mem_free(g);
}

struct service *generation_find(struct generation *g, const char *key)
{
	for (size_t i = 0; i < g->service_count; i++) {
		if (strcmp(g->services[i].key, key) == 0)
			return &g->services[i];
	}
	return NULL;
}
