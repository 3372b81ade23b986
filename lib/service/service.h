/* lib/service/service.h - the skeleton every daemon shares: arguments from master, configuration, privilege drop, accept, one fiber per
 * connection, drain on reload or stop.
 *
 * master starts "daemon_directory/<command> -c DIR -n SERVICE -s FDCOUNT [-m CLIENTS] [-q] [-r] -o name=value ... [-- args]" with the
 * listening sockets as descriptors 4..., the counters' memory behind them (lib/base/metrics.h), and descriptor 3 as the control channel to
 * master: it reads EOF when master is gone, and writes 'R' when ready, 'S' before clean exit. The working directory is the queue directory.
 * SIGTERM and master's death mean: accept no more, finish sessions at their next safe point, leave; an 'L' from master (reload) leaves
 * clients of the outside all the time they want. -m: this process's share of the service's clients at once (SERVICE_CROWD: all of them);
 * -q: standard output and error are closed once ready (master runs in the background); -r: chroot column of master.cf; -t: only tell, on
 * standard output, what is wrong with the configuration (exit status 1 when the daemon would not run); "-n" alone does the same with every
 * problem of every file. Without -s a daemon runs alone: without sockets, or, when it has a listen parameter, as its own little master.
 * SIGUSR1 reopens the log, SIGUSR2 logs every fiber. Handled signals are back at their defaults after exec, SIGPIPE and SIGHUP included.
 */
#ifndef GATEPOST_LIB_SERVICE_SERVICE_H
#define GATEPOST_LIB_SERVICE_SERVICE_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/conf/conf.h"
#include "lib/net/sock.h"
#include "lib/net/stream.h"

struct service {
	const char *command; /* "smtpd": the log tag's second part */
	const char *own_file; /* "policyd.cf": settings over main.cf's; NULL: none */
	const char *listen;   /* parameter: where it listens when started without master; NULL: it does not */
	/* After configuration is read and the loop made, before privileges drop: open tables, certificates; errors end the process through
	 * log_fatal. May be NULL. */
	void (*init)(const struct conf *c);
	/* After the drop, in a first fiber, before connections are taken: start background fibers, DNS, pools. May be NULL. */
	void (*start)(const struct conf *c);
	/* One connection; runs in its own fiber; the skeleton closes s afterwards. listener: index of the listening socket. NULL: takes none. */
	void (*serve)(struct stream *s, const struct sock_addr *peer, unsigned listener);
	/* Asked to leave: called once in a fiber when draining begins; may be NULL. The process ends when it has returned and no session is left. */
	void (*drain)(void);
	const char *const *queue_dirs; /* directories of the queue that it works in, NULL at the end; NULL: none. The others it cannot open. */
	unsigned flags;
};

enum {
	SERVICE_KEEP_ROOT = 1, /* local, virtual, pipe: stays root to become the recipient */
	SERVICE_DNS = 2,       /* wants dns_init() */
	SERVICE_ACCEPT_MANUAL = 4, /* serve() is not used; the role reads its sockets itself */
	SERVICE_CROWD = 16, /* connections beyond the limit are accepted, too, up to a point: serve() turns away whom there is no room for */
	SERVICE_CONNECTS_FROM = 32, /* chooses the address that its connections come from */
	SERVICE_MAY_CHROOT = 8 /* opens nothing outside of the queue directory after init(): the chroot column of master.cf is obeyed */
};

int service_main(int argc, char **argv, const struct service *s); /* the daemon's main() returns this */

const char *service_name(void);        /* master.cf service name: "relay", "127.0.0.1:10025" */
const char *const *service_args(size_t *count); /* args after the options (pipe's argv=...) */
const struct conf *service_conf(void);
/* The same with more "name=value"; for the life of the process. NULL with *e. Before privileges drop. */
const struct conf *service_conf_with(const char *const *set, size_t count, struct err *e);
/* Where the service listens that this parameter names: "unix:private/cleanup". Until the next call. */
const char *service_endpoint(const struct conf *c, const char *parameter);
bool service_testing(void);            /* -t: init() is to leave nothing behind */
bool service_draining(void);           /* sessions should end at the next safe point */
bool service_stopping(void);           /* so should those with clients of the outside: nobody takes over */
unsigned service_max_clients(void);    /* with SERVICE_CROWD: of all workers; 0: no limit */
void service_tell_full(void);          /* warn that the limit is reached, in Postfix's words, once a minute */
int service_listener(unsigned i);      /* fd */

#endif
