/* lib/table/source.c - table files in memory, reloaded when they change. */
#include "lib/table/source.h"

#include <errno.h>
#include <pthread.h>

#include "lib/base/fs.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/table/follow.h"
#include "lib/table/registry.h"

#define COMPLAINTS_MAX 20 /* about one file: the operator has understood by then */

struct source {
	const struct source_format *format;
	struct follow file; /* path NULL: inline, never changes. State of the last file read, usable or not: that is not tried again */
	void *content;
	bool loading; /* by somebody, who alone may touch what is noted of the file until then */
	pthread_mutex_t lock;
};

void complain_line(struct complaints *c, bool wrong, const char *file, int line, const char *what)
{
	c->wrong += wrong;
	if (++c->count <= COMPLAINTS_MAX)
		buf_addf(&c->text, "%s:%d: %s\n", file, line, what);
}

static void log_complaints(struct complaints *c)
{
	struct str rest = buf_str(&c->text);

	while (rest.n > 0) {
		struct str one = str_cut(&rest, '\n');

		log_warn("%.*s", STRF(one));
	}
	if (c->count > COMPLAINTS_MAX)
		log_warn("... and %zu more", c->count - COMPLAINTS_MAX);
	buf_done(&c->text);
}

struct loading {
	const struct source *source;
	void *content; /* NULL with e */
	struct complaints complaints;
	struct err e;
};

/* In a thread. */
static void read_and_parse(void *arg)
{
	struct loading *l = arg;
	struct buf text = { 0 };

	if (fs_read_file(l->source->file.path, SOURCE_FILE_MAX, &text, &l->e) == 0)
		l->content = l->source->format->parse(l->source->file.path, &text, &l->complaints);
	buf_done(&text);
}

/* Read the file anew and, when it is good, take its content. Suspends. */
static int load(struct source *s, struct err *e)
{
	struct loading l = { .source = s };

	if (follow_note(&s->file) < 0)
		return err_errno(e, errno, "cannot open \"%s\"", s->file.path);
	table_offload(read_and_parse, &l);
	log_complaints(&l.complaints);
	if (l.content == NULL) {
		*e = l.e;
		return -1;
	}
	(void)pthread_mutex_lock(&s->lock);
	if (s->content != NULL && l.complaints.wrong > 0) {
		s->format->free(l.content);
		(void)err_perm(e, "%zu wrong lines", l.complaints.wrong);
	} else {
		if (s->content != NULL)
			s->format->free(s->content);
		s->content = l.content;
		l.complaints.wrong = 0;
	}
	(void)pthread_mutex_unlock(&s->lock);
	return l.complaints.wrong > 0 ? -1 : 0;
}

/* "{ { a } { b } }": each inner group, or word, is one line. */
static void load_inline(struct source *s, struct str name)
{
	struct complaints complaints = { .count = 0 };
	struct str rest = str_sub(name, 1, name.n - 2), word;
	struct buf text = { 0 };

	while ((word = str_word_braced(&rest)).n > 0) {
		if (word.n >= 2 && word.p[0] == '{' && word.p[word.n - 1] == '}')
			word = str_trim(str_sub(word, 1, word.n - 2));
		buf_add(&text, word);
		buf_addc(&text, '\n');
	}
	s->content = s->format->parse("inline", &text, &complaints);
	log_complaints(&complaints);
	buf_done(&text);
}

struct source *source_open(const struct table *t, struct str name, const struct source_format *f, struct err *e)
{
	struct source *s = mem_alloc(sizeof *s);
	int r = 0;

	s->format = f;
	pthread_mutex_init(&s->lock, NULL);
	if (f->allow_inline && name.n >= 2 && name.p[0] == '{' && name.p[name.n - 1] == '}') {
		load_inline(s, name);
	} else {
		s->file.path = table_path(t, name, "");
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
	mem_free(s->file.path);
	mem_free(s);
}

/* Suspends when the file has changed. */
static void refresh(struct source *s)
{
	struct err e = ERR_INIT;

	if (follow_changed(&s->file) && load(s, &e) < 0)
		follow_complain(&s->file, &e);
}

void *source_use(struct source *s)
{
	(void)pthread_mutex_lock(&s->lock);
	if (s->file.path == NULL || s->loading || !follow_due(&s->file))
		return s->content;
	s->loading = true;
	(void)pthread_mutex_unlock(&s->lock);
	refresh(s);
	(void)pthread_mutex_lock(&s->lock);
	s->loading = false;
	return s->content;
}

void source_release(struct source *s)
{
	(void)pthread_mutex_unlock(&s->lock);
}
