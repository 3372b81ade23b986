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
#define EVENT_USUAL 400
#define RECONNECT_MS 500
#define GATHER_MS 100 /* waking the service costs more than telling it */
#define SEND_AT (16 * 1024) /* do not wait so long */
#define ID_MIN 6
#define ID_MAX 23

static struct {
	bool open;
	const char *path;
	struct buf head; /* of every event, behind the time */
	int fd;
	int64_t reconnect_at;
	struct buf pending;
	struct buf spare; /* memory of the last event, for the next */
	bool cut; /* the first pending line was partly sent */
	struct event *timer;
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

static void send_later(void)
{
	bool away = story.fd < 0 && clock_mono_ms() < story.reconnect_at;
	struct timeval later = { 0, (away ? RECONNECT_MS : GATHER_MS) * 1000 };

	if (!event_pending(story.timer, EV_TIMEOUT, NULL))
		event_add(story.timer, &later);
}

void story_flush(void)
{
	ssize_t n;

	if (story.pending.n == 0 || !connected())
		return;
	n = send(story.fd, story.pending.p, story.pending.n, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n > 0) {
		story.cut = story.pending.p[n - 1] != '\n';
		buf_consume(&story.pending, (size_t)n);
	} else if (errno != EAGAIN && errno != EINTR) {
		disconnected();
	}
}

static void on_idle(void *arg)
{
	(void)arg; /* there is one */
	if (story.pending.n >= SEND_AT && story.fd >= 0)
		story_flush();
	if (story.pending.n > 0)
		send_later();
}

static void on_time(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;   /* a timer has none */
	(void)what; /* always a timeout */
	(void)arg;  /* there is one */
	story_flush();
}

/* ---- telling ---- */

static void add_decimal(struct buf *b, uint64_t n)
{
	char digits[20];
	size_t at = sizeof digits;

	do {
		digits[--at] = (char)('0' + n % 10);
		n /= 10;
	} while (n > 0);
	buf_addn(b, digits + at, sizeof digits - at);
}

void story_begin(struct buf *event, const char *kind, const char *qid)
{
	*event = story.spare;
	story.spare = (struct buf){ 0 };
	buf_reserve(event, EVENT_USUAL);
	buf_addz(event, "{\"ts\":");
	add_decimal(event, (uint64_t)clock_wall_us());
	buf_addc(event, ',');
	buf_add(event, buf_str(&story.head));
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
	if (event->cap > EVENT_MAX || story.spare.p != NULL) {
		buf_done(event);
		return;
	}
	buf_clear(event);
	story.spare = *event;
	*event = (struct buf){ 0 };
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

void story_log(const char *level, const char *text, size_t n)
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

void story_open(const char *component, const char *path)
{
	char node[65] = "";

	story.path = mem_strdup(path);
	if (gethostname(node, sizeof node - 1) < 0)
		node[0] = '\0';
	json_add_member(&story.head, "node", str_z(node));
	json_add_member(&story.head, "c", str_z(component));
	story.timer = evtimer_new(loop_base(), on_time, NULL);
	check(story.timer != NULL && pthread_atfork(NULL, NULL, forked) == 0);
	loop_on_idle(on_idle, NULL);
	story.open = true;
}
