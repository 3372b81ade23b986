/* lib/table/cdb.c - cdb:file, the constant database file.cdb that postmap makes. Keys are folded to lower case; keys and values may carry a
 * trailing NUL. A database that was replaced is opened again (looked at once a second at most).
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

#include <cdb.h>

#include "lib/base/mem.h"
#include "lib/table/follow.h"
#include "lib/table/registry.h"
#include "lib/table/store.h"

#define HEADER_SIZE 2048

struct database {
	struct follow file;
	struct cdb cdb;
	int fd; /* -1: not open */
	pthread_mutex_t lock;
};

static void close_file(struct database *d)
{
	if (d->fd < 0)
		return;
	cdb_free(&d->cdb);
	(void)close(d->fd);
	d->fd = -1;
}

/* The header names 256 hash tables, eight octets a slot; the last of them ends where the file does. */
static bool is_whole(const struct cdb *cdb)
{
	uint64_t end = HEADER_SIZE;

	for (size_t at = 0; at < HEADER_SIZE; at += 8) {
		uint64_t table_end = cdb_unpack(cdb->cdb_mem + at) + (uint64_t)cdb_unpack(cdb->cdb_mem + at + 4) * 8;

		end = table_end > end ? table_end : end;
	}
	return end == cdb->cdb_fsize;
}

/* A new file that cannot be used leaves the old one open. */
static int open_file(struct database *d, struct err *e)
{
	struct cdb cdb;
	int fd = open(d->file.path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || follow_note(&d->file) < 0)
		return err_errno(e, errno, "cannot open \"%s\" (make it with postmap)", d->file.path);
	if (cdb_init(&cdb, fd) != 0) {
		(void)close(fd);
		return err_temp(e, "\"%s\" is no constant database", d->file.path);
	}
	if (!is_whole(&cdb)) {
		cdb_free(&cdb);
		(void)close(fd);
		return err_temp(e, "\"%s\" is damaged, make it again", d->file.path);
	}
	close_file(d);
	d->cdb = cdb;
	d->fd = fd;
	return 0;
}

/* Follow a rewritten or replaced file; while a replacement is no good the old one serves. -1 with *e: there is neither. */
static int refresh(struct database *d, struct err *e)
{
	bool in_place;

	if (d->fd < 0)
		return open_file(d, e);
	if (!follow_due(&d->file) || !follow_changed(&d->file))
		return 0;
	in_place = follow_in_place(&d->file);
	if (open_file(d, e) == 0)
		return 0;
	if (in_place) {
		close_file(d);
		return -1;
	}
	follow_complain(&d->file, e);
	return 0;
}

static void cdb_close_table(struct table *t)
{
	struct database *d = t->state;

	close_file(d);
	pthread_mutex_destroy(&d->lock);
	mem_free(d->file.path);
	mem_free(d);
}

static int cdb_open_table(struct table *t, struct str name, struct err *e)
{
	struct database *d = t->state = mem_alloc(sizeof *d);

	d->fd = -1;
	d->file.path = table_path(t, name, ".cdb");
	pthread_mutex_init(&d->lock, NULL);
	if (open_file(d, e) == 0)
		return 0;
	cdb_close_table(t);
	return -1;
}

static struct str without_nul(const void *data, unsigned size)
{
	const char *p = data;

	return str_n(p, size > 0 && p[size - 1] == '\0' ? size - 1 : size);
}

/* Asked without and with a NUL at its end. 1 found, 0 missing, -1 the file is damaged. */
static int get(struct database *d, struct buf *key, struct buf *value)
{
	const void *data;
	int found = cdb_find(&d->cdb, buf_z(key), (unsigned)key->n);

	if (found == 0)
		found = cdb_find(&d->cdb, buf_z(key), (unsigned)key->n + 1);
	if (found <= 0)
		return found;
	data = cdb_getdata(&d->cdb);
	if (data == NULL)
		return -1;
	buf_add(value, without_nul(data, cdb_datalen(&d->cdb)));
	return 1;
}

static enum table_answer cdb_lookup(struct table *t, struct str key, struct buf *value, struct err *e)
{
	struct database *d = t->state;
	struct buf folded = { 0 };
	int found;

	if (key.n == 0 || key.n > UINT16_MAX)
		return TABLE_MISSING;
	if (t->flags & TABLE_KEEP_CASE)
		buf_add(&folded, key);
	else
		table_fold(&folded, key);
	(void)pthread_mutex_lock(&d->lock);
	found = refresh(d, e);
	if (found == 0) {
		found = get(d, &folded, value);
		if (found < 0)
			(void)err_temp(e, "\"%s\" is damaged", d->file.path);
	}
	(void)pthread_mutex_unlock(&d->lock);
	buf_done(&folded);
	return found < 0 ? TABLE_FAILED : found > 0 ? TABLE_FOUND : TABLE_MISSING;
}

const struct table_type table_cdb = { "cdb", TABLE_THREAD_OK, cdb_open_table, cdb_lookup, cdb_close_table };

/* ---- listing and making ---- */

static int cdb_each(struct table *t, table_each_fn *fn, void *ctx, struct err *e)
{
	struct database *d = t->state;
	unsigned at;
	int more;

	cdb_seqinit(&at, &d->cdb);
	while ((more = cdb_seqnext(&at, &d->cdb)) > 0) {
		const void *key = cdb_getkey(&d->cdb), *value = cdb_getdata(&d->cdb);

		if (key == NULL || value == NULL) {
			more = -1;
			break;
		}
		fn(ctx, without_nul(key, cdb_keylen(&d->cdb)), without_nul(value, cdb_datalen(&d->cdb)));
	}
	return more < 0 ? err_temp(e, "\"%s\" is damaged", d->file.path) : 0;
}

static int put_all(struct cdb_make *m, const struct table_pair *pairs, size_t count, bool with_nul)
{
	struct buf key = { 0 }, value = { 0 };
	int r = 0;

	for (size_t i = 0; i < count && r == 0; i++) {
		buf_clear(&key);
		buf_add(&key, pairs[i].key);
		buf_clear(&value);
		buf_add(&value, pairs[i].value);
		r = cdb_make_add(m, buf_z(&key), (unsigned)(key.n + with_nul), buf_z(&value), (unsigned)(value.n + with_nul));
	}
	buf_done(&key);
	buf_done(&value);
	return r;
}

static int cdb_write(const char *path, const struct table_pair *pairs, size_t count, bool with_nul, struct err *e)
{
	struct cdb_make m;
	int fd = open(path, O_RDWR | O_CLOEXEC), r;

	if (fd < 0)
		return err_errno(e, errno, "cannot open \"%s\"", path);
	r = cdb_make_start(&m, fd);
	if (r == 0)
		r = put_all(&m, pairs, count, with_nul);
	if (cdb_make_finish(&m) != 0 || fsync(fd) < 0)
		r = -1;
	if (r != 0)
		(void)err_errno(e, errno, "cannot write \"%s\"", path);
	(void)close(fd);
	return r == 0 ? 0 : -1;
}

const struct table_store table_cdb_store = { &table_cdb, ".cdb", cdb_each, cdb_write, false };
