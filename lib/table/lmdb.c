/* lib/table/lmdb.c - lmdb:file, the database file.lmdb that postmap makes. Keys are folded to lower case; keys and values may carry a
 * trailing NUL. A database that was replaced or rewritten is opened again (looked at once a second at most).
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>

#include <lmdb.h>

#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/table/registry.h"

#define LOOK_EVERY_MS 1000

struct database {
	char *path;
	MDB_env *env;
	MDB_dbi dbi;
	ino_t ino;
	struct timespec changed;
	int64_t looked_at;
	pthread_mutex_t lock;
};

static int failed(struct err *e, const char *path, int code)
{
	return err_temp(e, "cannot use \"%s\": %s", path, mdb_strerror(code));
}

static void close_env(struct database *d)
{
	if (d->env != NULL)
		mdb_env_close(d->env);
	d->env = NULL;
}

/* postmap writes under an fcntl lock of the whole file; readers take it shared. */
static void lock_file(const struct database *d, short kind)
{
	struct flock f = { .l_type = kind, .l_whence = SEEK_SET };
	int fd;

	if (mdb_env_get_fd(d->env, &fd) == 0)
		(void)fcntl(fd, F_SETLKW, &f); /* a file system without locks: as good as it gets */
}

static int open_env(struct database *d, struct err *e)
{
	MDB_txn *txn;
	struct stat st;
	int code;

	if (stat(d->path, &st) < 0)
		return err_errno(e, errno, "cannot open \"%s\" (make it with postmap)", d->path);
	code = mdb_env_create(&d->env);
	if (code != 0)
		return failed(e, d->path, code);
	code = mdb_env_open(d->env, d->path, MDB_NOSUBDIR | MDB_RDONLY | MDB_NOLOCK | MDB_NOTLS, 0644);
	if (code == 0) {
		lock_file(d, F_RDLCK);
		code = mdb_txn_begin(d->env, NULL, MDB_RDONLY, &txn);
		if (code == 0) {
			code = mdb_dbi_open(txn, NULL, 0, &d->dbi);
			(void)mdb_txn_commit(txn); /* read only: keeps the handle */
		}
		lock_file(d, F_UNLCK);
	}
	if (code != 0) {
		close_env(d);
		return failed(e, d->path, code);
	}
	d->ino = st.st_ino;
	d->changed = st.st_mtim;
	return 0;
}

/* Follow a rewritten or replaced file; while there is none the old one serves. */
static int refresh(struct database *d, struct err *e)
{
	int64_t now = clock_mono_ms();
	struct stat st;

	if (d->env != NULL && now - d->looked_at < LOOK_EVERY_MS)
		return 0;
	d->looked_at = now;
	if (d->env != NULL) {
		if (stat(d->path, &st) < 0)
			return 0;
		if (st.st_ino == d->ino && st.st_mtim.tv_sec == d->changed.tv_sec && st.st_mtim.tv_nsec == d->changed.tv_nsec)
			return 0;
		close_env(d);
	}
	return open_env(d, e);
}

static void lmdb_close(struct table *t)
{
	struct database *d = t->state;

	close_env(d);
	pthread_mutex_destroy(&d->lock);
	mem_free(d->path);
	mem_free(d);
}

static int lmdb_open(struct table *t, struct str name, struct err *e)
{
	struct database *d = t->state = mem_alloc(sizeof *d);
	struct buf path = { 0 };

	if (name.n > 0 && name.p[0] != '/')
		buf_addf(&path, "%s/", t->conf_dir);
	buf_add(&path, name);
	buf_addz(&path, ".lmdb");
	d->path = mem_strdup(buf_z(&path));
	buf_done(&path);
	pthread_mutex_init(&d->lock, NULL);
	if (refresh(d, e) == 0)
		return 0;
	lmdb_close(t);
	return -1;
}

/* key is NUL-terminated; asked without and with the NUL. */
static int get(const struct database *d, MDB_txn *txn, const struct buf *key, struct buf *value)
{
	MDB_val k = { key->n, key->p }, v;
	int code = mdb_get(txn, d->dbi, &k, &v);

	if (code == MDB_NOTFOUND) {
		k.mv_size++;
		code = mdb_get(txn, d->dbi, &k, &v);
	}
	if (code != 0)
		return code;
	if (v.mv_size > 0 && ((const char *)v.mv_data)[v.mv_size - 1] == '\0')
		v.mv_size--;
	buf_addn(value, v.mv_data, v.mv_size);
	return 0;
}

static enum table_answer lmdb_lookup(struct table *t, struct str key, struct buf *value, struct err *e)
{
	struct database *d = t->state;
	struct buf folded = { 0 };
	MDB_txn *txn;
	int code = -1, r;

	buf_add_lower(&folded, key);
	(void)buf_z(&folded);
	(void)pthread_mutex_lock(&d->lock);
	r = key.n == 0 || key.n >= 511 ? 1 : refresh(d, e); /* 511: LMDB's longest key */
	if (r == 0) {
		lock_file(d, F_RDLCK);
		code = mdb_txn_begin(d->env, NULL, MDB_RDONLY, &txn);
		if (code == 0) {
			code = get(d, txn, &folded, value);
			mdb_txn_abort(txn);
		}
		lock_file(d, F_UNLCK);
	}
	(void)pthread_mutex_unlock(&d->lock);
	buf_done(&folded);
	if (r < 0)
		return TABLE_FAILED;
	if (r > 0 || code == MDB_NOTFOUND)
		return TABLE_MISSING;
	if (code == 0)
		return TABLE_FOUND;
	(void)failed(e, d->path, code);
	return TABLE_FAILED;
}

const struct table_type table_lmdb = { "lmdb", TABLE_THREAD_OK, lmdb_open, lmdb_lookup, lmdb_close };
