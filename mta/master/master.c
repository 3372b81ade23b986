/* mta/master/master.c - starts and supervises the workers that master.cf and Gatepost itself ask for.
 *
 * Security: runs as root when started by root. It reads configuration, the password file, signals and single bytes from its own workers;
 * nothing that came from outside. It opens all listening sockets, so that workers can give up root before they read from them.
 *
 * Wakeup column: pickup, qmgr and the others keep their own timers; nothing is poked.
 * Signals: TERM and INT stop (twice: at once), HUP reads the configuration again, USR1 reopens logs, USR2 makes workers log their fibers.
 */
#include "mta/master/master.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "lib/base/clock.h"
#include "lib/base/fs.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/metrics.h"
#include "lib/service/server_tls.h"

#define START_TIMEOUT_MS 60000
#define DESCRIPTORS_WANTED 65536
#define LOCK_ATTEMPTS 5
#define LOCK_PAUSE_MS 20

struct options {
	const char *conf_dir;
	bool foreground, test, verbose;
};

static struct options parse_options(int argc, char **argv)
{
	struct options o = { .conf_dir = GATEPOST_CONFIG_DIR };
	int option;

	while ((option = getopt(argc, argv, "c:distvw")) != -1) {
		switch (option) {
		case 'c':
			o.conf_dir = optarg;
			break;
		case 'd':
		case 'i':
		case 's':
			o.foreground = true;
			break;
		case 't':
			o.test = true;
			break;
		case 'v':
			o.verbose = true;
			break;
		case 'w': /* that is how it is anyway */
			break;
		default:
			log_fatal("usage: master [-c config_dir] [-d | -i | -s] [-t] [-v] [-w]");
		}
	}
	return o;
}

/* ---- where the daemons are ---- */

static char *own_directory(void)
{
	char path[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
	char *slash;

	if (n <= 0)
		return mem_strdup(GATEPOST_DAEMON_DIR);
	path[n] = '\0';
	slash = strrchr(path, '/');
	*slash = '\0';
	return mem_strdup(path);
}

/* A main.cf that was Postfix's may say where Postfix's daemons are; starting those would not end well. */
static const char *find_daemons(const char *conf_dir)
{
	struct err e = ERR_INIT;
	struct conf *c = conf_load(conf_dir, NULL, 0, NULL, NULL, &e);
	const char *dir = NULL;
	struct buf probe = { 0 };

	if (c != NULL && *conf_str(c, "daemon_directory") != '\0') {
		buf_addf(&probe, "%s/trivial-rewrite", conf_str(c, "daemon_directory"));
		if (fs_exists(buf_z(&probe)))
			dir = mem_strdup(conf_str(c, "daemon_directory"));
	}
	conf_free(c);
	buf_done(&probe);
	return dir != NULL ? dir : own_directory();
}

/* ---- being the only one ---- */

/* The lock lives as long as the process. Whoever asks whether a master runs holds it for an instant: that is waited for. */
static int lock(const struct conf *c, struct err *e)
{
	struct buf path = { 0 };
	char pid[16];
	int fd = -1;

	buf_addf(&path, "%s/master.pid", conf_str(c, "process_id_directory"));
	for (int attempt = 0; fd < 0 && attempt < LOCK_ATTEMPTS; attempt++) {
		if (attempt > 0)
			usleep(LOCK_PAUSE_MS * 1000);
		fd = fs_lock_file(buf_z(&path), e);
	}
	buf_done(&path);
	if (fd < 0)
		return -1;
	snprintf(pid, sizeof pid, "%ld\n", (long)getpid());
	if (fchmod(fd, 0644) < 0 || ftruncate(fd, 0) < 0 || fs_pwrite_all(fd, pid, strlen(pid), 0, e) < 0)
		log_warn("cannot write the pid file: %s", e->text);
	return fd;
}

/* -t: zero when no master runs. */
static int test_lock(const char *conf_dir)
{
	struct err e = ERR_INIT;
	struct conf *c = conf_load(conf_dir, NULL, 0, NULL, NULL, &e);
	struct buf path = { 0 };
	bool free_to_start;

	if (c == NULL)
		log_fatal("%s", e.text);
	buf_addf(&path, "%s/%s/master.pid", conf_str(c, "queue_directory"), conf_str(c, "process_id_directory"));
	free_to_start = !fs_exists(buf_z(&path)) || fs_lock_file(buf_z(&path), &e) >= 0;
	buf_done(&path);
	conf_free(c);
	return free_to_start ? 0 : 1;
}

/* ---- start ---- */

void master_open_log(const struct conf *c)
{
	const char *target = conf_str(c, "maillog_file");
	char ident[80];

	if (*target == '\0')
		target = conf_str(c, "syslog_facility");
	snprintf(ident, sizeof ident, "%s/master", conf_str(c, "syslog_name"));
	if (!log_open(ident, target))
		log_fatal("cannot log to %s: %s", target, strerror(errno));
	directories_own_log(c);
}

static void raise_descriptors(void)
{
	struct rlimit lim;

	if (getrlimit(RLIMIT_NOFILE, &lim) < 0)
		return;
	if (geteuid() == 0 && lim.rlim_max < DESCRIPTORS_WANTED)
		lim.rlim_max = DESCRIPTORS_WANTED;
	lim.rlim_cur = lim.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &lim); /* what we have will do, then */
}

void master_adopt(struct master *m, struct generation *g)
{
	certs_watch(g, m->current);
	list_add_head(&m->generations, &g->all);
	m->current = g;
}

/* All but the workers; what fails here ends the start. */
static void prepare(struct master *m)
{
	struct err e = ERR_INIT;
	struct generation *g = generation_load(m, &e);

	if (g == NULL || directories_prepare(g->conf, &e) < 0 || lock(g->conf, &e) < 0)
		log_fatal("%s", e.text);
	master_adopt(m, g);
	master_open_log(g->conf);
	log_verbose(m->verbose);
	if (listen_open(m, g, true, &e) < 0)
		log_fatal("%s", e.text);
}

/* Wait until every service is ready; the first that is not able to ends the whole start. */
static void start_workers(struct master *m)
{
	int64_t deadline = deadline_in(START_TIMEOUT_MS);
	const struct worker *failed = NULL;

	workers_start_due(m);
	while (!workers_all_ready(m) && failed == NULL && !m->stop_asked && clock_mono_ms() < deadline) {
		loop_turn(m, deadline);
		failed = workers_failed(m);
	}
	if (workers_all_ready(m) && failed == NULL)
		return;
	stop_all(m);
	if (failed != NULL)
		log_fatal("service %s: %s could not start", failed->service->row->name, failed->service->program);
	log_fatal(m->stop_asked ? "stopped before all services were ready" : "not all services were ready in time");
}

/* ---- what workers are given ---- */

static void make_ticket_secret(struct master *m)
{
	struct buf text = { 0 };

	buf_addz(&text, SERVER_TLS_TICKETS "=");
	tls_tickets_secret(&text);
	m->ticket_secret = str_z(mem_strdup(buf_z(&text)));
	buf_done(&text);
}

static void make_metrics(struct master *m)
{
	m->metrics = metrics_create();
	if (m->metrics < 0 || !metrics_open(m->metrics, "master", "master"))
		log_fatal("cannot make memory for counters: %s", strerror(errno));
}

int main(int argc, char **argv)
{
	struct options o = parse_options(argc, argv);
	struct master m = { .conf_dir = realpath(o.conf_dir, NULL), .detached = !o.foreground, .verbose = o.verbose, .signals = -1 };

	if (m.conf_dir == NULL)
		log_fatal("configuration directory %s: %s", o.conf_dir, strerror(errno));
	if (o.test)
		return test_lock(m.conf_dir);
	m.daemon_dir = find_daemons(m.conf_dir);
	list_init(&m.generations);
	list_init(&m.listeners);
	umask(022);
	close_range(STDERR_FILENO + 1, UINT_MAX, 0); /* whatever we were started with is not for daemons */
	raise_descriptors();
	make_ticket_secret(&m);
	if (m.detached)
		start_detach();
	make_metrics(&m); /* as the process that stays */
	notify_open();
	prepare(&m);
	loop_prepare(&m);
	start_workers(&m);
	log_info("daemon started -- version %s, configuration %s", GATEPOST_VERSION, m.conf_dir);
	notify_state("READY=1\nMAINPID=%ld\nSTATUS=taking mail", (long)getpid());
	reload_prepare(&m);
	start_succeeded();
	while (!m.stop_asked) {
		loop_turn(&m, m.current->cert_look_at);
		if (certs_changed(m.current) && !m.stop_asked)
			reload_certificates(&m);
		if (m.reload_asked && !m.stop_asked)
			reload_or_stay(&m);
		reload_settle(&m);
	}
	notify_state("STOPPING=1");
	stop_all(&m);
	log_flush();
	return 0;
}
