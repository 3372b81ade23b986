/* lib/service/server_names.c - tls_server_sni_maps: keys and chains by server name, read while the process may, and the files they are in.
 * A table's value is a list of files (key first, then its chain), as in the text that "postmap -F" takes, or that very content in base64.
 */
#include <string.h>
#include <strings.h>

#include "lib/base/base64.h"
#include "lib/base/fs.h"
#include "lib/base/log.h"
#include "lib/base/map.h"
#include "lib/conf/lines.h"
#include "lib/service/server_tls.h"

#define MAP_FILE_MAX (16u * 1024 * 1024) /* octets */
#define PEM_FILE_MAX (1u * 1024 * 1024)

struct server_names {
	struct arena *life;
	struct map *chains; /* name -> struct str, PEM text */
};

typedef int entry_fn(void *ctx, struct str name, struct str files, struct err *e);

/* ---- tables that are text ---- */

static bool is_text_type(struct str type)
{
	static const char *const types[] = { "btree", "cdb", "dbm", "hash", "sdbm", "texthash" };

	for (size_t i = 0; i < sizeof types / sizeof *types; i++)
		if (str_eqz(type, types[i]))
			return true;
	return false;
}

static int visit_lines(struct str text, entry_fn *fn, void *ctx, struct err *e)
{
	struct lines l = { text, 1 };
	struct buf line = { 0 };
	int number, rc = 0;

	while (rc == 0 && lines_next(&l, &line, &number)) {
		struct str rest = buf_str(&line), name = str_word(&rest, " \t");

		rc = fn(ctx, name, str_trim(rest), e);
	}
	buf_done(&line);
	return rc;
}

static int visit_file(const struct conf *c, struct str file, entry_fn *fn, void *ctx, struct err *e)
{
	struct buf path = { 0 }, text = { 0 };
	int rc;

	if (file.n > 0 && file.p[0] != '/')
		buf_addf(&path, "%s/", conf_dir(c));
	buf_add(&path, file);
	rc = fs_read_file(buf_z(&path), MAP_FILE_MAX, &text, e);
	if (rc == 0)
		rc = visit_lines(buf_str(&text), fn, ctx, e);
	buf_done(&path);
	buf_done(&text);
	return rc;
}

/* "{ name=files, { name = files more } }" */
static int visit_inline(struct str body, entry_fn *fn, void *ctx, struct err *e)
{
	struct str rest = str_sub(body, 1, body.n - 2), word;
	int rc = 0;

	while (rc == 0 && (word = str_word_braced(&rest)).n > 0) {
		struct str name;

		if (word.n >= 2 && word.p[0] == '{')
			word = str_sub(word, 1, word.n - 2);
		name = str_cut(&word, '=');
		rc = fn(ctx, str_trim(name), str_trim(word), e);
	}
	return rc;
}

/* Every entry of every table that is text; the names of the other tables into *others. */
static int visit_all(const struct conf *c, struct buf *others, entry_fn *fn, void *ctx, struct err *e)
{
	struct str rest = str_z(conf_str(c, "tls_server_sni_maps")), word;
	int rc = 0;

	while (rc == 0 && (word = str_word_braced(&rest)).n > 0) {
		struct str name = word, type = str_cut(&name, ':');

		if (is_text_type(type))
			rc = visit_file(c, name, fn, ctx, e);
		else if (str_eqz(type, "inline") && name.n >= 2 && name.p[0] == '{')
			rc = visit_inline(name, fn, ctx, e);
		else if (others != NULL)
			buf_addf(others, " %.*s", STRF(word));
	}
	return rc;
}

/* ---- keeping them ---- */

static bool is_base64_pem(struct str value)
{
	return str_starts(value, STR("LS0tLS1CRUdJT")); /* "-----BEGIN" */
}

static int read_chain(struct str files, struct buf *out, struct err *e)
{
	struct buf path = { 0 };
	struct str word;
	int rc = 0;

	if (is_base64_pem(files))
		return base64_decode(out, files) == 0 ? 0 : err_perm(e, "bad base64");
	while (rc == 0 && (word = str_word(&files, " \t\r\n,")).n > 0) {
		struct buf text = { 0 };

		buf_clear(&path);
		buf_add(&path, word);
		rc = fs_read_file(buf_z(&path), PEM_FILE_MAX, &text, e);
		buf_add(out, buf_str(&text));
		buf_done(&text);
	}
	buf_done(&path);
	return rc;
}

/* A name whose files cannot be read costs itself, not the service. */
static int keep_entry(void *ctx, struct str name, struct str files, struct err *e)
{
	struct server_names *n = ctx;
	struct buf chain = { 0 };
	struct err why = ERR_INIT;
	struct str *stored;

	(void)e; /* nothing here ends the reading */
	if (read_chain(files, &chain, &why) < 0) {
		log_warn("tls_server_sni_maps: %.*s: %s", STRF(name), why.text);
	} else {
		stored = arena_alloc(n->life, sizeof *stored);
		*stored = arena_dup(n->life, buf_str(&chain));
		(void)map_put(n->chains, arena_lower(n->life, name), stored);
	}
	buf_done(&chain);
	return 0;
}

struct server_names *server_names_load(const struct conf *c, struct buf *others, struct err *e)
{
	struct arena *life;
	struct server_names *n;

	if (*conf_str(c, "tls_server_sni_maps") == '\0')
		return NULL;
	life = arena_new("certificates by name");
	n = arena_alloc(life, sizeof *n);
	n->life = life;
	n->chains = map_new();
	if (visit_all(c, others, keep_entry, n, e) == 0)
		return n;
	map_free(n->chains, NULL);
	arena_free(life);
	return NULL;
}

/* The name itself, then ".parent" of it and of its parents. */
bool server_names_find(const struct server_names *n, struct str name, struct buf *chain)
{
	const struct str *found = map_get(n->chains, name);
	ptrdiff_t dot;

	while (found == NULL && (dot = str_chr(name, '.')) >= 0) {
		found = map_get(n->chains, str_skip(name, (size_t)dot));
		name = str_skip(name, (size_t)dot + 1);
	}
	if (found != NULL)
		buf_add(chain, *found);
	return found != NULL;
}

/* ---- all files ---- */

struct files {
	struct arena *a;
	struct str *v;
	size_t count, cap;
};

static void add_file(struct files *f, struct str file)
{
	if (file.n == 0 || file.p[0] != '/')
		return;
	for (size_t i = 0; i < f->count; i++)
		if (str_eq(f->v[i], file))
			return;
	if (f->count == f->cap) {
		size_t cap = f->cap > 0 ? 2 * f->cap : 16;
		struct str *v = arena_alloc(f->a, cap * sizeof *v);

		if (f->count > 0)
			memcpy(v, f->v, f->count * sizeof *v);
		f->v = v;
		f->cap = cap;
	}
	f->v[f->count++] = arena_dup(f->a, file);
}

static void add_files(struct files *f, struct str words)
{
	struct str word;

	while ((word = str_word(&words, " \t\r\n,")).n > 0)
		add_file(f, word);
}

static int add_entry_files(void *ctx, struct str name, struct str files, struct err *e)
{
	(void)name; /* whose they are does not matter */
	(void)e;
	if (!is_base64_pem(files))
		add_files(ctx, files);
	return 0;
}

size_t server_tls_files(const struct conf *c, struct arena *a, struct str **out)
{
	static const char *const params[] = { "smtpd_tls_chain_files", "smtpd_tls_cert_file", "smtpd_tls_key_file", "smtpd_tls_eccert_file",
		"smtpd_tls_eckey_file", "smtpd_tls_dcert_file", "smtpd_tls_dkey_file", "smtpd_tls_CAfile" };
	struct files f = { .a = a };
	struct err e = ERR_INIT;
	struct str maps = str_z(conf_str(c, "tls_server_sni_maps")), word;

	for (size_t i = 0; i < sizeof params / sizeof *params; i++)
		add_files(&f, str_z(conf_str(c, params[i])));
	while ((word = str_word_braced(&maps)).n > 0) {
		(void)str_cut(&word, ':');
		add_file(&f, word);
	}
	(void)visit_all(c, NULL, add_entry_files, &f, &e); /* what cannot be read now is told when it is used */
	*out = f.v;
	return f.count;
}
