/* mta/master/reload.c - reload: a new generation beside the old one, and word of its outcome to who asked for it. */
#include "mta/master/master.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/fs.h"
#include "lib/base/log.h"
#include "lib/base/metrics.h"

/* ---- the outcome ---- */

/* One line, "NUMBER WORD TEXT": who reads half of it reads again. */
static void tell(const struct master *m, const char *word, const char *text)
{
	struct buf path = { 0 }, line = { 0 };
	struct err e = ERR_INIT;
	int fd;

	buf_addf(&path, "%s/%s", conf_str(m->current->conf, "process_id_directory"), RELOAD_FILE);
	buf_addf(&line, "%u %s %s\n", m->reload_number, word, text);
	fd = open(buf_z(&path), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644);
	if (fd < 0 || fs_write_all(fd, line.p, line.n, &e) < 0)
		log_warn("cannot write %s/%s: %s", conf_str(m->current->conf, "queue_directory"), buf_z(&path), fd < 0 ? strerror(errno) : e.text);
	if (fd >= 0)
		close(fd);
	buf_done(&path);
	buf_done(&line);
}

static void finish(struct master *m, const char *word, const char *text)
{
	m->reload_under_way = false;
	tell(m, word, text);
	notify_state("READY=1");
}

/* What an earlier master told is over. */
void reload_prepare(struct master *m)
{
	tell(m, "done", "");
}

/* ---- the change ---- */

static void change_over(struct master *m, struct generation *g)
{
	bool same_log = strcmp(conf_str(g->conf, "maillog_file"), conf_str(m->current->conf, "maillog_file")) == 0;

	listen_close_unwanted(m);
	master_adopt(m, g);
	if (!same_log)
		master_open_log(g->conf);
	workers_take_over(m);
	workers_start_due(m);
}

static int reload(struct master *m, struct err *e)
{
	struct generation *g = generation_load(m, e);

	if (g == NULL)
		return -1;
	if (strcmp(conf_str(g->conf, "queue_directory"), conf_str(m->current->conf, "queue_directory")) != 0)
		err_perm(e, "a new queue_directory needs a stop and a start");
	else if (listen_open(m, g, false, e) == 0) {
		change_over(m, g);
		return 0;
	}
	generation_free(g);
	return -1;
}

/* Workers start anew from what is installed now; we do not. */
static bool replaced(void)
{
	static const char deleted[] = " (deleted)";
	char path[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", path, sizeof path), tail = (ssize_t)sizeof deleted - 1;

	return n > tail && memcmp(path + n - tail, deleted, (size_t)tail) == 0;
}

void reload_or_stay(struct master *m)
{
	struct err e = ERR_INIT;

	m->reload_asked = false;
	m->reload_number++;
	m->reload_under_way = true;
	tell(m, "busy", "");
	log_info("reload -- version %s, configuration %s", GATEPOST_VERSION, m->conf_dir);
	notify_reloading();
	if (reload(m, &e) < 0) {
		metric_count(METRIC_RELOADS, "failed", NULL, NULL);
		log_error("%s; the old configuration stays", e.text);
		finish(m, "refused", e.text);
	} else {
		metric_count(METRIC_RELOADS, "done", NULL, NULL);
		if (replaced())
			log_info("the new programs are in use, but master is still the old one: stop and start when it suits");
	}
}

void reload_settle(struct master *m)
{
	const struct worker *failed;

	if (!m->reload_under_way)
		return;
	failed = workers_failed(m);
	if (failed != NULL)
		finish(m, "failed", failed->service->row->name);
	else if (workers_all_ready(m))
		finish(m, "done", "");
}

/* Certificates were renewed. Broken ones are left alone: the workers there are go on with what they have. */
void reload_certificates(struct master *m)
{
	struct err e = ERR_INIT;

	log_info("certificate files have changed: starting workers that use them");
	m->try_certs = true;
	if (reload(m, &e) < 0)
		log_error("%s; the certificates in use stay", e.text);
	m->try_certs = false;
}
