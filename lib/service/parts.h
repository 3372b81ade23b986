/* lib/service/parts.h - what the files of lib/service share: command line, privileges, acceptor. */
#ifndef GATEPOST_LIB_SERVICE_PARTS_H
#define GATEPOST_LIB_SERVICE_PARTS_H

#include "lib/service/service.h"

#define SERVICE_CONTROL_FD 3
#define SERVICE_LISTEN_FD 4
#define SERVICE_LISTENERS_MAX 256

struct service_options {
	const char *conf_dir;
	const char *name;
	unsigned listener_count;
	unsigned max_clients; /* 0: no limit */
	bool supervised;      /* there is a master behind SERVICE_CONTROL_FD */
	bool quiet;           /* standard error goes when ready */
	bool chroot;
	bool test;            /* read the configuration, say what is wrong with it on standard output, and leave */
	bool thorough;        /* ... of every file, and all of it */
	bool verbose;
	const char **overrides; /* "name=value", ours first */
	size_t override_count;
	const char *const *args;
	size_t arg_count;
};

/* Fill *o from the command line. 0, or -1 with *e. Lives as long as argv. */
int options_parse(int argc, char **argv, const char *command, struct service_options *o, struct err *e);

/* Become mail_owner when started by root (not with keep_root), under chroot_dir if that is not NULL; verified. Blocks. 0 or -1 with *e. */
int privilege_drop(const char *mail_owner, bool keep_root, const char *chroot_dir, struct err *e);
void privilege_raise_descriptors(void); /* soft RLIMIT_NOFILE as high as allowed */

/* A daemon without master: this process holds the sockets of parameter listen and keeps workers of the same program running, new ones after
 * SIGHUP, until SIGTERM. Returns the exit status. Blocks. */
int alone_run(const struct service_options *o, const struct service *s, const struct conf *c);

/* Take connections on all listeners, at most max_clients at once (0: no limit), one fiber each; on_idle() is called whenever the last
 * session ended, on_used_up() when max_use (0: no limit) connections were taken. */
struct acceptor_settings {
	const struct service *service;
	unsigned listener_count, max_clients;
	int64_t max_use;
	void (*on_idle)(void);
	void (*on_used_up)(void);
};

void acceptor_start(const struct acceptor_settings *set);
void acceptor_stop(void); /* no more connections; closes the listeners */
unsigned acceptor_sessions(void);

#endif
