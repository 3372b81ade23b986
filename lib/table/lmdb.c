/* lib/table/lmdb.c - lmdb:file, the database file.lmdb that postmap makes. Keys are folded to lower case; keys and values may carry a
 * trailing NUL. A database that was replaced or rewritten is opened again (looked at once a second at most).
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>

#include <lmdb.h>

#include "lib/base/mem.h"
#include "lib/table/follow.h"
#include "lib/table/registry.h"
#include "lib/table/store.h"

#define KEY_MAX_SIZE 511 /* LMDB's */
#define MAP_OVERHEAD 4 /* pages take up to this many times the data */
#define MAP_LEAST (16UL * 1024 * 1024)

struct database {
	struct follow file;
	MDB_env *env;
	MDB_dbi dbi;
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
static void lock_file(MDB_env *env, short kind)
{
	struct flock f = { .l_type = kind, .l_whence = SEEK_SET };
	int fd;

	if (mdb_env_get_fd(env, &fd) == 0)
		(void)fcntl(fd, F_SETLKW, &f); /* a file system without locks: as good as it gets */
}

/* Pages that are not there end the process when they are read: is the file as long as it says? */
static int check_size(MDB_env *env, MDB_txn *txn, MDB_dbi dbi, const char *path, struct err *e)
{
	MDB_envinfo info;
	MDB_stat stat;
	struct stat file;
	int fd, code = mdb_env_info(env, &info);

	if (code == 0)
		code = mdb_stat(txn, dbi, &stat);
	if (code == 0)
		code = mdb_env_get_fd(env, &fd);
	if (code != 0)
		return failed(e, path, code);
	if (fstat(fd, &file) < 0)
		return err_errno(e, errno, "cannot use \"%s\"", path);
	if ((uint64_t)file.st_size / stat.ms_psize > info.me_last_pgno)
		return 0;
	return err_temp(e, "\"%s\" is cut short, make it again", path);
}

static int open_database(MDB_env *env, MDB_dbi *dbi, const char *path, struct err *e)
{
	MDB_txn *txn;
	int rc, code = mdb_env_open(env, path, MDB_NOSUBDIR | MDB_RDONLY | MDB_NOLOCK | MDB_NOTLS, 0644);

	if (code != 0)
		return failed(e, path, code);
	lock_file(env, F_RDLCK);
	code = mdb_txn_begin(env, NULL, MDB_RDONLY, &txn);
	rc = code == 0 ? 0 : failed(e, path, code);
	if (rc == 0) {
		code = mdb_dbi_open(txn, NULL, 0, dbi);
		rc = code == 0 ? check_size(env, txn, *dbi, path, e) : failed(e, path, code);
		(void)mdb_txn_commit(txn); /* read only: keeps the handle */
	}
	lock_file(env, F_UNLCK);
	return rc;
}

/* A new file that cannot be used leaves the old one open. */
static int open_env(struct database *d, struct err *e)
{
	MDB_env *env = NULL;
	MDB_dbi dbi = 0;
	int code;

	if (follow_note(&d->file) < 0)
		return err_errno(e, errno, "cannot open \"%s\" (make it with postmap)", d->file.path);
	code = mdb_env_create(&env);
	if (code != 0)
		return failed(e, d->file.path, code);
	if (open_database(env, &dbi, d->file.path, e) < 0) {
		mdb_env_close(env);
		return -1;
	}
	close_env(d);
	d->env = env;
	d->dbi = dbi;
	return 0;
}

/* Follow a rewritten or replaced file; while a replacement is no good the old one serves. -1 with *e: there is neither. */
static int refresh(struct database *d, struct err *e)
{
	bool in_place;

	if (d->env == NULL)
		return open_env(d, e);
	if (!follow_due(&d->file) || !follow_changed(&d->file))
		return 0;
	in_place = follow_in_place(&d->file);
	if (open_env(d, e) == 0)
		return 0;
	if (in_place) {
		close_env(d);
		return -1;
	}
	follow_complain(&d->file, e);
	return 0;
}

static void lmdb_close(struct table *t)
{
	struct database *d = t->state;

	close_env(d);
	pthread_mutex_destroy(&d->lock);
	mem_free(d->file.path);
	mem_free(d);
}

static int lmdb_open(struct table *t, struct str name, struct err *e)
{
	struct database *d = t->state = mem_alloc(sizeof *d);

	d->file.path = table_path(t, name, ".lmdb");
	pthread_mutex_init(&d->lock, NULL);
	if (open_env(d, e) == 0)
		return 0;
	lmdb_close(t);
	return -1;
}

/* Asked without and with a NUL at its end. */
static int get(const struct database *d, MDB_txn *txn, struct buf *key, struct buf *value)
{
	MDB_val k = { key->n, (void *)(uintptr_t)buf_z(key) }, v;
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

/* Under the lock of the table and that of the file. */
static enum table_answer ask(const struct database *d, struct buf *key, struct buf *value, struct err *e)
{
	MDB_txn *txn;
	int code;

	lock_file(d->env, F_RDLCK);
	code = mdb_txn_begin(d->env, NULL, MDB_RDONLY, &txn);
	if (code == 0) {
		code = get(d, txn, key, value);
		mdb_txn_abort(txn);
	}
	lock_file(d->env, F_UNLCK);
	if (code == 0 || code == MDB_NOTFOUND)
		return code == 0 ? TABLE_FOUND : TABLE_MISSING;
	(void)failed(e, d->file.path, code);
	return TABLE_FAILED;
}

static enum table_answer lmdb_lookup(struct table *t, struct str key, struct buf *value, struct err *e)
{
	struct database *d = t->state;
	struct buf folded = { 0 };
	enum table_answer answer;

	if (key.n == 0 || key.n >= KEY_MAX_SIZE)
		return TABLE_MISSING;
	if (t->flags & TABLE_KEEP_CASE)
		buf_add(&folded, key);
	else
		table_fold(&folded, key);
	(void)pthread_mutex_lock(&d->lock);
	answer = refresh(d, e) < 0 ? TABLE_FAILED : ask(d, &folded, value, e);
	(void)pthread_mutex_unlock(&d->lock);
	buf_done(&folded);
	return answer;
}

const struct table_type table_lmdb = { "lmdb", TABLE_THREAD_OK, lmdb_open, lmdb_lookup, lmdb_close };

/* ---- listing and making ---- */

static struct str without_nul(MDB_val v)
{
	const char *p = v.mv_data;

	return str_n(p, v.mv_size > 0 && p[v.mv_size - 1] == '\0' ? v.mv_size - 1 : v.mv_size);
}

static int lmdb_each(struct table *t, table_each_fn *fn, void *ctx, struct err *e)
{
	const struct database *d = t->state;
	MDB_txn *txn;
	MDB_cursor *cursor;
	MDB_val k, v;
	int code = mdb_txn_begin(d->env, NULL, MDB_RDONLY, &txn);

	if (code != 0)
		return failed(e, d->file.path, code);
	code = mdb_cursor_open(txn, d->dbi, &cursor);
	if (code == 0) {
		while ((code = mdb_cursor_get(cursor, &k, &v, MDB_NEXT)) == 0)
			fn(ctx, without_nul(k), without_nul(v));
		mdb_cursor_close(cursor);
	}
	mdb_txn_abort(txn);
	return code == MDB_NOTFOUND ? 0 : failed(e, d->file.path, code);
}

static int put_all(MDB_txn *txn, MDB_dbi dbi, const struct table_pair *pairs, size_t count, bool with_nul)
{
	struct buf key = { 0 }, value = { 0 };
	int code = 0;

	for (size_t i = 0; i < count && code == 0; i++) {
		MDB_val k, v;

		buf_clear(&key);
		buf_add(&key, pairs[i].key);
		buf_clear(&value);
		buf_add(&value, pairs[i].value);
		k = (MDB_val){ key.n + with_nul, (void *)(uintptr_t)buf_z(&key) };
		v = (MDB_val){ value.n + with_nul, (void *)(uintptr_t)buf_z(&value) };
		code = mdb_put(txn, dbi, &k, &v, 0);
	}
	buf_done(&key);
	buf_done(&value);
	return code;
}

static int write_env(MDB_env *env, const char *path, const struct table_pair *pairs, size_t count, bool with_nul)
{
	MDB_txn *txn;
	MDB_dbi dbi;
	size_t size = MAP_LEAST;
	int code;

	for (size_t i = 0; i < count; i++)
		size += (pairs[i].key.n + pairs[i].value.n + 64) * MAP_OVERHEAD;
	code = mdb_env_set_mapsize(env, size);
	if (code == 0)
		code = mdb_env_open(env, path, MDB_NOSUBDIR | MDB_NOLOCK, 0644);
	if (code == 0)
		code = mdb_txn_begin(env, NULL, 0, &txn);
	if (code != 0)
		return code;
	code = mdb_dbi_open(txn, NULL, 0, &dbi);
	if (code == 0)
		code = put_all(txn, dbi, pairs, count, with_nul);
	if (code == 0)
		return mdb_txn_commit(txn);
	mdb_txn_abort(txn);
	return code;
}

static int lmdb_write(const char *path, const struct table_pair *pairs, size_t count, bool with_nul, struct err *e)
{
	MDB_env *env = NULL;
	int code = mdb_env_create(&env);

	if (code == 0)
		code = write_env(env, path, pairs, count, with_nul);
	mdb_env_close(env);
	return code == 0 ? 0 : failed(e, path, code);
}

const struct table_store table_lmdb_store = { &table_lmdb, ".lmdb", lmdb_each, lmdb_write, true };
