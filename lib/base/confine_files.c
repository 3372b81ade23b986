/* lib/base/confine_files.c - the part of confine() that is Landlock's: files, TCP ports, signals.
 * Security: every rule grants; what has no rule is refused. Everything but the queue may be read, as the user's rights are: tables may be anywhere.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/base/str.h"
#include "lib/base/confine.h"

/* What <linux/landlock.h> of older systems lacks. */
#define ACCESS_REFER (1ULL << 13)    /* ABI 2 */
#define ACCESS_TRUNCATE (1ULL << 14) /* ABI 3 */
#define NET_BIND (1ULL << 0)         /* ABI 4 */
#define RULE_NET_PORT 2
#define SCOPE_ABSTRACT_SOCKETS (1ULL << 0) /* ABI 6 */
#define SCOPE_SIGNALS (1ULL << 1)

struct ruleset_attr {
	uint64_t files, net, scoped;
};

struct port_attr {
	uint64_t access, port;
};

#define READ_FILE_ONLY ((uint64_t)LANDLOCK_ACCESS_FS_READ_FILE)
#define READ (READ_FILE_ONLY | LANDLOCK_ACCESS_FS_READ_DIR)
#define WRITE                                                                                                             \
	(LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_DIR | \
		LANDLOCK_ACCESS_FS_MAKE_REG | ACCESS_REFER | ACCESS_TRUNCATE)
#define NEVER                                                                                                           \
	(LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_MAKE_FIFO | \
		LANDLOCK_ACCESS_FS_MAKE_BLOCK | LANDLOCK_ACCESS_FS_MAKE_SYM)

struct rules {
	int fd;
	uint64_t known; /* accesses that this kernel knows */
	struct err *e;
};

/* at/name and all below it. What cannot be opened has no need of a rule. */
static int grant(const struct rules *r, int at, const char *name, uint64_t access)
{
	struct landlock_path_beneath_attr rule = { .parent_fd = openat(at, name, O_PATH | O_NOFOLLOW | O_CLOEXEC) };
	struct stat st;
	long rc = 0;

	if (rule.parent_fd < 0)
		return 0;
	if (fstat(rule.parent_fd, &st) < 0 || S_ISLNK(st.st_mode)) {
		close(rule.parent_fd);
		return 0;
	}
	rule.allowed_access = access & r->known;
	if (!S_ISDIR(st.st_mode))
		rule.allowed_access &= READ_FILE_ONLY | LANDLOCK_ACCESS_FS_WRITE_FILE | ACCESS_TRUNCATE;
	rc = syscall(SYS_landlock_add_rule, r->fd, LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
	close(rule.parent_fd);
	return rc < 0 ? err_errno(r->e, errno, "landlock: cannot allow \"%s\"", name) : 0;
}

static bool listed(const char *const *names, const char *name)
{
	for (; names != NULL && *names != NULL; names++)
		if (strcmp(*names, name) == 0)
			return true;
	return false;
}

/* Reading of everything in the directory but these names. */
static int read_but(const struct rules *r, const char *path, const char *const *names)
{
	DIR *dir = opendir(path);
	struct dirent *d;
	int rc = 0;

	if (dir == NULL)
		return errno == EACCES ? 0 : err_errno(r->e, errno, "cannot read directory \"%s\"", path);
	while (rc == 0 && (d = readdir(dir)) != NULL)
		if (strcmp(d->d_name, ".") != 0 && strcmp(d->d_name, "..") != 0 && !listed(names, d->d_name))
			rc = grant(r, dirfd(dir), d->d_name, READ);
	closedir(dir);
	return rc;
}

/* Reading of everything beside the way from / down to the directory, and in it of what is no secret. */
static int read_around(const struct rules *r, const char *path, const char *const *secret)
{
	struct buf above = { 0 };
	struct str rest = str_skip(str_z(path), 1);
	int rc = 0;

	while (rc == 0 && rest.n > 0) {
		struct buf next = { 0 };
		const char *names[] = { NULL, NULL };

		buf_add(&next, str_cut(&rest, '/'));
		names[0] = buf_z(&next);
		rc = read_but(r, above.n > 0 ? buf_z(&above) : "/", names);
		buf_addf(&above, "/%s", names[0]);
		buf_done(&next);
	}
	buf_done(&above);
	return rc < 0 ? -1 : read_but(r, path, secret);
}

static int grant_files(const struct rules *r, const struct confinement *c)
{
	char *queue = c->queue_dir == NULL ? NULL : realpath(c->queue_dir, NULL);
	int rc, at;

	if (queue == NULL) {
		rc = c->queue_dir == NULL ? grant(r, AT_FDCWD, "/", READ) : err_errno(r->e, errno, "cannot find \"%s\"", c->queue_dir);
	} else {
		rc = read_around(r, queue, c->secret);
		at = open(queue, O_PATH | O_DIRECTORY | O_CLOEXEC);
		for (const char *const *own = c->own; rc == 0 && own != NULL && *own != NULL; own++)
			rc = grant(r, at, *own, READ | WRITE);
		if (at >= 0)
			close(at);
	}
	for (const char *const *w = c->writable; rc == 0 && w != NULL && *w != NULL; w++)
		rc = grant(r, AT_FDCWD, *w, READ | WRITE);
	if (rc == 0)
		rc = grant(r, AT_FDCWD, "/dev/null", READ | WRITE);
	free(queue);
	return rc;
}

static int grant_ports(const struct rules *r, const struct confinement *c)
{
	const struct port_attr any = { .access = NET_BIND, .port = 0 };

	if (c->connects_from && syscall(SYS_landlock_add_rule, r->fd, RULE_NET_PORT, &any, 0) < 0)
		return err_errno(r->e, errno, "landlock: cannot allow ports");
	return 0;
}

int confine_files(const struct confinement *c, struct err *e)
{
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	struct ruleset_attr attr = { .files = READ | WRITE | NEVER };
	struct rules r = { .e = e };
	int rc;

	if (abi < 1)
		return 0;
	if (abi < 2)
		attr.files &= ~ACCESS_REFER;
	if (abi < 3)
		attr.files &= ~ACCESS_TRUNCATE;
	if (abi >= 4)
		attr.net = NET_BIND;
	if (abi >= 6)
		attr.scoped = SCOPE_ABSTRACT_SOCKETS | SCOPE_SIGNALS;
	r.known = attr.files;
	r.fd = (int)syscall(SYS_landlock_create_ruleset, &attr, abi >= 6 ? sizeof attr : abi >= 4 ? 2 * sizeof attr.files : sizeof attr.files, 0);
	if (r.fd < 0)
		return err_errno(e, errno, "landlock");
	rc = grant_files(&r, c);
	if (rc == 0 && abi >= 4)
		rc = grant_ports(&r, c);
	if (rc == 0 && syscall(SYS_landlock_restrict_self, r.fd, 0) < 0)
		rc = err_errno(e, errno, "landlock");
	close(r.fd);
	return rc;
}
