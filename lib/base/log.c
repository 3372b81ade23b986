/* lib/base/log.c - log lines: formatted at once, collected, and written without ever waiting for the target.
 * One static buffer holds what is not written yet, so that logging works when memory does not. A forked child does not
 * write its parent's lines again.
 */
#include "lib/base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <syslog.h>

#include "lib/base/clock.h"
#include "lib/base/format.h"
#include "lib/base/mem.h"
#include "lib/base/str.h"

#define TEXT_MAX 2000         /* octets of one line's text */
#define HEAD_MAX 512          /* octets in front of the text */
#define SESSION_MAX 64        /* octets of its session's tag */
#define PENDING_MAX (256 * 1024)
#define FLUSH_AT (32 * 1024)  /* do not wait for the end of the loop turn */
#define RECONNECT_MS 1000     /* between attempts to reach a dead syslog */

enum target { TO_STDERR, TO_SYSLOG, TO_FILE, TO_STDOUT };

static struct {
	enum target target;
	int fd;
	int facility;
	bool verbose;
	bool atomic_only; /* a pipe: larger writes would mix with those of other processes */
	bool is_socket;   /* not every descriptor takes send(2) */
	char ident[80], host[64], path[PATH_MAX];
	time_t stamp_of; /* the second that stamp was made for */
	char stamp[32];
	pid_t pid; /* whose lines are pending */
	int64_t reconnect_at;
	size_t dropped;
	size_t pending;
	void (*tell)(const char *level, const char *text, size_t n);
	const char *(*session)(void);
	char lines[PENDING_MAX];
} out = { .fd = -1 };

static const struct level {
	const char *word, *name;
	int severity; /* syslog's */
} info = { "", "", LOG_INFO }, warning = { "warning: ", "warning", LOG_WARNING }, error = { "error: ", "error", LOG_ERR },
  fatal = { "fatal: ", "fatal", LOG_CRIT }, debug = { "", "", LOG_INFO };

static const struct facility {
	const char *name;
	int number;
} facilities[] = {
	{ "mail", LOG_MAIL },
	{ "daemon", LOG_DAEMON },
	{ "user", LOG_USER },
	{ "syslog", LOG_SYSLOG },
	{ "auth", LOG_AUTH },
	{ "authpriv", LOG_AUTHPRIV },
	{ "news", LOG_NEWS },
	{ "uucp", LOG_UUCP },
	{ "local0", LOG_LOCAL0 },
	{ "local1", LOG_LOCAL1 },
	{ "local2", LOG_LOCAL2 },
	{ "local3", LOG_LOCAL3 },
	{ "local4", LOG_LOCAL4 },
	{ "local5", LOG_LOCAL5 },
	{ "local6", LOG_LOCAL6 },
	{ "local7", LOG_LOCAL7 },
};

/* ---- targets ---- */

static int syslog_connect(void)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX, .sun_path = "/dev/log" };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof to) < 0) {
		close(fd);
		fd = -1;
	}
	return fd;
}

static int file_open(const char *path)
{
	int fd = open(path, O_WRONLY | O_APPEND | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);

	if (fd >= 0 || errno != ENOENT)
		return fd;
	fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0644);
	if (fd >= 0)
		(void)fchmod(fd, 0644); /* daemons have a strict umask; reading the log is for more than the mail owner */
	return fd;
}

/* Our standard output as an open file of its own, so that making it non-blocking does not hit others who share it. A socket
 * cannot be opened again; it is written with MSG_DONTWAIT. */
static int stdout_open(void)
{
	int fd = open("/proc/self/fd/1", O_WRONLY | O_APPEND | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);

	return fd >= 0 ? fd : fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
}

static bool facility_set(const char *name)
{
	for (size_t i = 0; i < sizeof facilities / sizeof *facilities; i++) {
		if (strcmp(facilities[i].name, name) == 0) {
			out.facility = facilities[i].number;
			return true;
		}
	}
	return false;
}

static void use(enum target target, int fd)
{
	struct stat st;

	if (out.fd >= 0)
		close(out.fd);
	out.target = target;
	out.fd = fd;
	if (fd < 0 || fstat(fd, &st) < 0)
		st.st_mode = 0;
	out.atomic_only = S_ISFIFO(st.st_mode);
	out.is_socket = S_ISSOCK(st.st_mode);
}

static void names_set(const char *ident)
{
	snprintf(out.ident, sizeof out.ident, "%s", ident);
	if (gethostname(out.host, sizeof out.host - 1) < 0)
		out.host[0] = '\0';
	out.host[strcspn(out.host, ".")] = '\0';
}

static bool target_open(const char *target)
{
	int fd;

	if (target == NULL || *target == '\0')
		target = "mail";
	if (strchr(target, '/') == NULL) {
		if (!facility_set(target))
			return false;
		use(TO_SYSLOG, syslog_connect());
		return true;
	}
	fd = strcmp(target, "/dev/stdout") == 0 ? stdout_open() : file_open(target);
	if (fd < 0)
		return false;
	snprintf(out.path, sizeof out.path, "%s", target);
	use(strcmp(target, "/dev/stdout") == 0 ? TO_STDOUT : TO_FILE, fd);
	return true;
}

bool log_open(const char *ident, const char *target)
{
	static bool registered;

	names_set(ident);
	if (!target_open(target))
		return false;
	if (!registered)
		registered = atexit(log_flush) == 0;
	return true;
}

void log_reopen(void)
{
	int fd;

	log_flush();
	if (out.target == TO_SYSLOG)
		use(TO_SYSLOG, syslog_connect());
	if (out.target != TO_FILE)
		return;
	fd = file_open(out.path);
	if (fd >= 0)
		use(TO_FILE, fd);
	else
		log_warn("cannot reopen log file %s: %s", out.path, strerror(errno));
}

void log_verbose(bool on)
{
	out.verbose = on;
}

/* ---- writing what is pending ---- */

static void forget(size_t n)
{
	out.pending -= n;
	memmove(out.lines, out.lines + n, out.pending);
}

/* Octets up to and including the last line end within limit; limit when there is none. */
static size_t whole_lines(size_t limit)
{
	const char *end = memrchr(out.lines, '\n', limit);

	return end == NULL ? limit : (size_t)(end - out.lines) + 1;
}

static void flush_file(void)
{
	while (out.pending > 0) {
		size_t n = out.atomic_only && out.pending > PIPE_BUF ? whole_lines(PIPE_BUF) : out.pending;
		ssize_t done = out.is_socket ? send(out.fd, out.lines, n, MSG_DONTWAIT | MSG_NOSIGNAL) : write(out.fd, out.lines, n);

		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0)
			return;
		forget((size_t)done);
	}
}

/* Send one line; a restarted syslog is connected to once a second. False: keep it for later. */
static bool syslog_send(const char *p, size_t n)
{
	if (out.fd >= 0 && (send(out.fd, p, n, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0 || errno == EMSGSIZE))
		return true;
	if (out.fd >= 0 && (errno == EAGAIN || errno == ENOBUFS))
		return false;
	if (clock_mono_ms() < out.reconnect_at)
		return false;
	out.reconnect_at = deadline_in(RECONNECT_MS);
	use(TO_SYSLOG, syslog_connect());
	return out.fd >= 0 && send(out.fd, p, n, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0;
}

static void flush_syslog(void)
{
	size_t at = 0;

	while (at < out.pending) {
		const char *line = out.lines + at;
		const char *end = memchr(line, '\n', out.pending - at);
		size_t n = end == NULL ? out.pending - at : (size_t)(end - line);

		if (!syslog_send(line, n))
			break;
		at += n + (end != NULL);
	}
	forget(at);
}

static void flush_target(void)
{
	if (out.pending == 0)
		return;
	if (out.target == TO_SYSLOG)
		flush_syslog();
	else if (out.target != TO_STDERR)
		flush_file();
}

void log_flush(void)
{
	size_t dropped = out.dropped;

	flush_target();
	if (dropped == 0 || out.pending > 0)
		return;
	out.dropped = 0;
	log_warn("%zu log lines lost while the log target was not ready", dropped);
	flush_target();
}

/* ---- making lines ---- */

static const char *stamp(void)
{
	time_t now = time(NULL);
	struct tm tm;

	if (now != out.stamp_of) {
		localtime_r(&now, &tm);
		strftime(out.stamp, sizeof out.stamp, "%b %e %H:%M:%S", &tm);
		out.stamp_of = now;
	}
	return out.stamp;
}

/* A forked child has a number of its own, and leaves the parent's lines to the parent. */
static void forked(void)
{
	out.pid = getpid();
	out.pending = out.dropped = 0;
}

static pid_t own_pid(void)
{
	if (out.pid == 0) {
		out.pid = getpid();
		check(pthread_atfork(NULL, NULL, forked) == 0);
	}
	return out.pid;
}

static int print(char *to, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static int print(char *to, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = format_text(to, HEAD_MAX, fmt, ap);
	va_end(ap);
	return n;
}

/* The session that the line belongs to, as the tag that syslog of Solaris puts there: all readers of mail logs skip it, while several read the
 * text to its very end. */
static const char *session_tag(char *to)
{
	const char *id = out.session == NULL ? "" : out.session();

	*to = '\0';
	if (*id != '\0')
		snprintf(to, SESSION_MAX, "[ID 0 sid.%s] ", id);
	return to;
}

/* What stands in front of the text; returns its size. */
static size_t head(char *to, const struct level *level)
{
	char tag[SESSION_MAX];
	int n;

	if (out.target == TO_STDERR)
		n = print(to, "%s: %s", program_invocation_short_name, level->word);
	else if (out.target == TO_SYSLOG)
		n = print(to, "<%d>%s %s[%ld]: %s%s", out.facility | level->severity, stamp(), out.ident, (long)own_pid(), session_tag(tag), level->word);
	else
		n = print(to, "%s %s %s[%ld]: %s%s", stamp(), out.host, out.ident, (long)own_pid(), session_tag(tag), level->word);
	return n < HEAD_MAX ? (size_t)n : HEAD_MAX - 1;
}

static void clean(char *p, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (p[i] < ' ' || p[i] > '~')
			p[i] = '?';
	}
}

/* Keep a complete line, with its line end, for the next flush. */
static void keep(const char *line, size_t n)
{
	if (n > PENDING_MAX - out.pending) {
		out.dropped++;
		return;
	}
	memcpy(out.lines + out.pending, line, n);
	out.pending += n;
	if (out.pending > FLUSH_AT)
		flush_target();
}

static void to_stderr(const char *line, size_t n)
{
	ssize_t done = write(STDERR_FILENO, line, n);

	(void)done; /* nobody is left to tell */
}

static void tell(const struct level *level, const char *text, size_t n)
{
	static bool busy; /* who is told may have something to say himself, even that memory is used up */

	if (busy)
		return;
	busy = true;
	out.tell(level->name, text, n);
	busy = false;
}

void log_tell(void (*tell_one)(const char *level, const char *text, size_t n), const char *(*session)(void))
{
	out.tell = tell_one;
	out.session = session;
}

static void put(const struct level *level, const char *fmt, va_list ap)
{
	char line[HEAD_MAX + TEXT_MAX + 1];
	int saved = errno;
	size_t n = head(line, level);
	int text = format_text(line + n, TEXT_MAX + 1, fmt, ap);
	size_t size = text < 0 ? 0 : text > TEXT_MAX ? TEXT_MAX : (size_t)text;

	clean(line + n, size);
	if (out.tell != NULL && level != &debug)
		tell(level, line + n, size);
	n += size;
	line[n++] = '\n';
	if (out.target == TO_STDERR)
		to_stderr(line, n);
	else
		keep(line, n);
	errno = saved;
}

void log_info(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	put(&info, fmt, ap);
	va_end(ap);
}

void log_warn(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	put(&warning, fmt, ap);
	va_end(ap);
}

void log_error(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	put(&error, fmt, ap);
	va_end(ap);
}

void log_debug(const char *fmt, ...)
{
	va_list ap;

	if (!out.verbose)
		return;
	va_start(ap, fmt);
	put(&debug, fmt, ap);
	va_end(ap);
}

void log_fatal(const char *fmt, ...)
{
	enum target target = out.target;
	va_list ap, again;

	va_start(ap, fmt);
	va_copy(again, ap);
	put(&fatal, fmt, ap);
	va_end(ap);
	log_flush();
	if (target == TO_SYSLOG || target == TO_FILE) {
		out.target = TO_STDERR;
		put(&fatal, fmt, again);
		out.target = target;
	}
	va_end(again);
	exit(1);
}
