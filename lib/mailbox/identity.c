/* lib/mailbox/identity.c - users and groups of the system, asked for in the thread pool because directories may be far away. */
#include <errno.h>
#include <grp.h>
#include <pwd.h>

#include "lib/base/mem.h"
#include "lib/mailbox/child.h"
#include "lib/net/fiber.h"

#define ENTRY_SIZE 65536 /* octets of one entry's strings; a group with many members is long */

struct question {
	const char *name; /* NULL: by uid */
	uid_t uid;
	char *room;
	struct passwd pw;
	struct group gr;
	bool found;
	int errnum;
};

bool identity_can_switch(void)
{
	return geteuid() == 0;
}

static void ask_user(void *arg)
{
	struct question *q = arg;
	struct passwd *found = NULL;

	if (q->name != NULL)
		q->errnum = getpwnam_r(q->name, &q->pw, q->room, ENTRY_SIZE, &found);
	else
		q->errnum = getpwuid_r(q->uid, &q->pw, q->room, ENTRY_SIZE, &found);
	q->found = found != NULL;
}

static void ask_group(void *arg)
{
	struct question *q = arg;
	struct group *found = NULL;

	q->errnum = getgrnam_r(q->name, &q->gr, q->room, ENTRY_SIZE, &found);
	q->found = found != NULL;
}

/* Some name services report "nobody of that name" as one of these. */
static bool means_missing(int errnum)
{
	return errnum == 0 || errnum == ENOENT || errnum == ESRCH;
}

static int verdict(const struct question *q, const char *what, struct err *e)
{
	if (q->found)
		return 0;
	return means_missing(q->errnum) ? 1 : err_errno(e, q->errnum, "%s lookup failed", what);
}

static int find_user(struct arena *a, struct question *q, struct identity *out, struct err *e)
{
	int r;

	q->room = mem_alloc(ENTRY_SIZE);
	offload(ask_user, q);
	r = verdict(q, "user", e);
	if (r == 0) {
		*out = (struct identity){ .uid = q->pw.pw_uid, .gid = q->pw.pw_gid };
		out->name = arena_z(a, str_z(q->pw.pw_name));
		out->home = arena_z(a, str_z(q->pw.pw_dir));
		out->shell = arena_z(a, str_z(q->pw.pw_shell));
	}
	mem_free(q->room);
	return r;
}

int identity_find(struct arena *a, struct str name, struct identity *out, struct err *e)
{
	struct question q = { .name = arena_z(a, name) };

	if (name.n == 0 || strlen(q.name) != name.n) /* a NUL inside is nobody's name */
		return 1;
	return find_user(a, &q, out, e);
}

int identity_find_uid(struct arena *a, uid_t uid, struct identity *out, struct err *e)
{
	struct question q = { .uid = uid };

	return find_user(a, &q, out, e);
}

int identity_group(struct arena *a, struct str name, gid_t *gid, struct err *e)
{
	struct question q = { .name = arena_z(a, name), .room = mem_alloc(ENTRY_SIZE) };
	int r;

	offload(ask_group, &q);
	r = verdict(&q, "group", e);
	if (r == 0)
		*gid = q.gr.gr_gid;
	mem_free(q.room);
	return r;
}
