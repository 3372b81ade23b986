/* lib/net/story.c - events on their way to the explain service: collected in one buffer, sent at the end of each loop turn. */
#include "lib/net/story.h"

#include <errno.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <event2/event.h>

#include "lib/base/clock.h"
#include "lib/base/json.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/metrics.h"
#include "lib/net/fiber.h"
#include "lib/net/loop.h"

#define PENDING_MAX (512 * 1024)
#define EVENT_MAX (16 * 1024)
#define RECONNECT_MS 500
#define RETRY_MS 5 /* the service is behind */
#define ID_MIN 6
#define ID_MAX 23

static struct {
	bool open;
	const char *component, *path;
	char node[65];
	int fd;
	int64_t reconnect_at;
	struct buf pending;
	bool cut; /* the first pending line was partly sent */
	struct event *retry;
} story = { .fd = -1 };

bool story_wanted(void)
{
	return story.open;
}

/* ---- sending ---- */

/* What was begun on a broken connection cannot be finished on another. */
static void disconnected(void)
{
	const char *end;

	close(story.fd);
	story.fd = -1;
	story.reconnect_at = deadline_in(RECONNECT_MS);
	end = story.cut ? memchr(story.pending.p, '\n', story.pending.n) : NULL;
	if (end != NULL)
		buf_consume(&story.pending, (size_t)(end - story.pending.p) + 1);
	story.cut = false;
}

static bool connected(void)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };

	if (story.fd >= 0 || clock_mono_ms() < story.reconnect_at)
		return story.fd >= 0;
	snprintf(to.sun_path, sizeof to.sun_path, "%s", story.path);
	story.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (story.fd >= 0 && connect(story.fd, (const struct sockaddr *)&to, sizeof to) < 0)
		disconnected();
	return story.fd >= 0;
}

static void try_again_soon(void)
{
	struct timeval soon = { 0, (story.fd >= 0 ? RETRY_MS : RECONNECT_MS) * 1000 };

	if (!event_pending(story.retry, EV_TIMEOUT, NULL))
		event_add(story.retry, &soon);
}

static void flush(void *arg)
{
	ssize_t n;

	(void)arg; /* there is one */
	if (story.pending.n == 0)
		return;
	if (!connected()) {
		try_again_soon();
		return;
	}
	n = send(story.fd, story.pending.p, story.pending.n, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n > 0) {
		story.cut = story.pending.p[n - 1] != '\n';
		buf_consume(&story.pending, (size_t)n);
	} else if (errno != EAGAIN && errno != EINTR) {
		disconnected();
	}
	if (story.pending.n > 0)
		try_again_soon();
}

static void on_retry(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;   /* a timer has none */
	(void)what; /* always a timeout */
	flush(arg);
}

/* ---- telling ---- */

void story_begin(struct buf *event, const char *kind, const char *qid)
{
	buf_addf(event, "{\"ts\":%lld,\"node\":\"%s\",\"c\":\"%s\"", (long long)clock_wall_us(), story.node, story.component);
	json_add_member(event, "sid", str_z(fiber_tag()));
	json_add_member(event, "qid", str_z(qid));
	json_add_member(event, "kind", str_z(kind));
}

void story_tell(struct buf *event)
{
	buf_addz(event, "}\n");
	if (!story.open || event->n > EVENT_MAX || story.pending.n + event->n > PENDING_MAX)
		metric_count(METRIC_STORY_LOST, NULL, NULL, NULL);
	else
		buf_add(&story.pending, buf_str(event));
	buf_done(event);
}

/* ---- log lines ---- */

/* The queue id in front of "ID: "; empty: the line is not about a message. */
static struct str id_of(struct str text)
{
	size_t n = 0;

	while (n < text.n && n <= ID_MAX && ((text.p[n] >= '0' && text.p[n] <= '9') || (text.p[n] >= 'A' && text.p[n] <= 'Z') ||
						    (text.p[n] >= 'a' && text.p[n] <= 'z')))
		n++;
	if (n < ID_MIN || n > ID_MAX || n + 1 >= text.n || text.p[n] != ':' || text.p[n + 1] != ' ')
		return STR_NONE;
	text = str_sub(text, 0, n);
	return text.p[10 < n ? 10 : 0] == 'z' || (text.p[0] >= '0' && text.p[0] <= '9') ? text : STR_NONE;
}

static void on_log(const char *level, const char *text, size_t n)
{
	struct str line = str_n(text, n), id = id_of(line);
	char qid[ID_MAX + 1] = "";
	struct buf event = { 0 };

	if (!story.open || (id.n == 0 && *fiber_tag() == '\0'))
		return;
	memcpy(qid, id.p, id.n);
	if (id.n > 0)
		line = str_skip(line, id.n + 2);
	else if (str_starts(line, STR("NOQUEUE: ")))
		line = str_skip(line, 9);
	story_begin(&event, "log", qid);
	if (*level != '\0')
		json_add_member(&event, "level", str_z(level));
	json_add_member(&event, "text", line);
	story_tell(&event);
}

/* A child speaks for itself: not with our voice. */
static void forked(void)
{
	story.open = false;
}

void story_open(const char *component, const char *path, bool log_sid)
{
	story.component = component;
	story.path = mem_strdup(path);
	if (gethostname(story.node, sizeof story.node - 1) < 0)
		story.node[0] = '\0';
	for (char *p = story.node; *p != '\0'; p++)
		if (*p == '"' || *p == '\\' || *p < ' ')
			*p = '_';
	story.retry = evtimer_new(loop_base(), on_retry, NULL);
	check(story.retry != NULL && pthread_atfork(NULL, NULL, forked) == 0);
	loop_on_idle(flush, NULL);
	log_tell(on_log, log_sid ? fiber_tag : NULL);
	story.open = true;
}
