/* mta/qmgr/site.c - flush by destination (ETRN, gatepost flush --site): which deferred messages wait for a domain of fast_flush_domains?
 * flush/<domain>/<id> is a file with the message's place below deferred/. It is a note: what it names is opened like any other file of the
 * queue, and a note that is lost, torn or out of date costs an early or a missed attempt, no mail.
 */
#include "mta/qmgr/qmgr.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/fs.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/mail/addr.h"

#define SITE_MAX 200 /* octets of a domain that is a directory's name */

/* ---- which domains? ---- */

/* Fit for a file name: what domains are made of, and no dot in front. */
static bool is_name(struct str domain)
{
	if (domain.n == 0 || domain.n > SITE_MAX || domain.p[0] == '.')
		return false;
	for (size_t i = 0; i < domain.n; i++) {
		char c = domain.p[i];

		if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '-' && c != '.' && c != '_')
			return false;
	}
	return true;
}

static bool listed(const struct sites *s, struct str domain)
{
	for (size_t i = 0; i < s->count; i++)
		if (str_eqz(domain, s->v[i]))
			return true;
	return false;
}

void sites_of(struct message *m, bool (*which)(const struct message *m, size_t rcpt), struct sites *out)
{
	struct err e = ERR_INIT;
	struct str last = STR_NONE;

	out->count = 0;
	for (size_t i = 0; i < m->m.rcpt_count && out->count < SITES_MAX && qmgr.set.flush_domains != NULL; i++) {
		struct str domain = addr_split(m->m.rcpts[i].addr).domain;

		if (!which(m, i) || str_eqi(domain, last))
			continue;
		last = domain;
		domain = arena_lower(m->life, domain);
		if (is_name(domain) && !listed(out, domain) && matchlist_host(qmgr.set.flush_domains, domain, &e) == TABLE_FOUND)
			out->v[out->count++] = arena_z(m->life, domain);
	}
}

/* ---- notes ---- */

struct note {
	char directory[sizeof "flush/" + SITE_MAX];
	char path[sizeof "flush//" + SITE_MAX + QUEUE_ID_MAX];
};

static void note_name(const char *site, const char *id, struct note *out)
{
	(void)snprintf(out->directory, sizeof out->directory, "flush/%s", site);
	(void)snprintf(out->path, sizeof out->path, "flush/%s/%s", site, id);
}

static int create_note(const struct note *n)
{
	static const int how = O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC;
	int fd = open(n->path, how, 0600);

	if (fd >= 0 || errno != ENOENT)
		return fd;
	(void)mkdir(n->directory, 0700);
	return open(n->path, how, 0600);
}

void sites_enter(const struct sites *s, const char *id, const char *path)
{
	struct err e = ERR_INIT;
	struct note n;

	for (size_t i = 0; i < s->count; i++) {
		int fd;

		note_name(s->v[i], id, &n);
		fd = create_note(&n);
		if (fd < 0)
			continue;
		(void)fs_pwrite_all(fd, path, strlen(path), 0, &e);
		close(fd);
	}
}

void sites_leave(const struct sites *s, const char *id)
{
	struct note n;

	for (size_t i = 0; i < s->count; i++) {
		note_name(s->v[i], id, &n);
		if (unlink(n.path) == 0)
			(void)rmdir(n.directory); /* when it was the last one */
	}
}

/* ---- flush ---- */

struct waiting {
	char id[QUEUE_ID_MAX];
	char path[sizeof "deferred/00000000/" + QUEUE_ID_MAX];
};

struct visit { /* one offloaded job */
	struct note note;
	struct waiting *v;
	size_t count, cap;
	struct err e;
};

static int visit_note(void *ctx, const char *path, const char *id)
{
	struct visit *x = ctx;
	struct waiting w = { .id = "" };
	int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	ssize_t n = fd >= 0 ? read(fd, w.path, sizeof w.path - 1) : -1;

	if (fd >= 0)
		close(fd);
	(void)unlink(path); /* the message makes a new one when it is deferred again */
	if (n <= 0 || !str_starts(str_n(w.path, (size_t)n), STR("deferred/")))
		return 0;
	if (x->count == x->cap) {
		x->cap = x->cap > 0 ? x->cap * 2 : 64;
		x->v = mem_grow(x->v, x->cap, sizeof *x->v);
	}
	memcpy(w.id, id, strlen(id) + 1);
	x->v[x->count++] = w;
	return 0;
}

static void visit_run(void *arg)
{
	struct visit *x = arg;

	(void)queue_visit(x->note.directory, visit_note, x, &x->e);
	(void)rmdir(x->note.directory);
}

static void flush_run(void *arg)
{
	struct visit *x = arg;

	offload(visit_run, x);
	if (x->e.kind != ERR_NONE)
		log_warn("%s", x->e.text);
	transport_forget_dead();
	for (size_t i = 0; i < x->count && !qmgr.draining; i++)
		scan_take(x->v[i].path, x->v[i].id);
	mem_free(x->v);
	mem_free(x);
}

void site_flush(struct str site)
{
	struct arena *a = arena_new("site");
	struct str name = arena_lower(a, site);
	struct visit *x;

	if (is_name(name) && qmgr.lock_fd >= 0) {
		x = mem_alloc(sizeof *x);
		note_name(arena_z(a, name), "", &x->note);
		fiber_start("flush site", flush_run, x);
	}
	arena_free(a);
}
