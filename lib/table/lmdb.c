/* lib/table/lmdb.c - lmdb:file, the database file.lmdb that postmap makes. Keys are folded to lower case; keys and values may carry a
 * trailing NUL. A database that was replaced or rewritten is opened again (looked at once a second at most).
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>

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
	int code;

	if (follow_note(&d->file) < 0)
		return err_errno(e, errno, "cannot open \"%s\" (make it with postmap)", d->file.path);
	code = mdb_env_create(&d->env);
	if (code != 0)
		return failed(e, d->file.path, code);
	code = mdb_env_open(d->env, d->file.path, MDB_NOSUBDIR | MDB_RDONLY | MDB_NOLOCK | MDB_NOTLS, 0644);
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
		return failed(e, d->file.path, code);
	}
	return 0;
}

/* Follow a rewritten or replaced file; while there is none the old one serves. */
static int refresh(struct database *d, struct err *e)
{
	if (d->env != NULL && (!follow_due(&d->file) || !follow_changed(&d->file)))
		return 0;
	close_env(d);
	return open_env(d, e);
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
	if (refresh(d, e) == 0)
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

static enum table_answer lmdb_lookup(struct table *t, struct str key, struct buf *value, struct err *e)
{
	struct database *d = t->state;
	struct buf folded = { 0 };
	MDB_txn *txn;
	int code = -1, r;

	if (t->flags & TABLE_KEEP_CASE)
		buf_add(&folded, key);
	else
		table_fold(&folded, key);
	(void)pthread_mutex_lock(&d->lock);
	r = key.n == 0 || key.n >= KEY_MAX_SIZE ? 1 : refresh(d, e);
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
	(void)failed(e, d->file.path, code);
	return TABLE_FAILED;
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
