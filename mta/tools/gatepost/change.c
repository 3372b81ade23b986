/* mta/tools/gatepost/change.c - hold, release, requeue, delete, expire, flush. Each is a rename, an unlink or a mode bit of a queue file.
 * A message that the queue manager has in its hands is locked: it can be deleted and expired; to be moved it is marked (mta/qmgr/operator.c).
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sysexits.h>

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "mta/tools/gatepost/change.h"

#define TRIES 3 /* a message may move while we look */

struct change { /* one run of an action over a selection */
	const struct action *what;
	unsigned long done, later, failed;
	bool quiet; /* ALL: no line for each */
};

/* 0; ENOENT: it moved or is gone; EWOULDBLOCK: qmgr will do it; EALREADY: done, but a delivery may be running; ECANCELED: does not apply to
 * it; else errno. */
typedef int action_fn(const char *queue, const char *path, const char *id);

struct action {
	const char *verb;
	char option; /* of postsuper */
	const char *each, *sum; /* what the log says */
	action_fn *run;
};

/* ---- actions on one file ---- */

/* A file that nobody delivers. */
static int lock_file(const char *path, int *fd)
{
	*fd = open(path, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (*fd < 0)
		return errno;
	if (flock(*fd, LOCK_EX | LOCK_NB) == 0)
		return 0;
	close(*fd);
	return EWOULDBLOCK;
}

static int move(const char *path, const char *to)
{
	int fd, error = lock_file(path, &fd);

	if (error != 0)
		return error;
	error = rename(path, to) < 0 ? errno : 0;
	if (error == 0)
		(void)queue_unmark(fd);
	close(fd);
	return error;
}

/* Add a bit to what the file's mode says. ECANCELED: it has it. */
static int mark(const char *path, mode_t bit)
{
	struct stat st;

	if (lstat(path, &st) < 0)
		return errno;
	if (!S_ISREG(st.st_mode) || (st.st_mode & bit))
		return ECANCELED;
	return chmod(path, (st.st_mode & 07777) | bit) < 0 ? errno : 0;
}

/* Not to be held any more, nor requeued. ECANCELED: nobody wanted that. */
static int unmark(const char *path)
{
	int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC), error;
	struct stat st;

	if (fd < 0)
		return errno;
	if (fstat(fd, &st) < 0)
		error = errno;
	else if (!(st.st_mode & (QUEUE_MODE_HOLD | QUEUE_MODE_REQUEUE)))
		error = ECANCELED;
	else
		error = queue_unmark(fd) < 0 ? errno : 0;
	close(fd);
	return error;
}

/* What is being delivered is marked for qmgr, who moves it when that has ended; by the time it is marked that may be over. */
static int move_or_mark(const char *path, const char *to, mode_t bit)
{
	int error = move(path, to);

	if (error != EWOULDBLOCK)
		return error;
	error = mark(path, bit);
	return error == 0 ? move(path, to) : error;
}

static bool is(const char *queue, const char *name)
{
	return strcmp(queue, name) == 0;
}

static int do_hold(const char *queue, const char *path, const char *id)
{
	char to[sizeof "hold/" + QUEUE_ID_MAX];

	if (is(queue, "hold") || is(queue, "maildrop") || is(queue, "corrupt"))
		return ECANCELED;
	(void)snprintf(to, sizeof to, "hold/%s", id);
	return move_or_mark(path, to, QUEUE_MODE_HOLD);
}

/* A bucket that root made is the mail owner's, as deferred/ is. */
static int give_bucket(struct buf *path)
{
	char bucket[sizeof "deferred/00000000"];
	struct stat st;

	(void)snprintf(bucket, sizeof bucket, "%s", buf_z(path)); /* cut before the id */
	if (geteuid() != 0)
		return 0;
	return stat("deferred", &st) < 0 || chown(bucket, st.st_uid, st.st_gid) < 0 ? errno : 0;
}

int change_to_deferred(const char *path, const char *id, int64_t due_s)
{
	struct buf to = { 0 };
	struct err e = ERR_INIT;
	int error = queue_deferred_path(due_s, id, &to, &e) < 0 ? EIO : 0;

	if (error == 0)
		error = give_bucket(&to);
	if (error == 0)
		error = move(path, buf_z(&to));
	buf_done(&to);
	return error;
}

/* Due now. */
static int do_release(const char *queue, const char *path, const char *id)
{
	if (!is(queue, "hold"))
		return unmark(path);
	if (utimes(path, NULL) < 0)
		return errno;
	return change_to_deferred(path, id, clock_wall_us() / 1000000);
}

/* Back to where it came in: addresses are rewritten again, the content filter sees it again. */
static int do_requeue(const char *queue, const char *path, const char *id)
{
	char to[sizeof "maildrop/" + QUEUE_ID_MAX];

	if (is(queue, "maildrop") || is(queue, "corrupt"))
		return ECANCELED;
	(void)snprintf(to, sizeof to, "maildrop/%s", id);
	return move_or_mark(path, to, QUEUE_MODE_REQUEUE);
}

static int do_delete(const char *queue, const char *path, const char *id)
{
	int fd, error = lock_file(path, &fd);

	(void)queue; /* wherever it is */
	(void)id;
	if (error == 0)
		close(fd);
	if (unlink(path) < 0)
		return errno;
	return error == EWOULDBLOCK ? EALREADY : 0;
}

static int do_expire(const char *queue, const char *path, const char *id)
{
	(void)id; /* path says it all */
	if (is(queue, "maildrop") || is(queue, "corrupt"))
		return ECANCELED;
	return mark(path, QUEUE_MODE_EXPIRE);
}

static const struct action actions[] = {
	{ "hold", 'h', "placed on hold", "Placed on hold", do_hold },
	{ "release", 'H', "released from hold", "Released from hold", do_release },
	{ "requeue", 'r', "requeued", "Requeued", do_requeue },
	{ "delete", 'd', "removed", "Deleted", do_delete },
	{ "expire", 'e', "expired", "Force-expired", do_expire },
};

const struct action *change_find(const char *verb, char option)
{
	for (size_t i = 0; i < sizeof actions / sizeof *actions; i++)
		if (verb != NULL ? strcmp(actions[i].verb, verb) == 0 : actions[i].option == option)
			return &actions[i];
	return NULL;
}

/* ---- over a selection ---- */

static void say_it(const char *text)
{
	fprintf(stderr, "%s: %s\n", program_invocation_short_name, text);
	log_info("%s", text);
}

void change_say(const char *fmt, ...)
{
	struct buf b = { 0 };
	va_list ap;

	va_start(ap, fmt);
	buf_addfv(&b, fmt, ap);
	va_end(ap);
	say_it(buf_z(&b));
	buf_done(&b);
}

/* It was there a moment ago. */
static int try_again(const struct action *what, const char *id)
{
	struct buf path = { 0 };
	int error = ENOENT;

	if (queue_find(id, &path)) {
		struct arena *a = arena_new("path");
		struct str rest = buf_str(&path), queue = str_cut(&rest, '/');

		error = what->run(arena_z(a, queue), buf_z(&path), id);
		arena_free(a);
	}
	buf_done(&path);
	return error;
}

static void change_one(void *ctx, const struct entry *n)
{
	struct change *c = ctx;
	int error = c->what->run(n->queue, n->path, n->id);

	for (int i = 1; i < TRIES && error == ENOENT; i++)
		error = try_again(c->what, n->id);
	if (error == 0 || error == EALREADY) {
		c->done++;
		if (!c->quiet)
			change_say("%s: %s%s", n->id, c->what->each, error == 0 ? "" : "; a delivery that is running comes to its end");
	} else if (error == EWOULDBLOCK) {
		c->later++;
		if (!c->quiet)
			change_say("%s: is being delivered; %s after that", n->id, c->what->each);
	} else if (error != ECANCELED && error != ENOENT) {
		c->failed++;
		tool_complain("%s: %s", n->path, strerror(error));
	}
}

static void tell_missing(void *ctx, const char *id)
{
	struct change *c = ctx;

	c->failed++;
	tool_complain("%s: no such message in the queue", id);
}

int change_apply(struct tool *t, const struct action *what, struct selection *s, bool lenient)
{
	struct change c = { .what = what, .quiet = s->all && !s->named };
	int status = selection_walk(s, SELECT_NAMES, change_one, lenient ? NULL : tell_missing, &c);

	change_say("%s: %lu message%s", what->sum, c.done, c.done == 1 ? "" : "s");
	if (c.later > 0)
		change_say("To be %s when their delivery has ended: %lu message%s", what->each, c.later, c.later == 1 ? "" : "s");
	if (what->run == do_requeue && c.done > 0)
		queue_wake_pickup();
	if (what->run == do_release && c.done > 0 && running_master(t) != 0)
		(void)flush_queue(t, NOTIFY_SCAN, "");
	if (status == EX_OK && c.failed > 0 && !lenient)
		status = 1;
	return status;
}

void change_begin(struct tool *t, const char *program)
{
	const struct conf *c = tool_conf(t);
	const char *target = conf_str(c, "maillog_file");
	struct buf ident = { 0 };

	buf_addf(&ident, "%s/%s", conf_str(c, "syslog_name"), program);
	if (!log_open(buf_z(&ident), *target != '\0' ? target : conf_str(c, "syslog_facility")))
		log_open(buf_z(&ident), ""); /* somewhere */
	buf_done(&ident);
	tool_enter_queue(t);
}

/* ---- flush ---- */

struct flush {
	struct tool *t;
	int status;
};

static void flush_one(void *ctx, const struct entry *n)
{
	struct flush *f = ctx;

	if (f->status == EX_OK)
		f->status = flush_queue(f->t, NOTIFY_FLUSH_ID, n->id);
}

static int flush_selection(struct tool *t, struct selection *s)
{
	struct flush f = { .t = t };
	int status;

	if (!s->filtered && !s->named)
		return flush_queue(t, NOTIFY_FLUSH, "");
	tool_enter_queue(t);
	status = selection_walk(s, SELECT_NAMES, flush_one, NULL, &f);
	return status != EX_OK ? status : f.status;
}

/* ---- command lines ---- */

static int read_words(struct selection *s, int argc, char **argv)
{
	static const struct option longs[] = { SELECT_OPTIONS, { NULL, 0, NULL, 0 } };
	int option;

	while ((option = getopt_long(argc, argv, "", longs, NULL)) != -1)
		if (option == '?' || !selection_option(s, option, optarg))
			return EX_USAGE;
	for (int i = optind; i < argc; i++)
		if (!selection_add(s, argv[i]))
			return EX_USAGE;
	return EX_OK;
}

int verb_change(struct tool *t, int argc, char **argv)
{
	struct selection s;
	int status;

	selection_begin(&s);
	status = read_words(&s, argc, argv);
	if (status == EX_OK && selection_empty(&s) && strcmp(argv[0], "flush") != 0) {
		tool_complain("%s what? Queue ids, \"-\" for ids from standard input, a filter such as --sender, or ALL", argv[0]);
		status = EX_USAGE;
	}
	if (status == EX_OK && strcmp(argv[0], "flush") == 0) {
		status = flush_selection(t, &s);
	} else if (status == EX_OK) {
		change_begin(t, "gatepost");
		status = change_apply(t, change_find(argv[0], 0), &s, false);
	}
	selection_end(&s);
	log_flush();
	return status;
}
