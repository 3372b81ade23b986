/* lib/table/source.c - table files in memory, reloaded when they change. */
#include "lib/table/source.h"

#include <errno.h>
#include <pthread.h>
#include <sys/stat.h>

#include "lib/base/clock.h"
#include "lib/base/fs.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"

#define LOOK_EVERY_MS 1000

struct version { /* what tells one state of a file from another */
	dev_t dev;
	ino_t ino;
	off_t size;
	struct timespec changed;
};

struct source {
	const struct source_format *format;
	char *path; /* NULL: inline, never changes */
	void *content;
	struct version version;
	int64_t looked_at;
	pthread_mutex_t lock;
};

static int look(const char *path, struct version *v)
{
	struct stat st;

	memset(v, 0, sizeof *v); /* compared as bytes */
	if (stat(path, &st) < 0)
		return -1;
	v->dev = st.st_dev;
	v->ino = st.st_ino;
	v->size = st.st_size;
	v->changed = st.st_mtim;
	return 0;
}

static int load(struct source *s, struct err *e)
{
	struct buf text = { 0 };
	struct version v;
	void *content = NULL;

	if (look(s->path, &v) < 0)
		return err_errno(e, errno, "cannot open \"%s\"", s->path);
	if (fs_read_file(s->path, SOURCE_FILE_MAX, &text, e) == 0)
		content = s->format->parse(s->path, buf_str(&text), e);
	buf_done(&text);
	s->version = v; /* also of a bad one: it is not tried again before it changes */
	if (content == NULL)
		return -1;
	if (s->content != NULL)
		s->format->free(s->content);
	s->content = content;
	return 0;
}

/* "{ { a } { b } }": each inner group, or word, is one line. */
static int load_inline(struct source *s, struct str name, struct err *e)
{
	struct str rest = str_sub(name, 1, name.n - 2), word;
	struct buf text = { 0 };

	while ((word = str_word_braced(&rest)).n > 0) {
		if (word.n >= 2 && word.p[0] == '{' && word.p[word.n - 1] == '}')
			word = str_trim(str_sub(word, 1, word.n - 2));
		buf_add(&text, word);
		buf_addc(&text, '\n');
	}
	s->content = s->format->parse("inline", buf_str(&text), e);
	buf_done(&text);
	return s->content == NULL ? -1 : 0;
}

static void set_path(struct source *s, const struct table *t, struct str name)
{
	struct buf path = { 0 };

	if (name.n > 0 && name.p[0] != '/')
		buf_addf(&path, "%s/", t->conf_dir);
	buf_add(&path, name);
	s->path = mem_strdup(buf_z(&path));
	buf_done(&path);
}

struct source *source_open(const struct table *t, struct str name, const struct source_format *f, struct err *e)
{
	struct source *s = mem_alloc(sizeof *s);
	int r;

	s->format = f;
	pthread_mutex_init(&s->lock, NULL);
	if (f->allow_inline && name.n >= 2 && name.p[0] == '{' && name.p[name.n - 1] == '}') {
		r = load_inline(s, name, e);
	} else {
		set_path(s, t, name);
		s->looked_at = clock_mono_ms();
		r = load(s, e);
	}
	if (r == 0)
		return s;
	source_close(s);
	return NULL;
}

void source_close(struct source *s)
{
	if (s->content != NULL)
		s->format->free(s->content);
	pthread_mutex_destroy(&s->lock);
	mem_free(s->path);
	mem_free(s);
}

void *source_use(struct source *s)
{
	int64_t now = clock_mono_ms();
	struct version v;
	struct err e = ERR_INIT;

	(void)pthread_mutex_lock(&s->lock);
	if (s->path == NULL || now - s->looked_at < LOOK_EVERY_MS)
		return s->content;
	s->looked_at = now;
	if (look(s->path, &v) == 0 && memcmp(&v, &s->version, sizeof v) != 0 && load(s, &e) < 0)
		log_warn("table file \"%s\" has changed but cannot be used, the old content stays: %s", s->path, e.text);
	return s->content;
}

void source_release(struct source *s)
{
	(void)pthread_mutex_unlock(&s->lock);
}
