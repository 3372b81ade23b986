/* mta/tools/gatepost/map_make.c - map and alias: lmdb: and cdb: files made of text files, added to and taken from. A new file takes the place
 * of the old one in one step. Types whose text files are the table are only looked at.
 * Security: root becomes the owner of the source file for the work (unless -o), who could otherwise have it write where he may not.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sysexits.h>

#include "lib/base/base64.h"
#include "lib/base/fs.h"
#include "lib/base/map.h"
#include "lib/base/mem.h"
#include "lib/base/utf8.h"
#include "lib/table/registry.h"
#include "mta/tools/gatepost/map.h"

#define SOURCE_MAX (1024UL * 1024 * 1024) /* octets */
#define GROUPS_MAX 1024
#define MODE_USUAL 0644

struct making {
	const struct map_options *o;
	const struct table_store *store;
	struct str spec, name;
	const char *source; /* named in complaints */
	char *path; /* of the index file */
	struct arena *life;
	struct table_pair *pairs;
	size_t count, cap;
	struct map *numbers; /* key: its pair */
	int lock; /* -1: none */
	bool failed;
};

/* ---- the owner's rights ---- */

static struct {
	bool given_up;
	int group_count;
	gid_t groups[GROUPS_MAX];
} root;

static int become_owner(const struct map_options *o, const struct stat *st)
{
	if (geteuid() != 0 || o->keep_root || st->st_uid == 0)
		return 0;
	root.group_count = getgroups(GROUPS_MAX, root.groups);
	if (root.group_count < 0 || setgroups(1, &st->st_gid) < 0 || setegid(st->st_gid) < 0 || seteuid(st->st_uid) < 0) {
		tool_complain("cannot become the owner of the file: %s", strerror(errno));
		return -1;
	}
	root.given_up = true;
	return 0;
}

static void become_root_again(void)
{
	if (!root.given_up)
		return;
	root.given_up = false;
	check(seteuid(0) == 0 && setegid(0) == 0 && setgroups((size_t)root.group_count, root.groups) == 0);
}

/* ---- pairs ---- */

static struct table_pair *pair_of(const struct making *m, struct str key)
{
	size_t number = (size_t)(uintptr_t)map_get(m->numbers, key);

	return number > 0 ? &m->pairs[number - 1] : NULL;
}

static void add_pair(struct making *m, struct str key, struct str value)
{
	if (m->count == m->cap) {
		m->cap = m->cap == 0 ? 64 : m->cap * 2;
		m->pairs = mem_grow(m->pairs, m->cap, sizeof *m->pairs);
	}
	m->pairs[m->count++] = (struct table_pair){ arena_dup(m->life, key), arena_dup(m->life, value) };
	(void)map_put(m->numbers, key, (void *)(uintptr_t)m->count);
}

static void add_old(void *ctx, struct str key, struct str value)
{
	struct making *m = ctx;

	add_pair(m, key, value);
}

static void wrong(void *ctx, int line, const char *what)
{
	const struct making *m = ctx;

	tool_complain("warning: %s:%d: %s, ignoring this line", m->source, line, what);
}

/* -F: the value is names of files; their content, a line end between, is the value, as base64. False: not to be read. */
static bool read_files(struct making *m, int line, struct str names, struct buf *out)
{
	struct buf all = { 0 };
	struct err e = ERR_INIT;
	struct str name;
	bool first = true;

	while (e.kind == ERR_NONE && (name = str_word(&names, ", \t\r\n")).n > 0) {
		if (!first)
			buf_addc(&all, '\n');
		first = false;
		(void)fs_read_file(arena_z(m->life, name), SOURCE_MAX, &all, &e);
	}
	if (e.kind != ERR_NONE) {
		tool_complain("%s:%d: %s", m->source, line, e.text);
		m->failed = true;
	}
	base64_encode(out, buf_str(&all));
	buf_done(&all);
	return e.kind == ERR_NONE;
}

static void take_line(struct making *m, int line, struct str key, struct str value)
{
	struct table_pair *old = pair_of(m, key);

	if (!m->o->alias && key.n > 0 && key.p[key.n - 1] == ':')
		tool_complain("warning: %s:%d: record is in \"key: value\" format; is this an alias file?", m->source, line);
	if (old == NULL) {
		add_pair(m, key, value);
	} else if (m->o->replace) {
		old->value = arena_dup(m->life, value);
	} else if (!m->o->quiet_repeats) {
		tool_complain("warning: %s:%d: duplicate entry: \"%.*s\", ignoring this line", m->source, line, STRF(key));
	}
}

static void read_line(void *ctx, int line, struct str key, struct str value)
{
	struct making *m = ctx;
	struct buf encoded = { 0 };

	if (!m->o->any_bytes && (!utf8_valid(key) || !utf8_valid(value)))
		wrong(m, line, "not UTF-8 (-u takes it)");
	else if (!m->o->base64)
		take_line(m, line, key, value);
	else if (read_files(m, line, value, &encoded))
		take_line(m, line, key, buf_str(&encoded));
	buf_done(&encoded);
}

/* ---- files ---- */

/* No two of us change one file: the second one would undo the first. */
static void lock_index(struct making *m)
{
	struct stat here, there;

	for (;;) {
		m->lock = open(m->path, O_RDONLY | O_CLOEXEC);
		if (m->lock < 0 || flock(m->lock, LOCK_EX) < 0 || fstat(m->lock, &here) < 0)
			return;
		if (stat(m->path, &there) == 0 && here.st_ino == there.st_ino && here.st_dev == there.st_dev)
			return;
		(void)close(m->lock); /* replaced while we waited */
	}
}

/* What is in the index now. No index is an empty one. */
static int read_old(struct making *m, struct err *e)
{
	struct table *t;
	int r;

	lock_index(m);
	if (m->lock < 0 && errno == ENOENT)
		return 0;
	t = table_open(m->spec, ".", e);
	if (t == NULL)
		return -1;
	r = m->store->each(t, add_old, m, e);
	table_close(t);
	return r;
}

static mode_t mode_of(const struct making *m, const struct stat *source)
{
	struct stat old;

	if (stat(m->path, &old) == 0)
		return old.st_mode & 0777;
	return m->o->usual_mode || !S_ISREG(source->st_mode) ? MODE_USUAL : (source->st_mode & 0044) | 0600;
}

static int write_index(struct making *m, const struct stat *source, struct err *e)
{
	struct str made = arena_printf(m->life, "%s.XXXXXX", m->path);
	char *path = (char *)(uintptr_t)arena_z(m->life, made);
	bool nul = m->o->nul == MAP_NUL_USUAL ? m->store->with_nul : m->o->nul == MAP_NUL_YES;
	int fd = mkstemp(path);

	if (fd < 0)
		return err_errno(e, errno, "cannot make a file beside \"%s\"", m->path);
	if (fchmod(fd, mode_of(m, source)) < 0 || m->store->write(path, m->pairs, m->count, nul, e) < 0 || rename(path, m->path) < 0) {
		if (e->kind == ERR_NONE)
			(void)err_errno(e, errno, "cannot write \"%s\"", m->path);
		(void)unlink(path);
	}
	(void)close(fd);
	return e->kind == ERR_NONE ? 0 : -1;
}

/* ---- making ---- */

static bool begin(struct making *m)
{
	struct str type;

	table_spec_split(m->spec, &type, &m->name);
	m->store = table_store_find(type);
	m->life = arena_new("map");
	m->numbers = map_new();
	m->lock = -1;
	if (m->store == NULL || m->store->write == NULL)
		return false;
	m->source = arena_z(m->life, m->name);
	m->path = (char *)(uintptr_t)arena_z(m->life, arena_printf(m->life, "%s%s", m->source, m->store->suffix));
	return true;
}

static void end(struct making *m)
{
	if (m->lock >= 0)
		(void)close(m->lock);
	mem_free(m->pairs);
	map_free(m->numbers, NULL);
	arena_free(m->life);
}

static int read_all(FILE *f, struct buf *out, const char *name, struct err *e)
{
	size_t n;

	do {
		n = fread(buf_reserve(out, 65536), 1, 65536, f);
		out->n += n;
	} while (n > 0 && out->n < SOURCE_MAX);
	return ferror(f) || out->n >= SOURCE_MAX ? err_errno(e, out->n >= SOURCE_MAX ? EFBIG : errno, "cannot read \"%s\"", name) : 0;
}

static int read_source(struct making *m, FILE *f, struct err *e)
{
	struct text_reader r = { m->o->alias, m->o->keep_case, read_line, wrong, m };
	struct buf text = { 0 };
	int result = m->o->incremental ? read_old(m, e) : 0;

	if (result == 0)
		result = read_all(f, &text, m->source, e);
	if (result == 0)
		table_read_text(&r, buf_str(&text));
	buf_done(&text);
	return result < 0 || m->failed ? -1 : 0;
}

static int make(struct making *m)
{
	struct err e = ERR_INIT;
	struct stat st;
	FILE *f = m->o->incremental ? stdin : fopen(m->source, "re");
	int r = -1;

	if (f == NULL || fstat(fileno(f), &st) < 0) {
		tool_complain("open %s: %s", m->source, strerror(errno));
		if (f != NULL && f != stdin)
			(void)fclose(f);
		return EX_NOINPUT;
	}
	if (!S_ISREG(st.st_mode)) /* a pipe's owner says nothing about the file */
		st.st_uid = geteuid();
	if (m->o->incremental)
		m->source = "standard input";
	if (become_owner(m->o, &st) == 0) {
		r = read_source(m, f, &e);
		if (r == 0)
			r = write_index(m, &st, &e);
		become_root_again();
	}
	if (f != stdin)
		(void)fclose(f);
	if (r < 0 && e.kind != ERR_NONE)
		tool_complain("%s", e.text);
	return r < 0 ? EX_CANTCREAT : EX_OK;
}

/* Nothing to make: does it open? Wrong lines are named. */
static int look(const struct map_options *o, struct str spec)
{
	struct err e = ERR_INIT;
	struct table *t;

	if (o->incremental || o->delete != NULL) {
		tool_complain("%.*s: this table is its text file: edit that", STRF(spec));
		return EX_UNAVAILABLE;
	}
	t = table_open(spec, ".", &e);
	if (t == NULL)
		tool_complain("%s", e.text);
	table_close(t);
	return t == NULL ? EX_CONFIG : EX_OK;
}

int map_make(const struct map_options *o, struct str spec)
{
	struct making m = { .o = o, .spec = spec };
	int status = begin(&m) ? make(&m) : look(o, spec);

	end(&m);
	return status;
}

/* ---- deleting ---- */

static bool drop(struct making *m, struct str key)
{
	struct buf folded = { 0 };
	struct table_pair *old;

	if (!m->o->keep_case) {
		table_fold(&folded, key);
		key = buf_str(&folded);
	}
	old = pair_of(m, key);
	if (old != NULL) {
		(void)map_del(m->numbers, key);
		*old = m->pairs[--m->count];
		if (old != &m->pairs[m->count])
			(void)map_put(m->numbers, old->key, (void *)((uintptr_t)(old - m->pairs) + 1));
	}
	buf_done(&folded);
	return old != NULL;
}

static bool drop_keys(struct making *m)
{
	char *line = NULL;
	size_t size = 0;
	ssize_t n;
	bool any = false;

	if (strcmp(m->o->delete, "-") != 0)
		return drop(m, str_z(m->o->delete));
	while ((n = getline(&line, &size, stdin)) > 0)
		any |= drop(m, str_n(line, (size_t)n - (line[n - 1] == '\n')));
	free(line);
	return any;
}

static int delete_keys(struct making *m)
{
	struct err e = ERR_INIT;
	struct stat st;
	bool any = false;
	int r = -1;

	if (stat(m->path, &st) < 0) {
		tool_complain("open %s: %s", m->path, strerror(errno));
		return EX_NOINPUT;
	}
	if (become_owner(m->o, &st) == 0) {
		r = read_old(m, &e);
		any = r == 0 && drop_keys(m);
		if (any)
			r = write_index(m, &st, &e);
		become_root_again();
	}
	if (r < 0 && e.kind != ERR_NONE)
		tool_complain("%s", e.text);
	return r < 0 ? EX_CANTCREAT : any ? EX_OK : 1;
}

int map_delete(const struct map_options *o, struct str spec)
{
	struct making m = { .o = o, .spec = spec };
	int status = begin(&m) ? delete_keys(&m) : look(o, spec);

	end(&m);
	return status;
}
