/* lib/table/unix.c - unix:passwd.byname and unix:group.byname: the system's users and groups, in the form of their files. */
#include <errno.h>
#include <grp.h>
#include <pwd.h>

#include "lib/base/mem.h"
#include "lib/table/registry.h"

#define ENTRY_MAX 65536 /* octets of one user or group entry */

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

static enum table_answer unix_lookup(struct table *t, struct str key, struct buf *value, struct err *e)
{
	const struct database *d = t->state;
	char *name, *space;
	enum table_answer answer;

	if (key.n == 0 || memchr(key.p, '\0', key.n) != NULL)
		return TABLE_MISSING;
	name = mem_alloc(key.n + 1);
	memcpy(name, key.p, key.n);
	space = mem_alloc(ENTRY_MAX);
	answer = d->lookup(name, space, value, e);
	mem_free(space);
	mem_free(name);
	return answer;
}

const struct table_type table_unix = { "unix", TABLE_THREAD_OK, unix_open, unix_lookup, NULL };
