/* mta/master/master.h - what the files of master share.
 *
 * A generation is one reading of main.cf and master.cf: the services, what each runs, and its worker slots. A reload makes a new
 * generation; the old one lives until its last worker has left. Listening sockets belong to no generation: they are kept by address, so
 * that no connection is lost between two of them.
 */
#ifndef GATEPOST_MTA_MASTER_MASTER_H
#define GATEPOST_MTA_MASTER_MASTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/base/arena.h"
#include "lib/base/err.h"
#include "lib/base/list.h"
#include "lib/conf/commands.h"
#include "lib/conf/conf.h"
#include "lib/conf/master_cf.h"

struct listener { /* one listening socket */
	struct list all;
	char *address; /* "inet:127.0.0.1:25", "unix:private/cleanup" */
	char *path;    /* of a unix socket, else NULL */
	int fd;
	bool wanted; /* while a new generation is being made */
	bool opened; /* for it */
};

struct worker { /* a process, or the place for one */
	struct service *service;
	pid_t pid;   /* 0: none */
	int control; /* our end of the control channel, -1: none */
	bool ready, leaving, told_to_leave;
	bool told_gently; /* its clients may finish */
	int64_t started_at;
	int64_t start_at;  /* when the next process may start; DEADLINE_NEVER: when pid has left */
	unsigned failures; /* deaths in a row, each within LIFE_LONG_ENOUGH_MS */
};

struct service {
	struct generation *generation;
	const struct service_row *row;
	const char *key;     /* "smtp/inet": the same service in another generation has the same */
	const char *command; /* what it is called: argv[0] */
	const char *program; /* what runs: path */
	bool single;  /* never two of a kind: the old one leaves before the new one starts */
	bool front;   /* brings work in: the first to go at a stop */
	unsigned clients; /* at once, for one worker; 0: no limit */
	struct listener **listeners;
	size_t listener_count;
	struct worker *workers;
	size_t worker_count;
	bool took_over; /* older generations' workers were told to leave */
};

struct generation {
	struct list all; /* newest first */
	struct arena *a;
	struct conf *conf;
	struct service *services;
	size_t service_count;
	struct str *cert_files; /* of all services that speak TLS to clients; NUL-terminated */
	size_t cert_file_count;
	int64_t cert_interval_ms, cert_look_at;
	uint32_t certs_used, certs_seen; /* what the files looked like when workers read them, and at the last look */
};

struct master {
	const char *conf_dir;
	const char *daemon_dir;
	struct list generations;
	struct generation *current;
	struct list listeners;
	bool detached; /* in the background */
	bool verbose;
	bool try_certs; /* while a generation is loaded: only with certificates that work */
	struct str ticket_secret; /* for every worker that speaks TLS to clients: they open each other's session tickets */
	int metrics; /* memory of the counters; every worker gets it */
	bool stopping;
	int signals; /* signalfd */
	bool stop_asked, reload_asked, kill_asked; /* by signals */
	unsigned reload_number; /* of the last reload */
	bool reload_under_way; /* its workers are not all ready yet */
};

/* rows.c: the rows that every configuration needs. */

extern const struct service_row default_rows[];
extern const size_t default_row_count;

/* generation.c */

/* Read DIR/main.cf and master.cf into a new generation, checked; sockets are not opened yet. NULL with *e. */
struct generation *generation_load(const struct master *m, struct err *e);
void generation_free(struct generation *g);
struct service *generation_find(struct generation *g, const char *key);

/* certs.c */

void certs_add(struct generation *g, const struct conf *c);       /* the files of one service are watched, too */
int certs_try(const struct conf *c, struct err *e);               /* can they be used? 0 or -1 */
void certs_watch(struct generation *g, const struct generation *before); /* from now on */
bool certs_changed(struct generation *g);                         /* true once for each change; looks when it is time */

/* listen.c */

/* Open what g needs and is not open yet, and close what it does not need. patient: an address in use may become free in a moment (workers
 * of a master that died). On failure everything is as before. 0, or -1 with *e. */
int listen_open(struct master *m, struct generation *g, bool patient, struct err *e);
void listen_close_unwanted(struct master *m);
/* Addresses of one row, "inet:host:port" or "unix:path", in a. The names of hosts are looked up here. 0, or -1 with *e. */
int listen_addresses(const struct conf *c, const struct service_row *row, struct arena *a, struct str **out, size_t *count, struct err *e);

/* directories.c: the queue's directories and their owners. Working directory = queue directory afterwards. */
int directories_prepare(const struct conf *c, struct err *e);
void directories_own_log(const struct conf *c);

/* spawn.c: fork and exec. 0; -1: not possible now, with *e. */
int spawn_worker(const struct master *m, struct worker *w, struct err *e);

/* workers.c: the life and death of worker processes */

void workers_start_due(struct master *m);                 /* start what is due */
int64_t workers_next_due(const struct master *m);         /* when the next is */
void workers_heard(struct master *m, struct worker *w);   /* its control channel is readable */
void workers_reap(struct master *m);                      /* after SIGCHLD */
void workers_retire(struct service *s, bool gently);      /* tell all to leave; gently: a successor is there, clients may finish */
void workers_signal(struct master *m, int signum);        /* to all */
void workers_take_over(struct master *m);                 /* after a reload: single services change hands, dropped ones leave */
size_t workers_alive(const struct master *m, bool front); /* how many processes; front: only of services that bring work in */
bool workers_all_ready(const struct master *m);
const struct worker *workers_failed(const struct master *m); /* one that died already, or NULL; for the start */
/* fn(ctx, w) for every process there is. */
void workers_visit(const struct master *m, void (*fn)(void *ctx, struct worker *w), void *ctx);

/* master.c */
void master_open_log(const struct conf *c);
void master_adopt(struct master *m, struct generation *g);

/* reload.c. What becomes of a reload is written to process_id_directory/RELOAD_FILE, where `gatepost reload` waits for it: the reload's number,
 * "busy", "done", "refused" (the old configuration stays) or "failed" (a service of the new one does not start), and why. */
#define RELOAD_FILE "master.reload"
void reload_prepare(struct master *m);
void reload_or_stay(struct master *m);     /* asked for */
void reload_certificates(struct master *m); /* their files have changed */
void reload_settle(struct master *m);      /* after every turn of the loop: is the new generation up? */

/* loop.c */
void loop_prepare(struct master *m); /* signals become events */
void loop_turn(struct master *m, int64_t deadline); /* wait for one event or the deadline, and handle what there is */

/* stop.c: tell all workers to leave, those that bring work in first; wait shutdown_grace_time for them, then end what is left. */
void stop_all(struct master *m);

/* notify.c: words to the service manager that started us (sd_notify(3), NOTIFY_SOCKET); nothing happens when there is none. */
void notify_open(void);
void notify_state(const char *fmt, ...) __attribute__((format(printf, 1, 2))); /* "READY=1" and the like */
void notify_reloading(void); /* READY=1 has to follow */
int64_t notify_watchdog(void); /* tell it that we live, when that is due (WATCHDOG_USEC); when it is due again */

/* start.c: into the background. The parent waits for the outcome and ends with it. */
void start_detach(void);
void start_succeeded(void); /* the parent may go; no terminal from now on */

#endif
