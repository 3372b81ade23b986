/* lib/service/service.c - the life of a daemon: start, serve, drain, leave.
 * A worker that loses its master finishes its sessions and leaves: a new master has new workers.
 */
#include "lib/service/service.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <event2/event.h>

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/conf/confinement.h"
#include "lib/base/metrics.h"
#include "lib/mail/addr.h"
#include "lib/net/dns.h"
#include "lib/net/fiber.h"
#include "lib/net/loop.h"
#include "lib/net/story.h"
#include "lib/service/parts.h"

#define FIRST_REQUEST_MS 100 /* after accept(): whoever connected in time says what it wants */

static struct {
	const struct service *what;
	struct service_options options;
	struct conf *conf;
	struct event *control;
	bool started;  /* start() has returned */
	bool leaving;  /* accepts no more */
	bool draining;
	bool stopping; /* not for a successor */
	bool drained;  /* drain() has returned */
} self;

/* ---- what roles may ask ---- */

const char *service_name(void)
{
	return self.options.name;
}

const char *const *service_args(size_t *count)
{
	*count = self.options.arg_count;
	return self.options.args;
}

const struct conf *service_conf(void)
{
	return self.conf;
}

const struct conf *service_conf_with(const char *const *set, size_t count, struct err *e)
{
	const struct service_options *o = &self.options;
	const char **all = mem_array(o->override_count + count, sizeof *all);
	const struct conf *c;

	memcpy(all, o->overrides, o->override_count * sizeof *all);
	memcpy(all + o->override_count, set, count * sizeof *set);
	c = conf_load_own(o->conf_dir, self.what->own_file, all, o->override_count + count, NULL, NULL, e);
	mem_free(all);
	return c;
}

const char *service_endpoint(const struct conf *c, const char *parameter)
{
	static struct buf b;

	buf_clear(&b);
	buf_addf(&b, "unix:private/%s", conf_str(c, parameter));
	return buf_z(&b);
}

bool service_testing(void)
{
	return self.options.test;
}

bool service_draining(void)
{
	return self.draining;
}

bool service_stopping(void)
{
	return self.stopping;
}

unsigned service_max_clients(void)
{
	return self.options.max_clients;
}

int service_listener(unsigned i)
{
	check(i < self.options.listener_count);
	return SERVICE_LISTEN_FD + (int)i;
}

/* ---- talking to master ---- */

static void tell_master(char what)
{
	if (self.options.supervised && send(SERVICE_CONTROL_FD, &what, 1, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		log_debug("cannot tell master '%c': %s", what, strerror(errno));
}

/* ---- the end ---- */

static void leave_if_done(void)
{
	if (self.draining && self.drained && acceptor_sessions() == 0)
		loop_stop();
}

/* A connection that was just accepted gets its first request through; those that wait for their next one are the role's to end. */
static void drain_fiber(void *arg)
{
	(void)arg; /* there is one service */
	if (acceptor_sessions() > 0)
		fiber_sleep(FIRST_REQUEST_MS);
	self.draining = true;
	if (self.what->drain != NULL)
		self.what->drain();
	self.drained = true;
	leave_if_done();
}

/* A process told to leave before start() has returned has served nobody yet: it leaves when start() is through. */
static void drain(void)
{
	if (self.leaving)
		return;
	self.leaving = true;
	acceptor_stop();
	if (self.started)
		fiber_start("drain", drain_fiber, NULL);
}

static void stop(void)
{
	self.stopping = true;
	drain();
}

static void on_term(void *arg)
{
	(void)arg; /* there is one service */
	stop();
}

static void on_control(evutil_socket_t fd, short what, void *arg)
{
	char c;
	ssize_t n = recv(fd, &c, 1, MSG_DONTWAIT);

	(void)what; /* always readable */
	(void)arg;  /* there is one service */
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0) {
		if (c == 'L')
			drain();
		return;
	}
	event_del(self.control);
	stop();
}

/* ---- the beginning ---- */

static void on_log_reopen(void *arg)
{
	(void)arg; /* there is one log */
	log_reopen();
}

static void on_dump(void *arg)
{
	(void)arg; /* all fibers */
	log_info("service %s: %u sessions, %zu fibers", service_name(), acceptor_sessions(), fiber_count());
	fiber_dump();
}

static void on_nothing(void *arg)
{
	(void)arg; /* handled rather than ignored, so that commands we start have the default */
}

static void flush_idle(void *arg)
{
	(void)arg; /* there is one log */
	log_flush();
}

/* master starts us with some of these blocked, so that none comes before its handler. */
static void catch_signals(void)
{
	sigset_t none;

	loop_on_signal(SIGTERM, on_term, NULL);
	loop_on_signal(SIGUSR1, on_log_reopen, NULL);
	loop_on_signal(SIGUSR2, on_dump, NULL);
	loop_on_signal(SIGHUP, on_nothing, NULL);
	/* A terminal's ^C goes to master, too, which then tells us. */
	loop_on_signal(SIGINT, self.options.supervised ? on_nothing : on_term, NULL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static void ignore(int signum)
{
	(void)signum; /* SIGPIPE, SIGXFSZ: write() says EPIPE or EFBIG, too */
}

static void open_log(void)
{
	const char *target = conf_str(self.conf, "maillog_file");
	char ident[80];

	snprintf(ident, sizeof ident, "%s/%s", conf_str(self.conf, "syslog_name"), self.what->command);
	tzset(); /* while the zone file can be read */
	if (*target == '\0')
		target = conf_str(self.conf, "syslog_facility");
	if (!log_open(ident, target))
		log_fatal("cannot log to %s: %s", target, strerror(errno));
	log_verbose(self.options.verbose);
}

/* "policyd -n": every problem. */
static void report_problem(void *ctx, bool fatal, const char *text)
{
	(void)ctx; /* there is one log */
	(fatal ? log_error : log_warn)("%s", text);
}

static void read_conf(const struct service_options *o, const char *ident)
{
	struct err e = ERR_INIT;

	if (o->test)
		log_open(ident, "/dev/stdout");
	self.conf = conf_load_own(o->conf_dir, self.what->own_file, o->overrides, o->override_count, o->thorough ? report_problem : NULL, NULL,
		&e); /* warnings were master's, once */
	if (self.conf != NULL) {
		addr_set_owner_request_special(conf_bool(self.conf, "owner_request_special"));
		addr_log_internal(strcmp(conf_str(self.conf, "info_log_address_format"), "internal") == 0);
		return;
	}
	if (!o->thorough)
		log_fatal("%s", e.text);
	log_flush();
	exit(1);
}

static void load_conf(int argc, char **argv)
{
	struct err e = ERR_INIT;
	const struct service_options *o = &self.options;
	const struct service *s = self.what;
	char ident[80];

	snprintf(ident, sizeof ident, "gatepost/%s", s->command);
	log_open(ident, NULL); /* until we know better */
	if (options_parse(argc, argv, s->command, &self.options, &e) < 0)
		log_fatal("%s", e.text);
	read_conf(o, ident);
	if (!o->test)
		open_log();
	if (chdir(conf_str(self.conf, "queue_directory")) < 0 && !o->test && (s->listen == NULL || chdir("/") < 0))
		log_fatal("cannot change to queue_directory %s: %s", conf_str(self.conf, "queue_directory"), strerror(errno));
}

/* The counters' memory is behind the listeners. */
static int metrics_fd(const struct service_options *o)
{
	return SERVICE_LISTEN_FD + (int)o->listener_count;
}

/* Descriptors from master must not reach programs that a role starts. */
static void own_descriptors(void)
{
	const struct service_options *o = &self.options;

	for (int fd = SERVICE_CONTROL_FD; o->supervised && fd <= metrics_fd(o); fd++) {
		if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
			log_fatal("descriptor %d from master: %s", fd, strerror(errno));
	}
}

static void open_metrics(void)
{
	const struct service_options *o = &self.options;
	int fd = o->supervised ? metrics_fd(o) : -1;

	if (!metrics_open(fd, self.what->command, o->name))
		log_warn("cannot use the counters' memory: %s", strerror(errno));
	if (fd >= 0)
		close(fd);
}

/* Only master's workers have somebody to tell; the explain service itself does not tell stories. */
static void open_story(void)
{
	bool told = self.options.supervised && conf_size(self.conf, "explain_ring_size") > 0 && strcmp(self.what->command, "explain") != 0;

	if (told)
		story_open(self.what->command, "private/explain");
	log_tell(told ? story_log : NULL, conf_bool(self.conf, "log_session_id") ? fiber_tag : NULL);
}

/* Everything that needs the privileges or the whole file system, then without them. */
static void prepare(void)
{
	struct err e = ERR_INIT;
	const struct service *s = self.what;
	bool chroot = self.options.chroot && (s->flags & SERVICE_MAY_CHROOT);

	if (s->init != NULL)
		s->init(self.conf);
	if (self.options.test) {
		log_flush();
		exit(0);
	}
	if ((s->flags & SERVICE_DNS) && dns_init(conf_str(self.conf, "dns_servers"), &e) < 0)
		log_fatal("DNS: %s", e.text);
	if (s->flags & SERVICE_DNS) {
		dns_hosts(conf_str(self.conf, "dns_hosts_file"));
		dns_trust(conf_str(self.conf, "dns_trust_anchor_file"));
	}
	if (privilege_drop(conf_str(self.conf, "mail_owner"), s->flags & SERVICE_KEEP_ROOT, chroot ? conf_str(self.conf, "queue_directory") : NULL,
		    &e) < 0)
		log_fatal("%s", e.text);
	if (!(s->flags & SERVICE_KEEP_ROOT) &&
		conf_confine(self.conf, chroot ? "/" : NULL, s->queue_dirs, s->flags & SERVICE_CONNECTS_FROM, &e) < 0)
		log_fatal("%s", e.text);
}

/* Whoever started master may be waiting for the end of our output. */
static void close_output(void)
{
	int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

	if (null < 0)
		return;
	dup2(null, STDOUT_FILENO);
	dup2(null, STDERR_FILENO);
	close(null);
}

static void watch_master(void)
{
	self.control = event_new(loop_base(), SERVICE_CONTROL_FD, EV_READ | EV_PERSIST, on_control, NULL);
	check(self.control != NULL);
	event_add(self.control, NULL);
}

static void first_fiber(void *arg)
{
	struct acceptor_settings set = {
		.service = self.what,
		.listener_count = self.options.listener_count,
		.max_clients = self.options.max_clients,
		.max_use = conf_int(self.conf, "max_use"),
		.on_idle = leave_if_done,
		.on_used_up = drain,
	};

	(void)arg; /* there is one service */
	if (self.what->start != NULL)
		self.what->start(self.conf);
	self.started = true;
	if (self.leaving) {
		drain_fiber(NULL);
		return;
	}
	if (self.what->serve != NULL && !(self.what->flags & SERVICE_ACCEPT_MANUAL))
		acceptor_start(&set);
	tell_master('R');
	if (self.options.quiet)
		close_output();
}

int service_main(int argc, char **argv, const struct service *s)
{
	struct sigaction sa = { .sa_handler = ignore, .sa_flags = SA_RESTART };

	self.what = s;
	sigaction(SIGPIPE, &sa, NULL);
	sigaction(SIGXFSZ, &sa, NULL);
	load_conf(argc, argv);
	umask(077);
	if (s->listen != NULL && !self.options.supervised && !self.options.test)
		return alone_run(&self.options, s, self.conf);
	own_descriptors();
	open_metrics();
	privilege_raise_descriptors();
	loop_init();
	catch_signals();
	loop_on_idle(flush_idle, NULL);
	open_story();
	prepare();
	if (self.options.supervised)
		watch_master();
	fiber_start("start", first_fiber, NULL);
	loop_run();
	story_flush();
	tell_master('S');
	log_flush();
	return 0;
}
