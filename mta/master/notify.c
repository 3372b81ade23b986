/* mta/master/notify.c - telling the service manager (systemd) how things are: sd_notify(3)'s datagrams, which need no library. */
#include "mta/master/master.h"

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "lib/base/clock.h"
#include "lib/base/log.h"

static struct {
	int fd;
	struct sockaddr_un to;
	socklen_t size;
	int64_t watchdog_ms, watchdog_due; /* 0: nobody watches */
} manager = { .fd = -1 };

/* WATCHDOG_USEC is for the process WATCHDOG_PID names, which is not us when we were detached. */
static int64_t watchdog_interval(void)
{
	const char *usec = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
	long long value = usec == NULL ? 0 : strtoll(usec, NULL, 10);

	if (value <= 0 || (pid != NULL && strtol(pid, NULL, 10) != (long)getpid()))
		return 0;
	return value / 1000 / 2;
}

void notify_open(void)
{
	const char *path = getenv("NOTIFY_SOCKET");
	size_t n = path == NULL ? 0 : strlen(path);

	if (n >= 2 && n < sizeof manager.to.sun_path && (*path == '/' || *path == '@')) {
		manager.to.sun_family = AF_UNIX;
		memcpy(manager.to.sun_path, path, n);
		if (*path == '@')
			manager.to.sun_path[0] = '\0'; /* the abstract namespace */
		manager.size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n);
		manager.fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
		manager.watchdog_ms = watchdog_interval();
	}
}

void notify_state(const char *fmt, ...)
{
	struct buf text = { 0 };
	va_list ap;

	if (manager.fd < 0)
		return;
	va_start(ap, fmt);
	buf_addfv(&text, fmt, ap);
	va_end(ap);
	if (sendto(manager.fd, text.p, text.n, MSG_NOSIGNAL | MSG_DONTWAIT, (const struct sockaddr *)&manager.to, manager.size) < 0)
		log_warn("cannot tell the service manager: %s", strerror(errno));
	buf_done(&text);
}

void notify_reloading(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	notify_state("RELOADING=1\nMONOTONIC_USEC=%lld", (long long)now.tv_sec * 1000000 + now.tv_nsec / 1000);
}

int64_t notify_watchdog(void)
{
	if (manager.watchdog_ms == 0)
		return DEADLINE_NEVER;
	if (clock_mono_ms() >= manager.watchdog_due) {
		notify_state("WATCHDOG=1");
		manager.watchdog_due = deadline_in(manager.watchdog_ms);
	}
	return manager.watchdog_due;
}
