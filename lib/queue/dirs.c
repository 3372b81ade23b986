/* lib/queue/dirs.c - the queue directories. All paths are relative to the queue directory, which is the working directory. */
#include "lib/queue/queue.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/base/fs.h"
#include "lib/conf/queue_dirs.h"

static int make_dir(const char *queue_dir, const char *name, mode_t mode, struct err *e)
{
	struct buf path = { 0 };
	int r = 0;

	buf_addf(&path, "%s/%s", queue_dir, name);
	if (mkdir(buf_z(&path), mode) == 0) {
		if (chmod(buf_z(&path), mode) < 0) /* the umask may have taken bits */
			r = err_errno(e, errno, "cannot set mode of \"%s\"", buf_z(&path));
	} else if (errno != EEXIST) {
		r = err_errno(e, errno, "cannot create \"%s\"", buf_z(&path));
	}
	buf_done(&path);
	return r;
}

int queue_make_dirs(const char *queue_dir, struct err *e)
{
	if (fs_make_dirs(queue_dir, 0755, e) < 0)
		return -1;
	for (size_t i = 0; i < QUEUE_DIRS; i++)
		if (make_dir(queue_dir, queue_dirs[i].name, queue_dirs[i].mode, e) < 0)
			return -1;
	return 0;
}

int queue_unmark(int fd)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -1;
	return fchmod(fd, st.st_mode & 07777 & ~(mode_t)(QUEUE_MODE_HOLD | QUEUE_MODE_REQUEUE));
}

/* A connection is the message. */
void queue_wake_pickup(void)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX, .sun_path = "public/pickup" };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return;
	(void)connect(fd, (const struct sockaddr *)&un, sizeof un);
	close(fd);
}

int queue_deferred_path(int64_t due_s, const char *id, struct buf *out, struct err *e)
{
	uint32_t bucket = (uint32_t)((due_s > 0 ? due_s : 0) / QUEUE_BUCKET_S);

	buf_clear(out);
	buf_addf(out, "deferred/%08lx", (unsigned long)bucket);
	if (mkdir(buf_z(out), 0700) < 0 && errno != EEXIST)
		return err_errno(e, errno, "cannot create \"%s\"", buf_z(out));
	buf_addf(out, "/%s", id);
	return 0;
}

/* ---- visiting ---- */

typedef int visit_fn(void *ctx, const char *path, const char *id);

/* Calls fn for each fitting name; a name that vanishes meanwhile is fn's business. */
static int visit_dir(const char *dir, bool (*fits)(const char *name), visit_fn *fn, void *ctx, struct err *e)
{
	struct buf path = { 0 };
	struct dirent *d;
	DIR *open_dir = opendir(dir);
	int r = 0;

	if (open_dir == NULL)
		return errno == ENOENT ? 0 : err_errno(e, errno, "cannot read directory \"%s\"", dir);
	while (r == 0 && (errno = 0, d = readdir(open_dir)) != NULL) {
		if (!fits(d->d_name))
			continue;
		buf_clear(&path);
		buf_addf(&path, "%s/%s", dir, d->d_name);
		r = fn(ctx, buf_z(&path), d->d_name);
	}
	if (r == 0 && errno != 0)
		r = err_errno(e, errno, "cannot read directory \"%s\"", dir);
	closedir(open_dir);
	buf_done(&path);
	return r;
}

static bool is_id(const char *name)
{
	return queue_id_valid(str_z(name));
}

static bool is_bucket(const char *name)
{
	return strlen(name) == 8 && strspn(name, "0123456789abcdef") == 8;
}

struct bucket_visit {
	visit_fn *fn;
	void *ctx;
	struct err *e;
};

static int visit_bucket(void *ctx, const char *path, const char *name)
{
	struct bucket_visit *v = ctx;

	(void)name; /* part of the path */
	return visit_dir(path, is_id, v->fn, v->ctx, v->e);
}

int queue_visit(const char *queue, int (*fn)(void *ctx, const char *path, const char *id), void *ctx, struct err *e)
{
	struct bucket_visit v = { fn, ctx, e };

	if (strcmp(queue, "deferred") == 0)
		return visit_dir(queue, is_bucket, visit_bucket, &v, e);
	return visit_dir(queue, is_id, fn, ctx, e);
}

int queue_visit_buckets(int (*fn)(void *ctx, const char *path, const char *name), void *ctx, struct err *e)
{
	return visit_dir("deferred", is_bucket, fn, ctx, e);
}

int64_t queue_bucket_due(const char *name)
{
	return is_bucket(name) ? ((int64_t)strtoul(name, NULL, 16) + 1) * QUEUE_BUCKET_S : -1;
}

/* ---- finding one ---- */

struct find {
	const char *id;
	struct buf *path;
};

static int look_in(void *ctx, const char *dir, const char *name)
{
	struct find *f = ctx;

	(void)name; /* part of dir */
	buf_clear(f->path);
	buf_addf(f->path, "%s/%s", dir, f->id);
	return fs_exists(buf_z(f->path)) ? 1 : 0;
}

static bool find_once(struct find *f)
{
	static const char *const places[] = { "incoming", "active", "hold", "maildrop",
		"corrupt" }; /* active before deferred: the way it moves */
	struct err e = ERR_INIT;

	for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
		if (look_in(f, places[i], NULL))
			return true;
		if (i == 1 && queue_visit_buckets(look_in, f, &e) == 1)
			return true;
	}
	return false;
}

bool queue_find(const char *id, struct buf *path)
{
	struct find f = { id, path };

	if (!queue_id_valid(str_z(id)))
		return false;
	if (find_once(&f) || find_once(&f)) /* twice: it may have moved back past us */
		return true;
	buf_clear(path);
	return false;
}
