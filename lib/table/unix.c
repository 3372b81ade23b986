/* lib/table/unix.c - unix:passwd.byname and unix:group.byname: the system's users and groups, in the form of their files. They may
 * come from a server, so they are asked for off the loop.
 */
#include <errno.h>
#include <grp.h>
#include <pwd.h>

#include "lib/base/mem.h"
#include "lib/table/registry.h"

#define ENTRY_MAX 65536 /* octets of one user or group entry */
#define NAME_LENGTH_MAX 1024

static enum table_answer failed(int errnum, struct err *e)
{
	if (errnum == 0 || errnum == ENOENT || errnum == ESRCH) /* how C libraries say "no such entry" */
		return TABLE_MISSING;
	(void)err_errno(e, errnum, "cannot read the user database");
	return TABLE_FAILED;
}

static enum table_answer user_lookup(const char *name, char *space, struct buf *value, struct err *e)
{
	struct passwd pw, *found = NULL;
	int errnum = getpwnam_r(name, &pw, space, ENTRY_MAX, &found);

	if (found == NULL)
		return failed(errnum, e);
	buf_addf(value, "%s:%s:%lu:%lu:%s:%s:%s", pw.pw_name, pw.pw_passwd, (unsigned long)pw.pw_uid, (unsigned long)pw.pw_gid, pw.pw_gecos,
		pw.pw_dir, pw.pw_shell);
	return TABLE_FOUND;
}

static enum table_answer group_lookup(const char *name, char *space, struct buf *value, struct err *e)
{
	struct group gr, *found = NULL;
	int errnum = getgrnam_r(name, &gr, space, ENTRY_MAX, &found);

	if (found == NULL)
		return failed(errnum, e);
	buf_addf(value, "%s:%s:%lu:", gr.gr_name, gr.gr_passwd, (unsigned long)gr.gr_gid);
	for (char **member = gr.gr_mem; *member != NULL; member++)
		buf_addf(value, "%s%s", member == gr.gr_mem ? "" : ",", *member);
	return TABLE_FOUND;
}

typedef enum table_answer lookup_fn(const char *name, char *space, struct buf *value, struct err *e);

struct database {
	const char *name;
	lookup_fn *lookup;
};

static const struct database databases[] = { { "passwd.byname", user_lookup }, { "group.byname", group_lookup } };

static int unix_open(struct table *t, struct str name, struct err *e)
{
	for (size_t i = 0; i < sizeof databases / sizeof *databases; i++) {
		if (str_eqz(name, databases[i].name)) {
			t->state = (void *)(uintptr_t)&databases[i];
			return 0;
		}
	}
	return err_perm(e, "unix:passwd.byname or unix:group.byname expected");
}

struct question {
	const struct database *d;
	char *name;
	struct buf *value;
	struct err *e;
	enum table_answer answer;
};

/* In a thread. */
static void ask_system(void *arg)
{
	struct question *q = arg;
	char *space = mem_alloc(ENTRY_MAX);

	q->answer = q->d->lookup(q->name, space, q->value, q->e);
	mem_free(space);
}

static enum table_answer unix_lookup(struct table *t, struct str key, struct buf *value, struct err *e)
{
	struct question q = { .d = t->state, .value = value, .e = e };

	if (key.n == 0 || key.n > NAME_LENGTH_MAX || memchr(key.p, '\0', key.n) != NULL)
		return TABLE_MISSING;
	q.name = mem_alloc(key.n + 1);
	memcpy(q.name, key.p, key.n);
	table_offload(ask_system, &q);
	mem_free(q.name);
	return q.answer;
}

const struct table_type table_unix = { "unix", TABLE_THREAD_OK, unix_open, unix_lookup, NULL };
