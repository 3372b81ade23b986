/* lib/service/privilege.c - from root to mail_owner for good, and the descriptor limit.
 * Security: runs once in each daemon before the first byte from outside is read.
 */
#include "lib/service/parts.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#define DESCRIPTORS_WANTED 65536 /* root may raise the hard limit to this */

static int enter_chroot(const char *dir, struct err *e)
{
	if (chroot(dir) < 0 || chdir("/") < 0)
		return err_errno(e, errno, "cannot chroot to %s", dir);
	return 0;
}

/* All three ids of both kinds, supplementary groups of the user, and no way back. */
static int become(const struct passwd *pw, struct err *e)
{
	uid_t r, f, s;
	gid_t gr, gf, gs;

	if (setresgid(pw->pw_gid, pw->pw_gid, pw->pw_gid) < 0 || setresuid(pw->pw_uid, pw->pw_uid, pw->pw_uid) < 0)
		return err_errno(e, errno, "cannot become user %s", pw->pw_name);
	if (getresuid(&r, &f, &s) < 0 || r != pw->pw_uid || f != pw->pw_uid || s != pw->pw_uid)
		return err_temp(e, "user ids are still mixed after becoming %s", pw->pw_name);
	if (getresgid(&gr, &gf, &gs) < 0 || gr != pw->pw_gid || gf != pw->pw_gid || gs != pw->pw_gid)
		return err_temp(e, "group ids are still mixed after becoming %s", pw->pw_name);
	if (setuid(0) == 0)
		return err_temp(e, "could become root again after becoming %s", pw->pw_name);
	return 0;
}

int privilege_drop(const char *mail_owner, bool keep_root, const char *chroot_dir, struct err *e)
{
	const struct passwd *pw;

	if (keep_root)
		return 0; /* commands it starts may need set-uid programs, so no PR_SET_NO_NEW_PRIVS either */
	if (geteuid() == 0) {
		errno = 0;
		pw = getpwnam(mail_owner);
		if (pw == NULL)
			return err_temp(e, "mail_owner: no such user: %s%s%s", mail_owner, errno != 0 ? ": " : "", errno != 0 ? strerror(errno) : "");
		if (pw->pw_uid == 0)
			return err_temp(e, "mail_owner: %s is root", mail_owner);
		if (initgroups(pw->pw_name, pw->pw_gid) < 0)
			return err_errno(e, errno, "cannot set the groups of user %s", mail_owner);
		if ((chroot_dir != NULL && enter_chroot(chroot_dir, e) < 0) || become(pw, e) < 0)
			return -1;
	}
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return err_errno(e, errno, "cannot give up new privileges");
	return 0;
}

void privilege_raise_descriptors(void)
{
	struct rlimit lim;

	if (getrlimit(RLIMIT_NOFILE, &lim) < 0)
		return;
	if (lim.rlim_max < DESCRIPTORS_WANTED && geteuid() == 0)
		lim.rlim_max = DESCRIPTORS_WANTED;
	lim.rlim_cur = lim.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &lim) == 0 || getrlimit(RLIMIT_NOFILE, &lim) < 0)
		return;
	lim.rlim_cur = lim.rlim_max; /* without raising the hard limit, then */
	(void)setrlimit(RLIMIT_NOFILE, &lim);
}
