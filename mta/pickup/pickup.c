/* mta/pickup/pickup.c - takes local submissions out of maildrop and hands them to cleanup.
 *
 * Security: reads files that any local user wrote, through the set-group-id submission command or, if that has a hole, directly; runs as
 * mail_owner. The files are untrusted (load.c); what comes of them is mail from a local user and nothing more. A file goes away only when
 * cleanup has said that the message is on disk.
 *
 * maildrop is looked at when the kernel reports a change (inotify), when somebody connects to public/pickup, and every SCAN_MS.
 */
#include "mta/pickup/pickup.h"

#include <errno.h>
#include <string.h>
#include <sys/inotify.h>
#include <time.h>

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/map.h"
#include "lib/base/mem.h"
#include "lib/net/fiber.h"
#include "lib/service/service.h"

#define SCAN_MS 60000
#define NOBODY_MS 5000            /* until cleanup is asked again when it did not answer */
#define AT_ONCE 16                /* messages; each waits for an fsync in cleanup */
#define ROUND_MAX 100000          /* names taken from one scan */
#define REST_MS 50000             /* for a file that could not be queued: the next regular scan takes it */
#define ABANDONED_S (24 * 3600)   /* an incomplete file that nobody touched for so long */

static struct {
	struct fiber *scanner;
	struct waitq room;   /* waits for busy < AT_ONCE, or for busy == 0 at the end */
	struct map *known;   /* names that are being worked on, or rest: struct known */
	unsigned busy;
	int64_t nobody_until; /* cleanup does not answer before */
	bool ended;           /* the scanner has returned */
} self;

struct known {
	bool busy;
	bool changed; /* while it was busy */
	int64_t rests_until;
};

static bool nobody_there(void)
{
	return self.nobody_until > clock_mono_ms();
}

static struct str name_of(const char *path)
{
	return str_skip(str_z(path), sizeof "maildrop/" - 1);
}

/* ---- one file ---- */

struct removal {
	const char *path, *to; /* to NULL: unlink */
	int error;
};

static void remove_file(void *arg)
{
	struct removal *r = arg;

	r->error = (r->to == NULL ? unlink(r->path) : rename(r->path, r->to)) < 0 ? errno : 0;
}

static void take_away(const char *path, const char *to)
{
	struct removal r = { path, to, 0 };

	offload(remove_file, &r);
	if (r.error != 0)
		log_warn("cannot remove %s: %s", path, strerror(r.error));
}

static void set_aside(const struct submission *s, const struct err *e)
{
	struct str to = arena_printf(s->life, "corrupt/%s", strrchr(s->path, '/') + 1);

	log_warn("%s (uid %ld): %s: moved to %s", s->path, (long)s->uid, e->text, to.p);
	take_away(s->path, to.p);
}

struct loading {
	struct submission *s;
	enum load_result result;
	struct err e;
};

static void load(void *arg)
{
	struct loading *l = arg;

	l->result = submission_load(l->s, &l->e);
}

/* True: the file is gone. False: look at it again later. */
static bool hand_over(struct submission *s)
{
	switch (submit(s)) {
	case SUBMIT_DONE:
		take_away(s->path, NULL);
		return true;
	case SUBMIT_NOBODY:
		self.nobody_until = deadline_in(NOBODY_MS);
		return false;
	case SUBMIT_LATER:
		break;
	}
	return false;
}

/* True: there is nothing to remember about the file. */
static bool process(struct submission *s)
{
	struct loading l = { s, LOAD_FAILED, ERR_INIT };

	offload(load, &l);
	switch (l.result) {
	case LOAD_MESSAGE:
		return hand_over(s);
	case LOAD_DAMAGED:
		set_aside(s, &l.e);
		return true;
	case LOAD_INCOMPLETE:
		if (time(NULL) - s->changed < ABANDONED_S)
			return true;
		log_warn("%s (uid %ld): never completed: removed", s->path, (long)s->uid);
		take_away(s->path, NULL);
		return true;
	case LOAD_FAILED:
		if (access(s->path, F_OK) < 0)
			return true; /* somebody else removed it, which is his right */
		log_warn("%s: %s", s->path, l.e.text);
		break;
	}
	return false;
}

/* A file that changed while we read it deserves another look at once. */
static void settle(struct str name, bool forget)
{
	struct known *k = map_get(self.known, name);
	bool changed = k->changed;

	k->busy = k->changed = false;
	k->rests_until = changed ? 0 : nobody_there() ? self.nobody_until : deadline_in(REST_MS);
	if (forget)
		mem_free(map_del(self.known, name));
	if (changed && !self.ended)
		fiber_wake(self.scanner);
}

static void run_one(void *arg)
{
	char *path = arg;
	struct str name = name_of(path);
	struct submission s = { .life = arena_new("submission"), .path = path, .fd = -1, .uid = (uid_t)-1 };

	settle(name, process(&s));
	if (s.fd >= 0)
		close(s.fd);
	arena_free(s.life);
	mem_free(path);
	self.busy--;
	waitq_wake_all(&self.room);
}

/* ---- all files ---- */

struct round {
	char **paths;
	size_t count, room;
	struct err e;
	int result;
};

static int take_name(void *ctx, const char *path, const char *id)
{
	struct round *r = ctx;

	(void)id; /* the end of path */
	if (r->count == r->room) {
		r->room = r->room * 2 + 64;
		r->paths = mem_grow(r->paths, r->room, sizeof *r->paths);
	}
	r->paths[r->count++] = mem_strdup(path);
	return r->count == ROUND_MAX;
}

static void scan(void *arg)
{
	struct round *r = arg;

	r->result = queue_visit("maildrop", take_name, r, &r->e);
}

static void start_one(const char *path)
{
	struct str name = name_of(path);
	struct known *k = map_get(self.known, name);

	if (k != NULL && (k->busy || k->rests_until > clock_mono_ms()))
		return;
	if (k == NULL) {
		k = mem_alloc(sizeof *k);
		map_put(self.known, name, k);
	}
	k->busy = true;
	self.busy++;
	fiber_start("submission", run_one, mem_strdup(path));
}

/* Names whose files may be gone by now. */
static void forget_rested(void)
{
	struct str name;
	void *value;
	size_t at = 0;

	while (map_next(self.known, &at, &name, &value)) {
		const struct known *k = value;

		if (!k->busy && k->rests_until <= clock_mono_ms())
			mem_free(map_del(self.known, name));
	}
}

static void run_round(void)
{
	struct round r = { .e = ERR_INIT };

	forget_rested();
	offload(scan, &r);
	if (r.result < 0)
		log_warn("%s", r.e.text);
	for (size_t i = 0; i < r.count; i++) {
		while (self.busy >= AT_ONCE)
			waitq_wait(&self.room, DEADLINE_NEVER);
		if (!service_draining() && !nobody_there())
			start_one(r.paths[i]);
		mem_free(r.paths[i]);
	}
	mem_free(r.paths);
}

static void run_scanner(void *arg)
{
	(void)arg; /* there is one maildrop */
	while (!service_draining()) {
		run_round();
		if (!service_draining())
			fiber_wait(nobody_there() ? self.nobody_until : deadline_in(SCAN_MS));
	}
	self.ended = true;
	waitq_wake_all(&self.room);
}

/* ---- being told ---- */

/* Whatever was wrong with that file may be right now. */
static void file_changed(const char *name)
{
	struct known *k = map_get(self.known, str_z(name));

	if (k == NULL)
		return;
	k->changed = k->busy;
	k->rests_until = 0;
}

static void read_events(int fd)
{
	_Alignas(struct inotify_event) char room[4096];
	ssize_t n;

	while ((n = read(fd, room, sizeof room)) > 0) {
		for (ssize_t at = 0; at < n;) {
			const struct inotify_event *event = (const void *)(room + at);

			if (event->len > 0)
				file_changed(event->name);
			at += (ssize_t)(sizeof *event + event->len);
		}
	}
}

/* Without inotify the scans have to do. */
static void run_watch(void *arg)
{
	int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	struct stream *s;

	(void)arg; /* there is one maildrop */
	if (fd < 0 || inotify_add_watch(fd, "maildrop", IN_MOVED_TO | IN_CLOSE_WRITE | IN_ATTRIB | IN_ONLYDIR) < 0) {
		log_warn("cannot watch maildrop: %s", strerror(errno));
		if (fd >= 0)
			close(fd);
		return;
	}
	s = stream_new(fd);
	while (stream_wait_fd(s, false, DEADLINE_NEVER) == STREAM_OK) {
		read_events(fd);
		fiber_wake(self.scanner);
	}
	stream_close(s);
}

/* A connection to public/pickup is the message; nothing is read. */
static void serve(struct stream *s, const struct sock_addr *peer, unsigned listener)
{
	(void)s;        /* closed by the caller */
	(void)peer;     /* anybody local */
	(void)listener; /* there is one */
	if (!self.ended)
		fiber_wake(self.scanner);
}

static void start(const struct conf *c)
{
	submit_init(c);
	self.known = map_new();
	waitq_init(&self.room);
	self.scanner = fiber_start("scanner", run_scanner, NULL);
	fiber_start("watch", run_watch, NULL);
}

static void drain(void)
{
	if (!self.ended)
		fiber_wake(self.scanner);
	while (!self.ended || self.busy > 0)
		waitq_wait(&self.room, DEADLINE_NEVER);
}

int main(int argc, char **argv)
{
	static const char *const directories[] = { "maildrop", "corrupt", NULL };
	static const struct service pickup = { .command = "pickup", .start = start, .serve = serve, .drain = drain, .queue_dirs = directories };

	return service_main(argc, argv, &pickup);
}
